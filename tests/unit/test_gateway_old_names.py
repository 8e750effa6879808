"""The names of front ends made for other back ends: each in each form, and what becomes of a slip of the pen."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.socket.old_names import OLD_NAMES, envelope_read, number_text
from gateway.socket.old_orders import fate, qty_of_margin
from tests.gateway_doubles import GENESIS, MARKET, VENUE
from tests.gateway_live import TICKER
from tests.gateway_wire import Place, Wire, placed

pytestmark = pytest.mark.anyio
LIMIT = {"market": MARKET, "buyPrice": 60000.5, "takeProfitPrice": "61000", "stopLossPrice": 59000, "quantity": 0.001}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def say(wire: Wire, name: str, body: dict[str, Any], form: tuple[str, str | None] = ("event", "data")) -> Any:
    """Return the body of the answer to a message in a form: the key of its name, and that of its body."""
    name_key, body_key = form
    message = {name_key: name, "id": "m"} | (body if body_key is None else {body_key: body})
    await wire.connection.send(orjson.dumps(message).decode())
    answer = await wire.answer("m")
    assert answer[name_key] == OLD_NAMES[name].answer
    return answer if body_key is None else answer[body_key]


def last(place: Place) -> dict[str, Any]:
    """Return the keys of the last instruction in the log."""
    told = place.instructions()[-1]
    return {name: value for name, value in told.items() if name not in ("v", "account", "request_id")}


def prices_put(place: Place, **changes: str) -> None:
    """Let the engine have written the market's prices."""
    fields = {name: value.encode() for name, value in (TICKER | changes).items()}
    place.house.streams.hashes[place.house.streams.keys.view_market(MARKET)] = fields


@pytest.mark.parametrize("form", [(name, body) for name in ("event", "type") for body in ("data", "payload", None)])
async def test_an_order_in_every_form(tmp_path: Path, form: tuple[str, str | None]) -> None:
    """A limit order with its bracket on the net position, buy unless said otherwise; the answer in the same form."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        answer = await say(wire, "createOrder", LIMIT | {"clientOrderId": "mine"}, form)
        assert answer["success"] is True
        assert (answer["status"], answer["side"], answer["market"]) == ("filled", "buy", MARKET)
        assert answer["orderId"] == answer["result"]["order_id"]
        assert last(place) == {
            "op": "order_place",
            "market": MARKET,
            "side": "buy",
            "kind": "limit",
            "qty": "0.001",
            "price": "60000.5",
            "tif": "GTC",
            "take_profit": "61000",
            "stop_loss": "59000",
            "client_order_id": "mine",
        }


async def test_an_order_without_a_price_is_a_ticket(tmp_path: Path) -> None:
    """Without buyPrice a ticket opens at the market, by margin or quantity, of leverage one unless said otherwise."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        body = {"market": "btc/usdc", "margin": 25, "leverage": "5", "side": "short"}
        assert (await say(wire, "createOrder", body))["success"] is True
        wanted = {"op": "trade_create", "market": MARKET, "side": "sell", "margin": "25", "leverage": 5}
        assert last(place) == wanted
        await say(wire, "createOrder", {"market": MARKET, "quantity": "0.01"})
        assert last(place) == {"op": "trade_create", "market": MARKET, "side": "buy", "qty": "0.01", "leverage": 1}


