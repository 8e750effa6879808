"""Margin modes, guards, sub-accounts and the public feeds over HTTP: what is told of risk, and to whom."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_doubles import MARKET, NOW_US, VENUE, money
from tests.gateway_house import House
from tests.gateway_images import market_changed, order_changed, position_changed

pytestmark = pytest.mark.anyio
ACCOUNT = "/api/v1/account"
POSITIONS = "/api/v1/account/positions"
OTHER = "ETH_USDC_PERP"
TIERS = [{"floor": "0.000000", "mmr_ppm": 10_000, "leverage_max": 50, "amount": "0.000000"}]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def publish(house: House, *events: dict[str, Any]) -> int:
    """Let one more entry have caused these events; return its seq."""
    seq = house.streams.entry_add([(b"ts", b"1"), (b"clock_tick", b"{}")])
    house.streams.publish(seq, list(events))
    return seq


def market_write(house: House, market: str, mark: str, **more: str) -> None:
    """Write a market's view as the engine does."""
    view = {"mark": mark, "fresh": "1", "seq": "9"} | more
    house.streams.hashes[house.streams.keys.view_market(market)] = {name: view[name].encode() for name in view}


def position(market: str, position_id: int, qty: str, cost: str, **more: Any) -> dict[str, Any]:
    """Return a position_changed of account 100."""
    stated = {"kind": "net", "qty": qty, "cost": cost, "margin": "0.000000"} | more
    return position_changed(100, market, position_id, **stated)


async def cross_scene(house: House) -> dict[str, str]:
    """Let account 100 hold a cross long, an isolated short, and a resting order in the cross market."""
    caller = await house.sign_in()
    publish(house, market_changed(OTHER, id=2, tick="0.01", leverage_max=5, tiers=TIERS))
    market_write(house, MARKET, "61000.0", liquidity="book", adl_long="[900,800,100,50]", adl_short="[]")
    market_write(house, OTHER, "2000.00")
    mode = {"e": "account_market_changed", "account": 100, "market": MARKET, "leverage": 0, "mode": "cross"}
    order = order_changed(100, MARKET, 4, reserved="25.000000")
    publish(
        house,
        mode,
        position(MARKET, 7, "0.01000", "600.000000", mode="cross"),
        position(OTHER, 8, "-0.5000", "-1000.000000", margin="300.000000", leverage=5),
        order,
        money(100, "100.000000", reserved="25.000000", mode="cross", locked_until_ms=99),
    )
    await asyncio.sleep(0.01)
    return caller


async def test_the_account_shows_its_pool(tmp_path: Path) -> None:
    """Mode, available, what may be moved, maintenance of all, and the cross positions' own sums apart."""
    async with House(tmp_path) as house:
        caller = await cross_scene(house)
        body = (await house.client.get(ACCOUNT, headers=caller)).json()
        assert (body["mode"], body["modes"], body["leverages"]) == ("cross", {MARKET: "cross"}, {})
        assert (body["equity"], body["free"], body["margin"]) == ("435.000000", "100.000000", "300.000000")
        assert (body["available"], body["transferable"]) == ("49.000000", "49.000000")
        assert (body["margin_maintenance"], body["locked_until_ms"]) == ("16.100000", 99)
        assert body["cross"] == {
            "equity": "135.000000", "cash": "125.000000", "pnl_unrealised": "10.000000",
            "margin_initial": "61.000000", "margin_maintenance": "6.100000",
        }  # fmt: skip
        worth = (await house.client.get(ACCOUNT + "/balance/usd", headers=caller)).json()
        assert (worth["equity"], worth["available"]) == ("435.000000", "49.000000")
        [balance] = (await house.client.get(ACCOUNT + "/balance", headers=caller)).json()["items"]
        assert (balance["available"], balance["cross"]["equity"]) == ("49.000000", "135.000000")


