"""What the gateway computes from the views is what the core computes from its state; no event is lost on the way."""

import random
from typing import Any

import orjson
import pytest

from engine import core
from engine.library import Engine
from engine.views import ranks_of, text_of
from gateway.markets import Markets
from gateway.valuation import Pool, Terms, account_value, pool_of, position_valued, terms_of
from gateway.views import AccountView, account_view
from persister.history import batch_of
from persister.views import changes_of
from shared.streams import EventsEntry, Keys

KEYS = Keys("valuations")
NAMES = ("AAA_USDC_PERP", "BBB_USDC_PERP", "CCC_USDC_PERP")
TIERS = [
    {"floor": "0", "mmr_ppm": 10_000, "leverage_max": 50},
    {"floor": "5000", "mmr_ppm": 30_000, "leverage_max": 20},
    {"floor": "20000", "mmr_ppm": 100_000, "leverage_max": 5},
]
PEOPLE = 6
STEPS = 120


class Desk:
    """An engine, and the views as the view reader and the leader write them."""

    def __init__(self, seed: int, liquidity: str, insurance_balance: str = "100000", **more: Any) -> None:
        self.chance = random.Random(seed)
        market = {"tick": "1", "lot": "1", "tiers": TIERS, "spike_ppm": 900_000, "leverage_max": 50}
        market |= {"liquidity": liquidity, "mark_band_ppm": 900_000, "price_band_ppm": 900_000, **more}
        markets = [{"market": name, **market} for name in NAMES]
        self.engine = Engine(markets, starting_balance="10000", insurance_balance=insurance_balance)
        self.markets = Markets()
        self.hashes: dict[str, dict[str, str]] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}  # what history would keep, by kind
        self.number = 0
        self.mids = dict.fromkeys(NAMES, 1_000)
        self.take(self.engine.opening)

    def people(self) -> None:
        """Open accounts that have chosen cross in none, one, two or all markets, and let prices begin."""
        for person in range(PEOPLE):
            self.send(0, "account_open", owner=f"{person + 1:032x}")
            for name in NAMES[: person % 4]:
                self.send(100 + person, "margin_mode_set", market=name, mode="cross")
        for name in NAMES:
            self.quote(name)

    def take(self, events: list[dict[str, Any]]) -> None:
        """Let the readers see events."""
        entry = EventsEntry(self.engine.seq, 0, self.engine.ts_us, b"", b"", orjson.dumps(events))
        changes, batch = changes_of(KEYS, [entry]), batch_of(KEYS.venue, [entry])
        assert not changes.unusable and not batch.rejects, (changes.unusable, batch.rejects)
        for kind, inserts in batch.inserts.items():
            self.rows.setdefault(kind, []).extend(insert.event.body or {} for insert in inserts)
        for key, fields in changes.hashes.items():
            view = self.hashes.setdefault(key, {})
            for name, value in fields.items():
                view.pop(name, None) if value is None else view.update({name: value.decode()})
        for event in events:
            if event["e"] in ("market_changed", "venue_changed"):
                self.markets.configured(event, self.engine.seq)

    def send(self, account: int, op: str, **keys: Any) -> str:
        """Send one instruction; return its result."""
        self.number += 1
        body = {"v": 1, "account": account, "request_id": f"{self.number:032x}", "op": op, **keys}
        events = self.engine.apply("user_instruction", body)
        self.take(events)
        return next(str(event["result"]) for event in events if event["e"] == "order_response")

    def quote(self, market: str) -> None:
        """Move one market's price."""
        mid = self.mids[market] = max(50, round(self.mids[market] * self.chance.uniform(0.97, 1.03)))
        self.take(self.engine.price(market, str(mid - 1), str(mid + 1)))

    def mark(self, market: str, price: str) -> None:
        """State one market's mark."""
        self.engine.ts_us += 1_000
        now_us = self.engine.ts_us
        body = {"E": now_us, "T": now_us, "e": "markPrice", "f": "0", "i": price, "n": 0, "p": price, "s": market}
        self.take(self.engine.apply("mark_update", body))

    def step(self) -> str:
        """Let something happen; return the result of an instruction."""
        chance = self.chance
        market, account = chance.choice(NAMES), 100 + chance.randrange(PEOPLE)
        wish = chance.randrange(10)
        if wish == 0:
            return self.send(account, "margin_mode_set", market=market, mode=chance.choice(("cross", "isolated")))
        if wish == 1:
            return self.send(account, "leverage_set", market=market, leverage=chance.choice((2, 5, 20)))
        if wish == 2:
            most = chance.choice((3, 8, None))
            return self.send(account, "account_guards_set", leverage_max=most)
        if wish <= 4:
            self.quote(market)
            return "OK"
        side, qty = chance.choice(("buy", "sell")), str(chance.randrange(1, 12))
        order = {"market": market, "side": side, "kind": "limit", "qty": qty}
        off = chance.randrange(-15, 16) * (-1 if side == "buy" else 1)
        return self.send(account, "order_place", **order, price=str(self.mids[market] + off))

    def markets_views(self) -> dict[str, dict[str, str]]:
        """Return the market views as the leader writes them when ranks are due."""
        views = {}
        for row, (name, figures) in enumerate(core.market_views(self.engine.states).items()):
            ranker = Ranker(core.adl_scores(self.engine.states, row))
            views[name] = {key: text_of(each) for key, each in (figures | ranks_of(ranker, name, figures)).items()}
        return views

    def account(self, account: int, prices: dict[str, dict[str, str]]) -> tuple[AccountView, dict[str, Terms], Pool]:
        """Return an account as the gateway sees it."""
        view = account_view(self.hashes[KEYS.view_account(account)], self.engine.seq, None)
        terms = {}
        for name in {position["market"] for position in view.positions}:
            market = self.markets.one(name)
            assert market is not None
            guard = view.guards.get("leverage_max")
            terms[name] = terms_of(market, prices[name], view.leverages.get(name), guard)
        return view, terms, pool_of(view.account, view.positions, view.orders, view.modes, terms)