async def test_margin_and_leverage_of_a_limit_order(tmp_path: Path) -> None:
    """Another leverage is set first, by itself; margin times leverage over the price is the quantity in lots."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        body = {"market": MARKET, "buyPrice": "60000", "margin": "100"}
        await say(wire, "createOrder", body)
        assert (last(place)["op"], last(place)["qty"]) == ("order_place", "0.01666"), "ten is the default"
        await say(wire, "createOrder", body | {"leverage": 20})
        told = [(each["op"], each.get("leverage"), each.get("qty")) for each in place.instructions()[-2:]]
        assert told == [("leverage_set", 20, None), ("order_place", None, "0.03333")]
        await say(wire, "createOrder", body | {"leverage": 20})
        assert [each["op"] for each in place.instructions()[-2:]] == ["order_place", "order_place"], "it is set already"


async def test_each_order_goes_out_at_its_own_leverage(tmp_path: Path) -> None:
    """Orders of different leverage sent in one breath: each stands behind the setting that it asked for."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        for leverage in range(2, 9):
            body = {"market": MARKET, "buyPrice": leverage, "quantity": 1, "leverage": leverage}
            message = {"event": "createOrder", "id": f"m{leverage}", "data": body}
            await wire.connection.send(orjson.dumps(message).decode())
        for leverage in range(2, 9):
            assert (await wire.answer(f"m{leverage}"))["data"]["leverage"] == leverage
        told = [each.get("leverage") or int(each["price"]) for each in place.instructions()[-14:]]
        assert told == [leverage for leverage in range(2, 9) for _ in range(2)]


async def test_nothing_is_ordered_at_a_leverage_that_was_refused(tmp_path: Path) -> None:
    """When the leverage cannot be set there is no order, and the answer has the code."""
    settings = {"TIDEMARK_RESPONSE_TIMEOUT": "0.2"}
    async with placed(tmp_path, **settings) as place, place.wire(await place.house.sign_in()) as wire:
        before = len(place.instructions())
        answer = await say(wire, "createOrder", LIMIT | {"leverage": 2.5})
        assert (answer["success"], answer["status"]) == (False, 422)
        assert len(place.instructions()) == before
        place.house.streams.silent = True
        answer = await say(wire, "createOrder", LIMIT | {"leverage": 3})
        assert (answer["code"], answer["detail"]["reason"]) == ("LOG_UNAVAILABLE", "LEVERAGE_UNKNOWN")
        assert [each["op"] for each in place.instructions()[before:]] == ["leverage_set"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (LIMIT | {"stopLosPrice": 1}, "FIELD_UNKNOWN"),
        (LIMIT | {"margin": 5}, "FIELDS_EXCLUSIVE"),
        ({"market": MARKET, "buyPrice": 1}, "FIELD_MISSING"),
        ({"quantity": 1}, "FIELD_MISSING"),
        (LIMIT | {"market": "NONE"}, "MARKET_UNKNOWN"),
        (LIMIT | {"market": 7}, "FIELD_TYPE_INVALID"),
        (LIMIT | {"side": "up"}, "FIELD_VALUE_UNKNOWN"),
        (LIMIT | {"quantity": "much"}, "NUMBER_MALFORMED"),
        (LIMIT | {"quantity": True}, "FIELD_TYPE_INVALID"),
        ({"market": MARKET, "buyPrice": "x", "margin": 1}, "NUMBER_MALFORMED"),
        ({"market": MARKET, "buyPrice": 0, "margin": 1}, "PRICE_OUT_OF_RANGE"),
        ({"market": MARKET, "buyPrice": [], "margin": 1}, "NUMBER_MALFORMED"),
    ],
)
async def test_a_slip_of_the_pen_is_no_order(tmp_path: Path, body: dict[str, Any], code: str) -> None:
    """A body that is not meant so is refused with its code under the answer's own name, and nothing is ordered."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        before = len(place.instructions())
        answer = await say(wire, "createOrder", body)
        assert (answer["success"], answer["code"]) == (False, code)
        assert answer["error"]
        assert len(answer["requestId"]) == 32
        assert len(place.instructions()) == before


async def test_orders_are_cancelled_by_number_or_name(tmp_path: Path) -> None:
    """cancelOrder takes one of both; the number may be text."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        answer = await say(wire, "cancelOrder", {"orderId": "7"})
        assert (answer["success"], answer["status"]) == (True, "cancelled")
        assert last(place) == {"op": "order_cancel", "order_id": 7}
        await say(wire, "cancelOrder", {"clientOrderId": "mine"})
        assert last(place) == {"op": "order_cancel", "client_order_id": "mine"}
        assert (await say(wire, "cancelOrder", {}))["code"] == "FIELD_MISSING"