async def test_an_isolated_account_shows_no_pool(tmp_path: Path) -> None:
    """Without a cross market what is free is available, and there is no pool to show."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        body = (await house.client.get(ACCOUNT, headers=caller)).json()
        assert (body["mode"], body["available"], body["transferable"]) == ("isolated", "5000.000000", "5000.000000")
        assert (body["modes"], body["guards"], body["subaccounts"]) == ({}, {}, [])
        assert not {"cross", "main", "margin_call", "locked_until_ms"} & body.keys()


async def test_positions_show_mode_maintenance_and_rank(tmp_path: Path) -> None:
    """Each position has its mode, equity, maintenance margin; a book market's its fifth of the queue."""
    async with House(tmp_path) as house:
        caller = await cross_scene(house)
        first, second = (await house.client.get(POSITIONS, headers=caller)).json()["items"]
        assert (first["mode"], first["equity"], first["margin_maintenance"]) == ("cross", "135.000000", "6.100000")
        # 10 ÷ 600 in millionths, times 610 ÷ 135.
        assert 16_666 * 610 // 135 > 900
        assert (first["adl_rank"], first["price_liquidation_estimate"]) == (5, "47979.7")
        assert (second["mode"], second["equity"], second["margin_maintenance"]) == (
            "isolated", "300.000000", "10.000000",
        )  # fmt: skip
        assert not {"adl_rank", "price_liquidation_estimate"} & second.keys()
        del house.streams.hashes[house.streams.keys.view_market(MARKET)]
        only = await house.client.get(POSITIONS, params={"market": OTHER}, headers=caller)
        assert [row["position_id"] for row in only.json()["items"]] == [8]
        assert (await house.client.get(POSITIONS, headers=caller)).status_code == 503


async def test_one_cross_position_is_valued_with_the_others(tmp_path: Path) -> None:
    """Asked for one market, a cross position still has the equity of all."""
    async with House(tmp_path) as house:
        caller = await cross_scene(house)
        publish(house, position(OTHER, 8, "0.5000", "990.000000", mode="cross"))
        await asyncio.sleep(0.01)
        [row] = (await house.client.get(POSITIONS, params={"market": MARKET}, headers=caller)).json()["items"]
        assert row["equity"] == "145.000000"


async def test_margin_calls_are_told_where_they_belong(tmp_path: Path) -> None:
    """The account shows the newest call of its cross positions, an isolated position its own until it ends."""
    async with House(tmp_path) as house:
        caller = await cross_scene(house)
        sums = {"equity": "12.000000", "margin_maintenance": "10.000000"}
        isolated = {"market": OTHER, "position_id": 8, "mode": "isolated", "price_mark": "2000.00"} | sums
        publish(
            house,
            {"e": "margin_call", "account": 100, "mode": "cross"} | sums,
            {"e": "margin_call", "account": 100} | isolated,
        )
        await asyncio.sleep(0.01)
        account = (await house.client.get(ACCOUNT, headers=caller)).json()
        assert account["margin_call"] == {"mode": "cross", "log_time_us": NOW_US} | sums
        rows = (await house.client.get(POSITIONS, headers=caller)).json()["items"]
        assert [row.get("margin_call") for row in rows] == [None, isolated | {"log_time_us": NOW_US}]
        publish(house, position(OTHER, 8, "0.0000", "0.000000"), position(OTHER, 8, "0.1000", "200.000000"))
        await asyncio.sleep(0.01)
        rows = (await house.client.get(POSITIONS, headers=caller)).json()["items"]
        assert [row.get("margin_call") for row in rows] == [None, None]


async def test_guards_are_set_shown_and_bound_the_leverage(tmp_path: Path) -> None:
    """The answer and the account show those that are set; null removes one; leverage above the guard is not counted."""
    async with House(tmp_path) as house:
        caller = await cross_scene(house)
        body: dict[str, Any] = {"leverage_max": 2, "stp": "cancel_both", "daily_loss_max": None}
        answer = await house.client.put(ACCOUNT + "/guards", json=body, headers=caller)
        assert answer.json()["guards"] == {"leverage_max": 2, "stp": "cancel_both"}
        account = (await house.client.get(ACCOUNT, headers=caller)).json()
        assert account["guards"] == {"leverage_max": 2, "stp": "cancel_both"}
        assert account["cross"]["margin_initial"] == "305.000000"
        for body, code in (
            ({}, "FIELD_MISSING"),
            ({"leverage_max": "2"}, "FIELD_TYPE_INVALID"),
            ({"daily_loss_max": 1.5}, "NUMBER_NOT_TEXT"),
            ({"stp": "none"}, "FIELD_VALUE_UNKNOWN"),
            ({"colour": None}, "FIELD_UNKNOWN"),
        ):
            refused = await house.client.put(ACCOUNT + "/guards", json=body, headers=caller)
            assert (refused.status_code, refused.json()["code"]) == (422, code)