class Ranker:
    """A machine that answers with scores known already."""

    def __init__(self, scores: tuple[Any, Any]) -> None:
        self.scores = scores

    def adl_scores(self, _market: str) -> tuple[Any, Any]:
        """Return the scores."""
        return self.scores


def check(desk: Desk) -> tuple[int, int]:
    """Compare every account with the core; return how many cross positions and ranks were compared."""
    prices = desk.markets_views()
    ranks = {
        position_id: rank
        for row in range(len(NAMES))
        for position_id, rank in core.adl_ranks(desk.engine.states, row).items()
    }
    crossed = ranked = 0
    for account in range(100, 100 + PEOPLE):
        view, terms, pool = desk.account(account, prices)
        figures = core.pool_of(desk.engine.states, account)
        seen = (pool.cash_e6, pool.results_e6, pool.initial_e6, pool.equity_e6, pool.available_e6, pool.maintenance_e6)
        assert seen == tuple(figures.values()), (account, view)
        rows = {row["position_id"]: row for row in desk.engine.positions(account)}
        assert set(rows) == {position["position_id"] for position in view.positions}
        value = account_value(view.account, view.positions, {name: each.price_mark for name, each in terms.items()})
        balances = desk.engine.account(account)
        assert balances is not None
        assert (value.free_e6, value.reserved_e6) == (balances["free_e6"], balances["reserved_e6"])
        for position in view.positions:
            shown = position_valued(position, terms[position["market"]], pool)
            crossed += rows[position["position_id"]]["cross"]
            assert (shown["mode"] == "cross") == bool(rows[position["position_id"]]["cross"])
            if "adl_rank" in shown:
                # Equal scores share a fifth here, and are told apart by their ids there.
                assert shown["adl_rank"] >= ranks[position["position_id"]]
                ranked += shown["adl_rank"] == ranks[position["position_id"]]
    return crossed, ranked


