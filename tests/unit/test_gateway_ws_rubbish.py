"""Rubbish over the WebSocket: whatever keys, values and forms come, each message is answered, and never by INTERNAL."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ERRORS
from gateway.socket import messages
from gateway.socket.old_names import OLD_NAMES
from tests.gateway_doubles import MARKET, NOW_US
from tests.gateway_wire import placed

pytestmark = pytest.mark.anyio
MESSAGES = 1_500
USUAL = {"market": MARKET, "side": "buy", "order_id": 7, "position_id": 7, "qty": "1"}
OPS = sorted(messages.BY_OP.keys() - {"auth", "preview"})  # a preview starts a process: its own tests do
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 2**53, -(2**63), 1.5, 1e-9, 1e300, "", " ", "1", "-1", "0.1", "1e5", "07", "x"),
    *(
        "\u0000",
        "ä",
        "\U0001f600",
        "1" * 40,
        "0" * 400,
        "' OR 1=1 --",
        "${link}",
        "../..",
        "\r\nX: y",
        "NaN",
        "Infinity",
    ),
    *(MARKET, "BTC", "btc/usdc", "buy", "sell", "limit", "market", "GTC", "all", "opening", "cross", "isolated"),
    *(
        [],
        [[]],
        {},
        {"price_trigger": 1.5},
        {"price_trigger": "1", "price": "2"},
        [1, "a", None],
        {"op": "order_place"},
    ),
    *([{"op": "orders_cancel"}] * 2, [{"op": 1}], [{}] * 30, {"a": {"b": {"c": [{}] * 5}}}),
]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def keys_of(name: str) -> list[str]:
    """Return the keys that the body of an op, or of an old name, knows."""
    if name in OLD_NAMES:
        return sorted(OLD_NAMES[name].keys)
    bodies = {str(each.__struct_config__.tag): struct for each, struct in messages.BODIES.items() if struct}
    return list(bodies[name].__struct_fields__)


def body_of(chance: random.Random, name: str) -> dict[str, Any]:
    """Return some keys with some values, most of them keys that belong there."""
    keys = keys_of(name)
    body = {key: chance.choice(VALUES) for key in keys if chance.random() < 0.5}
    body |= {key: value for key, value in USUAL.items() if key in keys and chance.random() < 0.6}
    if chance.random() < 0.1:
        body[chance.choice(["", "e", "account", "__proto__", "k" * 300])] = chance.choice(VALUES)
    return body


def message_of(chance: random.Random, ident: int) -> dict[str, Any]:
    """Return a message that has an id and, mostly, a name that somebody knows."""
    message: dict[str, Any] = {"id": ident}
    kind = chance.random()
    if kind < 0.55:
        op = chance.choice(OPS)
        message |= {"op": op}
        if messages.BY_OP[op] in messages.BODIES:
            message["body"] = body_of(chance, op) if chance.random() < 0.9 else chance.choice(VALUES)
        for key, values in (("key", ["k", "", "ä", 5]), ("ts", [NOW_US, 0, 2**70, "1"]), ("account", [100, 0, 2**63])):
            if chance.random() < 0.1:
                message[key] = chance.choice(values)
        if "subscribe" in op:
            message["channels"] = chance.choice([["orders"], ["x"], [], "orders", ["ticker." + MARKET]])
        if op == "cancel_on_disconnect":
            message |= {"enabled": chance.choice([True, False, 1]), "scope": chance.choice(["all", "opening", "x"])}
    elif kind < 0.95:
        name = chance.choice(sorted(OLD_NAMES))
        body = body_of(chance, name)
        form = chance.choice(["data", "payload", None])
        message |= body if form is None else {form: body if chance.random() < 0.95 else chance.choice(VALUES)}
        message |= {"id": ident, chance.choice(["event", "type"]): name}
    else:
        message |= {chance.choice(["op", "event", "type"]): chance.choice(VALUES)}
    return message


def codes_of(answer: dict[str, Any]) -> list[str]:
    """Return the codes in an answer, wherever its form has them."""
    bodies = [answer, *(answer[key] for key in ("body", "data", "payload") if isinstance(answer.get(key), dict))]
    return [body["code"] for body in bodies if "code" in body]


@pytest.mark.parametrize("seed", [1, 2])
async def test_rubbish_has_answers(tmp_path: Path, seed: int) -> None:
    """Every message is answered with its id; no answer is INTERNAL, and what is sent to the log is canonical JSON."""
    chance = random.Random(seed)
    codes: set[str] = set()
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        number, accepted = 0, 0
        while number < MESSAGES:
            async with place.wire(headers) as wire:
                # Ten of no form at all end a socket: that is said elsewhere, here a new one is opened before.
                malformed = 0
                while number < MESSAGES and malformed < 8:
                    number += 1
                    message = message_of(chance, number)
                    await wire.connection.send(json.dumps(message))
                    try:
                        answer = await wire.answer(number)
                    except TimeoutError:
                        raise AssertionError((message, wire.aside)) from None
                    found = codes_of(answer)
                    assert "INTERNAL" not in found, (message, answer, place.house.log.lines[-1])
                    codes.update(found)
                    accepted += not found
                    malformed += "MESSAGE_MALFORMED" in found
        assert codes <= ERRORS.keys()
        assert len(codes) >= 10, sorted(codes)
        assert accepted > MESSAGES // 20
        assert {"socket_failed", "socket_gone_failed"}.isdisjoint(name for name, _fields in place.house.log.lines)
        for instruction in place.instructions():
            assert isinstance(instruction["op"], str)