async def test_a_session_acts_for_its_subaccounts(tmp_path: Path) -> None:
    """`account` names one of them, for acting and reading; the entry is that account's, the outcome is asked there."""
    async with House(tmp_path) as house:
        market_write(house, MARKET, "61000.0")
        caller = await house.sign_in()
        opened = await house.client.post(ACCOUNT + "/subaccounts", json={}, headers=caller)
        assert opened.json()["subaccount"] == {"account_id": 101, "sub": 1}
        account = (await house.client.get(ACCOUNT, headers=caller)).json()
        assert account["subaccounts"] == [{"account_id": 101, "sub": 1}]
        body = {"account_to": 101, "amount": "5"}
        assert (await house.client.post(ACCOUNT + "/transfer", json=body, headers=caller)).status_code == 200
        as_sub = {"account": "101"}
        order = {"market": MARKET, "side": "buy", "qty": "0.001"}
        sent = await house.client.post("/api/v1/trade/order", json=order, params=as_sub, headers=caller)
        assert sent.status_code == 200
        assert house.streams.log[-1].fields[1][1].startswith(b'{"v":1,"account":101,')
        shown = (await house.client.get(ACCOUNT, params=as_sub, headers=caller)).json()
        assert (shown["account_id"], shown["main"], shown["sub"]) == (101, 100, 1)
        assert "subaccounts" not in shown
        path = f"/api/v1/requests/{sent.json()['request_id']}"
        assert (await house.client.get(path, params=as_sub, headers=caller)).json()["status"] == "ACCEPTED"
        assert (await house.client.get(path, headers=caller)).json()["status"] == "UNKNOWN"
        cancel = await house.client.delete(f"/api/v1/trade/orders?market={MARKET}&account=101", headers=caller)
        assert cancel.status_code == 200
        third = await house.client.post(ACCOUNT + "/subaccounts", json={}, params=as_sub, headers=caller)
        assert third.json()["subaccount"] == {"account_id": 102, "sub": 2}
        assert (await house.client.get(ACCOUNT, params={"account": "102"}, headers=caller)).status_code == 200


async def test_nobody_acts_for_an_account_that_is_not_theirs(tmp_path: Path) -> None:
    """Another person's account, one that is not there, the main of one's sub-account, no number: all refused alike."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        other = await house.sign_in("bob@example.com")
        await house.client.post(ACCOUNT + "/subaccounts", json={}, headers=other)
        count = len(house.streams.log)
        for text in ("101", "102", "999", "3", "-1", "x", "", "9" * 30, "100&account=100"):
            answer = await house.client.delete(f"/api/v1/trade/orders?account={text}", headers=caller)
            assert (answer.status_code, answer.json()["code"]) == (400, "QUERY_INVALID"), text
            assert answer.json()["detail"]["parameter"] == "account"
        assert len(house.streams.log) == count
        assert (await house.client.get(ACCOUNT + "?account=100", headers=caller)).json()["account_id"] == 100
        assert (await house.client.get(ACCOUNT + "?account=100")).status_code == 401
        assert (await house.client.get("/api/v1/market?account=100")).json()["code"] == "QUERY_INVALID"


async def test_whose_account_it_is_waits_for_the_view(tmp_path: Path) -> None:
    """Behind what this gateway has seen nobody is refused for good; once known, no view is asked again."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        await house.client.post(ACCOUNT + "/subaccounts", json={}, headers=caller)
        view = house.streams.hashes[house.streams.keys.view_account(101)]
        main, cursor = view.pop("main"), house.streams.values[house.streams.keys.views_cursor]
        house.streams.values[house.streams.keys.views_cursor] = b"1-0"
        path = "/api/v1/trade/orders?account=101"
        behind = await house.client.delete(path, headers=caller)
        assert (behind.status_code, behind.json()["code"]) == (503, "VIEW_UNAVAILABLE")

        async def catch_up() -> None:
            await asyncio.sleep(0.05)
            view["main"] = main
            house.streams.values[house.streams.keys.views_cursor] = cursor

        waited, _ = await asyncio.gather(house.client.delete(path, headers=caller), catch_up())
        assert waited.status_code == 200
        view.clear()
        assert (await house.client.delete(path, headers=caller)).status_code == 200