async def test_the_status_of_an_order(tmp_path: Path) -> None:
    """A live order by number or name, a closed one from history, what is not known as unknown, a stranger's as none."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        streams = place.house.streams
        head = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "2", "price": "1"}
        live = head | {"order_id": 7, "client_order_id": "mine", "qty_filled": "0.5", "status": "resting", "seq": "3"}
        view = streams.hashes[streams.keys.view_account(100)]
        view["order:7"] = orjson.dumps(live)
        async with place.wire(headers) as wire:
            for body in ({"orderId": 7}, {"orderId": "7"}, {"clientOrderId": "mine"}):
                answer = await say(wire, "getOrderStatus", body)
                assert (answer["orderId"], answer["status"]) == (7, "partiallyFilled")
                assert (answer["quantity"], answer["filledQuantity"], answer["buyPrice"]) == ("2", "0.5", "1")
            created = await say(wire, "createOrder", LIMIT)
            rows = place.house.database.history_rows("closed_orders")
            rows.append(closed_row(100, created["orderId"], "filled"))
            place.house.database.history_seq = 10**6
            answer = await say(wire, "getOrderStatus", {"requestId": created["requestId"]})
            assert (answer["orderId"], answer["status"]) == (created["orderId"], "filled")
            assert (await say(wire, "getOrderStatus", {"clientOrderId": "none"}))["status"] == "unknown"
            assert (await say(wire, "getOrderStatus", {"orderId": 999}))["code"] == "ORDER_UNKNOWN"
            assert (await say(wire, "getOrderStatus", {"orderId": "seven"}))["code"] == "FIELD_TYPE_INVALID"
        async with place.wire(await place.house.sign_in("bob@example.com")) as wire:
            assert (await say(wire, "getOrderStatus", {"orderId": 7}))["code"] == "ORDER_UNKNOWN"
        async with place.wire() as wire:
            assert (await say(wire, "getOrderStatus", {"orderId": 7}))["code"] == "UNAUTHENTICATED"


def closed_row(account_id: int, order_id: int, reason: str) -> dict[str, Any]:
    """Return a row of the closed orders."""
    data = {"e": "closed_order", "market": MARKET, "order_id": order_id, "side": "buy", "kind": "limit"}
    place = {"venue": VENUE, "account_id": account_id, "order_id": order_id, "market": MARKET, "seq": 9, "position": 0}
    data |= {"qty": "1", "qty_filled": "1", "reason": reason, "price_average": "60000.0"}
    return {**place, "closed_us": 1, "data": data}


async def test_prices_for_everybody(tmp_path: Path) -> None:
    """checkPrice needs no session: one market, or all; before the first quote a market is just not fresh."""
    async with placed(tmp_path) as place, place.wire() as wire:
        assert await say(wire, "checkPrice", {"market": MARKET}) == {"success": True, "market": MARKET, "fresh": False}
        prices_put(place)
        answer = await say(wire, "checkPrice", {"market": MARKET})
        assert (answer["price"], answer["bid"], answer["fresh"]) == ("61000.0", "60999.9", True)
        everything = await say(wire, "checkPrice", {})
        assert everything["prices"][MARKET]["mark"] == "61000.0"
        over_http = (await place.house.client.get("/api/prices")).json()
        assert over_http["prices"] == everything["prices"]


async def test_what_is_monitored(tmp_path: Path) -> None:
    """getMonitoringStatus says whether prices come in, and how much of the caller's is watched when there is one."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire() as wire:
            assert (await say(wire, "getMonitoringStatus", {}))["isMonitoring"] is False
            prices_put(place)
            answer = await say(wire, "getMonitoringStatus", {})
            assert (answer["isMonitoring"], answer["markets"]) == (True, [MARKET])
            assert "activeOrders" not in answer
        async with place.wire(headers) as wire:
            answer = await say(wire, "getMonitoringStatus", {})
            assert (answer["activeOrders"], answer["activePositions"], answer["watchedTriggers"]) == (0, 0, 0)


