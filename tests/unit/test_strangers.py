"""What a stranger might try for money, room or a standstill, through the library: each ends as the rules say."""

import orjson
import pytest

from engine import core
from engine.library import Engine
from shared import genesis
from tests.builders import BTC, instruction, opened

INSURANCE = 4


def fund(engine: Engine) -> int:
    """Return what the insurance fund holds."""
    account = engine.account(INSURANCE)
    assert account is not None
    return account["free_e6"]


def test_a_flip_pays_its_own_fee() -> None:
    """Flipping a speck of a position costs its account the whole fee; the insurance fund pays none of it."""
    engine = opened(1)
    before = fund(engine)
    buy = {"market": BTC, "side": "buy", "kind": "market", "qty": "0.00002"}
    engine.apply("user_instruction", instruction(1, "order_place", **buy))
    events = engine.apply(
        "user_instruction", instruction(2, "order_place", **{**buy, "side": "sell", "qty": "0.80002"})
    )
    fees = [event["fee"] for event in events if event["e"] == "fill"]
    assert fees == ["24.000600"]
    assert not [event for event in events if event["e"] == "deficit"]
    assert fund(engine) == before
    legs = [event for event in events if event["e"] == "ledger" and event["reason"] == "fee"]
    assert [leg["amount"] for leg in legs] == ["-24.000600"]
    assert engine.invariants() == []


def test_an_early_instruction_says_nothing_of_its_id() -> None:
    """While log time stands still an instruction is early, not its id, and the same sending works a tick later."""
    engine = opened(1)
    ahead_us = engine.ts_us + 8_000_000
    version_7 = f"{ahead_us // 1000:012x}" + "7000" + "8" + "0" * 15
    body = {**instruction(0, "orders_cancel"), "request_id": version_7}
    fields = [(b"user_instruction", orjson.dumps(body))]
    assert engine.apply_raw(fields, ahead_us)[0]["result"] == "INSTRUCTION_EARLY"
    assert engine.apply("user_instruction", body, ts_us=ahead_us)[-2]["result"] == "OK"


def test_ids_of_a_far_future_are_not_remembered() -> None:
    """An instruction stamped decades ahead leaves nothing in the memory of requests."""
    engine = opened(1)
    far_us = 4_000_000_000_000_000
    version_7 = f"{far_us // 1000:012x}" + "7000" + "8" + "0" * 15
    body = {**instruction(0, "orders_cancel"), "request_id": version_7}
    rows = int(engine.states[0]["requests_table"]["live"])
    engine.apply_raw([(b"user_instruction", orjson.dumps(body))], far_us)
    assert int(engine.states[0]["requests_table"]["live"]) == rows


def test_an_owner_of_zeros_is_an_owner() -> None:
    """The same owner answers the same account, zeros included."""
    engine = Engine()
    answers = [
        engine.apply("user_instruction", instruction(n, "account_open", 0, owner="0" * 32))[0]["account"]
        for n in (1, 2)
    ]
    assert answers == [100, 100]


def test_a_market_name_is_printable_text() -> None:
    """A name with a NUL behind it is no market."""
    engine = opened(1)
    order = {"market": BTC + "\0", "side": "buy", "kind": "market", "qty": "0.001"}
    events = engine.apply("user_instruction", instruction(1, "order_place", **order))
    assert events[0]["result"] == "MARKET_UNKNOWN"


@pytest.mark.parametrize("balance", ["9300000000000", "9000000000000", "100000000"])
def test_a_balance_beyond_the_cells_founds_nothing(balance: str) -> None:
    """A genesis whose balances together leave 64 bits is malformed as a whole."""
    engine = Engine(starting_balance=balance)
    assert core.markets_of(engine.states) == []


def test_the_default_genesis_is_sound() -> None:
    """The default venue founds four markets."""
    assert len(genesis.default("v")["markets"]) == len(core.markets_of(Engine().states)) == 4


def test_chosen_request_ids_do_not_share_a_slot() -> None:
    """Ids that differ only in their high bits are remembered and forgotten as quickly as any: no long run of slots."""
    engine = opened(1)
    for number in range(400):
        chosen = f"{number << 40:016x}" + "8" + "0" * 15
        body = {**instruction(0, "orders_cancel"), "request_id": chosen}
        engine.apply("user_instruction", body)
    slots = engine.states[0]["requests_index"]["row"]
    run = longest = 0
    for row in slots:
        run = run + 1 if row else 0
        longest = max(longest, run)
    assert longest < 12