async def test_an_unknown_outcome_says_where_to_ask(tmp_path: Path) -> None:
    """The address of a 202 names the account that was acted for."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        caller = await house.sign_in()
        await house.client.post(ACCOUNT + "/subaccounts", json={}, headers=caller)
        house.streams.silent = True
        answer = await house.client.delete("/api/v1/trade/orders?account=101", headers=caller)
        assert answer.status_code == 202
        assert answer.headers["location"].endswith(f"?ts={NOW_US}&account=101")
        assert (await house.client.get(answer.headers["location"], headers=caller)).status_code == 200


async def test_subaccounts_share_the_limit_of_their_session(tmp_path: Path) -> None:
    """Opening accounts does not raise how much a person may send."""
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        caller = await house.sign_in()
        await house.client.post(ACCOUNT + "/subaccounts", json={}, headers=caller)
        paths = [f"/api/v1/trade/orders?account={100 + number % 2}" for number in range(25)]
        answers = await asyncio.gather(*(house.client.delete(path, headers=caller) for path in paths))
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [429] * 6


async def test_the_insurance_fund_is_public(tmp_path: Path) -> None:
    """Anybody reads what it holds; before the view reader has seen it that is 503, never zero."""
    async with House(tmp_path) as house:
        missing = await house.client.get("/api/v1/insurance")
        assert (missing.status_code, missing.json()["code"]) == (503, "VIEW_UNAVAILABLE")
        seq = publish(house, {"e": "insurance_changed", "balance": "999999.500000"})
        body = (await house.client.get("/api/v1/insurance")).json()
        del body["request_id"]
        assert body == {"balance": "999999.500000", "asset": "USDC", "log_time_us": NOW_US, "seq": str(seq)}


def liquidation(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    """Return a row of the feed."""
    event = {"e": kind, "account": 100, "market": MARKET, "position_id": 7, "order_id": seq, "qty": "0.00100"}
    row = {"venue": VENUE, "account_id": 100, "order_id": seq, "market": data.get("market", MARKET), "seq": seq}
    row |= {"position": 0, "kind": kind, "liquidated_us": NOW_US + seq}
    return row | {"data": event | {"price": "60000.0"} | data}


def closed(seq: int, **data: Any) -> dict[str, Any]:
    """Return the row of a liquidation's closed order."""
    return {"venue": VENUE, "account_id": 100, "order_id": seq, "market": MARKET, "seq": seq, "data": data}


async def test_liquidations_are_public_and_nameless(tmp_path: Path) -> None:
    """A market's feed comes newest first, in pages, with side and prices, and tells nobody whose they were."""
    async with House(tmp_path) as house:
        house.database.history_seq = 80
        house.database.history["liquidations"] = [
            liquidation(70, "liquidation", price_mark="60010.0", price_bankruptcy="59000.0"),
            liquidation(71, "adl", liquidation_order_id=9),
            liquidation(72, "liquidation", market=OTHER),
        ]
        orders = [closed(70, side="sell", price_average="60001.5"), closed(71, side="buy")]
        house.database.history["closed_orders"] = orders
        path = f"/api/v1/market/{MARKET}/liquidations"
        body = (await house.client.get(path, params={"limit": "1"})).json()
        newest = {"kind": "adl", "market": MARKET, "qty": "0.00100", "price": "60000.0", "side": "buy"}
        assert body["items"] == [newest | {"time_us": NOW_US + 71, "seq": "71"}]
        assert body["complete_to_seq"] == "80"
        rest = (await house.client.get(path, params={"cursor": body["next_cursor"]})).json()
        [row] = rest["items"]
        assert (row["price_mark"], row["price_bankruptcy"], row["price_average"]) == ("60010.0", "59000.0", "60001.5")
        assert not {"account", "position_id", "order_id", "e"} & row.keys()
        assert rest["next_cursor"] is None
        for query in ("limit=0", "cursor=!", f"market={MARKET}"):
            assert (await house.client.get(f"{path}?{query}")).json()["code"] == "QUERY_INVALID"
        assert (await house.client.get("/api/v1/market/DOGE/liquidations")).status_code == 404
        house.database.down = True
        assert (await house.client.get(path)).json()["code"] == "HISTORY_UNAVAILABLE"