async def test_open_positions_where_others_look(tmp_path: Path) -> None:
    """GET /api/positions answers the list of /api/v1/account/positions, and needs a caller as that does."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        prices_put(place)
        await place.house.client.post(
            "/api/v1/trade/order", json={"market": MARKET, "side": "buy", "qty": "1"}, headers=headers
        )
        first = (await place.house.client.get("/api/positions", headers=headers)).json()
        second = (await place.house.client.get("/api/v1/account/positions", headers=headers)).json()
        assert first["items"] == second["items"]
        assert (await place.house.client.get("/api/positions")).status_code == 401


async def test_other_names_are_no_messages(tmp_path: Path) -> None:
    """A name that is none of the five, or an op beside one, is not taken for one of them."""
    assert envelope_read({"event": "createorder"}) is None
    assert envelope_read({"event": ["createOrder"]}) is None
    async with placed(tmp_path) as place, place.wire() as wire:
        for message in ({"event": "dropOrder", "id": 1}, {"event": "checkPrice", "op": "ping ", "id": 1}):
            await wire.connection.send(orjson.dumps(message).decode())
            answer = await wire.answer(1)
            assert (answer["type"], answer["code"]) == ("error", "MESSAGE_MALFORMED")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (60000.5, "60000.5"),
        (1e16, "10000000000000000"),
        (5.0, "5"),
        (-0.5, "-0.5"),
    ],
)
def test_fractions_are_taken_as_they_were_written(number: float, text: str) -> None:
    """A JSON fraction becomes the shortest decimal text that means the same number, without an exponent."""
    assert number_text(number) == text


def test_whole_numbers_and_texts_stay() -> None:
    """What is no fraction is left as it came."""
    for value in (7, "1.50", None, True, [1.5]):
        assert number_text(value) is value


@pytest.mark.parametrize(
    ("margin", "leverage", "price", "qty"),
    [
        ("100", 10, "60000", "0.01666"),
        (1, 1, "60000", "0.00001"),
        ("0.5", 1, 60000, "0.00000"),
        ("0", 1, 3, "0.00000"),
    ],
)
def test_quantities_round_down(margin: Any, leverage: int, price: Any, qty: str) -> None:
    """Margin times leverage over the price in whole lots, never more than was meant; nonsense is left to the venue."""
    market: Any = GENESIS["markets"][0]  # type: ignore[index]
    assert qty_of_margin(margin, leverage, price, market["lot"]) == qty


def test_the_fate_of_an_order_in_a_word() -> None:
    """What became of an order within its own entry."""
    nothing: dict[str, Any] = {"order_id": 7, "closed_orders": [], "orders": [], "fills": []}
    resting = {"order_id": 7, "status": "resting", "qty_filled": "0.00"}
    assert fate(nothing | {"orders": [resting]}) == "open"
    assert fate(nothing | {"orders": [resting | {"qty_filled": "0.10"}]}) == "partiallyFilled"
    assert fate(nothing | {"orders": [resting | {"status": "trigger"}]}) == "waiting"
    assert fate(nothing | {"closed_orders": [{"order_id": 7, "reason": "filled"}]}) == "filled"
    assert fate(nothing | {"closed_orders": [{"order_id": 7, "reason": "ioc_unfilled"}]}) == "cancelled"
    assert fate(nothing | {"closed_orders": [{"order_id": 8, "reason": "cancelled"}], "fills": [{}]}) == "filled"
    assert fate(nothing) == "open"


def test_the_page_names_them_all() -> None:
    """docs/old_front_ends.md has every name, every answer and every key."""
    page = (Path(__file__).parents[2] / "docs" / "old_front_ends.md").read_text()
    for name, old in OLD_NAMES.items():
        assert f"| `{name}` |" in page
        assert f"| `{old.answer}` |" in page
        assert all(key in page for key in old.keys)