@pytest.mark.parametrize(("seed", "liquidity"), [(1, "quote"), (2, "book"), (3, "book")])
def test_the_gateway_and_the_core_agree(seed: int, liquidity: str) -> None:
    """After every step cash, equity, available, maintenance and rank of every account are those of the core."""
    desk = Desk(seed, liquidity)
    desk.people()
    results: dict[str, int] = {}
    crossed = ranked = 0
    for _ in range(STEPS):
        result = desk.step()
        results[result] = results.get(result, 0) + 1
        found = check(desk)
        crossed, ranked = crossed + found[0], ranked + found[1]
    assert results["OK"] > STEPS // 2, results
    assert crossed > STEPS // 4, "cross positions were there to be compared"
    assert ranked > STEPS // 4 or liquidity == "quote"


def test_a_deleveraging_reaches_views_and_history() -> None:
    """Margin call, liquidation, ADL and what the fund paid are each a row or a field, each order has its end beside."""
    desk = Desk(0, "book", "20", tiers=TIERS[:1], fee_maker_ppm=0, fee_taker_ppm=0, fee_liquidation_ppm=10_000)
    market = {"market": NAMES[0], "kind": "limit"}
    desk.take(desk.engine.price(NAMES[0], "990", "1010"))
    desk.mark(NAMES[0], "1000")
    for person in range(4):
        desk.send(0, "account_open", owner=f"{person + 1:032x}")
    assert desk.send(101, "order_place", side="sell", qty="10", price="1000", **market) == "OK"
    assert desk.send(100, "leverage_set", market=NAMES[0], leverage=20) == "OK"
    assert desk.send(100, "order_place", side="buy", qty="10", price="1000", **market) == "OK"
    assert desk.send(102, "order_place", side="buy", qty="4", price="948", **market) == "OK"
    desk.mark(NAMES[0], "961")
    view = desk.hashes[KEYS.view_account(100)]
    [call] = [orjson.loads(text) for name, text in view.items() if name.startswith("margin_call:")]
    assert (call["mode"], call["equity"], call["price_mark"]) == ("isolated", "110.000000", "961")
    desk.mark(NAMES[0], "945")  # a gap: the fund pays, down to the mark
    assert not [name for name in view if name.startswith(("margin_call:", "position:"))]
    assert orjson.loads(desk.hashes[KEYS.view_venue]["insurance"])["balance"] == "12.000000"
    [liquidation], [asked] = desk.rows["liquidation"], desk.rows["adl"]
    assert (liquidation["qty"], liquidation["price"], liquidation["price_bankruptcy"]) == ("10", "948", "950")
    assert (asked["account"], asked["qty"], asked["price"]) == (101, "6", "950")
    ends = {(row["account"], row["order_id"]): row["side"] for row in desk.rows["closed_order"]}
    assert ends[100, liquidation["order_id"]] == "sell"
    assert ends[101, asked["order_id"]] == "buy"


def test_what_an_owner_sets_reaches_the_view() -> None:
    """Guards, a sub-account, a transfer and a day's lock stand in the views as the engine tells them."""
    desk = Desk(0, "quote")
    for name in NAMES:
        desk.quote(name)
    desk.send(0, "account_open", owner=f"{1:032x}")
    assert desk.send(100, "subaccount_open") == "OK"
    assert desk.send(100, "account_transfer", account_to=101, amount="5000") == "OK"
    assert desk.send(101, "account_guards_set", leverage_max=5, daily_loss_max="1", stp="cancel_both") == "OK"
    prices = desk.markets_views()
    main, sub = desk.account(100, prices)[0], desk.account(101, prices)[0]
    assert (main.subaccounts, main.main, sub.main, sub.subaccounts) == ({101: 1}, None, (100, 1), {})
    assert sub.guards == {"leverage_max": 5, "daily_loss_max": "1.000000", "stp": "cancel_both"}
    assert (main.account["free"], sub.account["free"]) == ("5000.000000", "5000.000000")
    order = {"market": NAMES[0], "side": "buy", "kind": "market", "qty": "10"}
    assert desk.send(101, "order_place", **order) == "OK"
    locked = desk.account(101, desk.markets_views())[0].account
    assert locked["locked_until_ms"] % 86_400_000 == 0
    assert desk.send(101, "order_place", **order) == "ACCOUNT_LOCKED"
    assert desk.send(101, "account_guards_set", stp=None) == "OK"
    assert "stp" not in desk.account(101, desk.markets_views())[0].guards
