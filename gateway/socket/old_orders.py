"""
What the old names do: orders with `buyPrice`, `takeProfitPrice` and `stopLossPrice`, their fate, prices, and what is
watched; each by the very operations that everybody else uses.
"""

from typing import Any

from gateway import schemas
from gateway.answers import ENVIRONMENT, OK, Reply, result_refusal
from gateway.errors import GatewayCode, Refusal
from gateway.history import ORDER_FEED, History, Page
from gateway.identity import request_id_of_order, request_ids_of_path
from gateway.limits import LimitName
from gateway.routes.prices import price_read, prices_read
from gateway.sign_in.callers import Caller
from gateway.sign_in.keys import READ
from gateway.socket.orders_ws import Sending, caller_counted, carry_out
from gateway.socket.sockets import Socket
from gateway.tail import Cause
from gateway.valuation import leverage_of
from gateway.views import AccountView
from shared.codes import ResultCode
from shared.units import decimal_e12, decimal_text, decimals_of

CREATE_KEYS = frozenset(
    {
        *("market", "side", "buyPrice", "takeProfitPrice", "stopLossPrice"),
        *("quantity", "margin", "leverage", "clientOrderId"),
    }
)
CANCEL_KEYS = frozenset({"orderId", "clientOrderId"})
STATUS_KEYS = frozenset({"orderId", "clientOrderId", "requestId"})
PRICE_KEYS = frozenset({"market"})
MONITORING_KEYS: frozenset[str] = frozenset()
SIDES = {"buy": "buy", "long": "buy", "sell": "sell", "short": "sell"}
ID_MAX = 2**63 - 1
LIMIT = "limit"
LEVERAGE_TICKET = 1  # of a ticket that states none
STATUS_LIVE = {"resting": "open", "trigger": "waiting", "attached": "waiting", "delayed": "open"}


# -- createOrder


async def order_create(socket: Socket, body: dict[str, Any], came_s: float) -> dict[str, Any]:
    """Place a limit order on the net position at buyPrice, or open a ticket at the market without one."""
    market = market_of(socket, body.get("market"))
    side = side_of(body.get("side", "buy"))
    one_of(body, "quantity", "margin")
    shared = {"market": market["market"], "side": side} | present(
        take_profit=body.get("takeProfitPrice"),
        stop_loss=body.get("stopLossPrice"),
        client_order_id=body.get("clientOrderId"),
    )
    leverage = whole(body.get("leverage"))
    sending = Sending(came_s)
    if "buyPrice" not in body:
        asked = present(margin=body.get("margin"), qty=body.get("quantity"))
        ticket = shared | asked | {"leverage": LEVERAGE_TICKET if leverage is None else leverage}
        reply = await carry_out(socket, schemas.TRADE_CREATE, ticket, sending)
    else:
        price = body["buyPrice"]
        async with socket.turn_leverage:
            leverage = await leverage_take(socket, market, leverage, sending)
            qty = (
                body["quantity"]
                if "quantity" in body
                else qty_of_margin(body["margin"], leverage, price, market["lot"])
            )
            order = shared | {"kind": LIMIT, "tif": "GTC", "price": price, "qty": qty}
            reply = await carry_out(socket, schemas.ORDER_PLACE, order, sending)
    return created(body, market["market"], side, leverage, reply)


async def leverage_take(socket: Socket, market: dict[str, Any], wanted: int | None, sending: Sending) -> int:
    """
    Return the leverage of the net position, set anew first when another is wanted; raises Refusal.

    By itself, not in one batch with the order: an order must not go out at a leverage that nobody asked for.
    """
    view = await socket.desk.views.account(socket.signed_in().account_id)
    name = market["market"]
    now = leverage_of(view.leverages.get(name), market["leverage_max"], view.guards.get("leverage_max"))
    if wanted is None or wanted == now:
        return now
    reply = await carry_out(socket, schemas.LEVERAGE_SET, {"market": name, "leverage": wanted}, sending)
    if reply.status != 200:
        # Not known whether it is set: nothing is ordered at a leverage that may be another.
        raise Refusal(GatewayCode.LOG_UNAVAILABLE, {"reason": "LEVERAGE_UNKNOWN"})
    return wanted


def qty_of_margin(margin: Any, leverage: int, price: Any, lot: str) -> str:
    """Return what margin times leverage buys at a price, in whole lots. Rounds: down, never more than was meant."""
    margin_e12, price_e12 = decimal_of("margin", margin), decimal_of("buyPrice", price)
    lot_e12 = decimal_e12(lot)
    if price_e12 <= 0:
        raise Refusal(ResultCode.PRICE_OUT_OF_RANGE.name, {"field": "buyPrice"})
    lots = margin_e12 * leverage * 10**12 // (price_e12 * lot_e12)
    return decimal_text(lots * lot_e12, decimals_of(lot_e12))


def created(body: dict[str, Any], market: str, side: str, leverage: int | None, reply: Reply) -> dict[str, Any]:
    """Return orderCreated's body: what was asked, and what the venue says became of it."""
    done = reply.body
    answer = {
        "orderId": done.get("order_id"),
        "positionId": done.get("position_id"),
        "requestId": done["request_id"],
        "status": "unknown" if reply.status != 200 else fate(done),
        "market": market,
        "side": side,
        "leverage": leverage,
        "seq": done.get("seq"),
        "env": ENVIRONMENT,
    }
    asked = ("buyPrice", "takeProfitPrice", "stopLossPrice", "quantity", "margin", "clientOrderId")
    answer |= {name: body[name] for name in asked if name in body}
    return {name: value for name, value in answer.items() if value is not None} | {"result": done}


def fate(done: dict[str, Any]) -> str:
    """Return in a word what an accepted order has come to within its own log entry."""
    order_id = done.get("order_id")
    for closed in done["closed_orders"]:
        if closed["order_id"] == order_id:
            return status_closed(closed)
    for order in done["orders"]:
        if order["order_id"] == order_id:
            return status_live(order)
    return "filled" if done["fills"] else "open"


# -- cancelOrder and getOrderStatus


async def order_cancel(socket: Socket, body: dict[str, Any], came_s: float) -> dict[str, Any]:
    """Cancel one order by its number or its sender's name for it."""
    one_of(body, "orderId", "clientOrderId")
    named = present(order_id=whole(body.get("orderId")), client_order_id=body.get("clientOrderId"))
    reply = await carry_out(socket, schemas.ORDER_CANCEL, named, Sending(came_s))
    status = "cancelled" if reply.status == 200 else "unknown"
    order_id = reply.body.get("order_id", named.get("order_id"))
    answer = present(orderId=order_id, clientOrderId=body.get("clientOrderId"), seq=reply.body.get("seq"))
    return answer | {"status": status, "requestId": reply.body["request_id"], "env": ENVIRONMENT}


async def order_status(socket: Socket, body: dict[str, Any], _came_s: float) -> dict[str, Any]:
    """Return what became of an order, by its number, its sender's name for it, or the request that made it."""
    one_of(body, "orderId", "clientOrderId", "requestId")
    caller = caller_counted(socket, READ, LimitName.READ)
    view = await socket.desk.views.account(caller.account_id)
    if "orderId" in body:
        return await order_found(socket, caller, view, number_of("orderId", body["orderId"]))
    name = body.get("clientOrderId")
    for order in view.orders:
        if name is not None and order.get("client_order_id") == name:
            return order_body(order, status_live(order))
    ids = ids_of_name(name) if name is not None else request_ids_of_path(text_of("requestId", body["requestId"]))
    outcome = await outcome_of(socket, caller, ids)
    if outcome is None:
        return present(clientOrderId=name, requestId=body.get("requestId")) | {"status": "unknown"}
    response = outcome["response"]
    if response["result"] != OK:
        raise result_refusal(Cause(int(outcome["seq"]), int(outcome["log_time_us"]), response, []))
    if "order_id" not in response:
        return {"status": "accepted", "requestId": response["request_id"], "env": ENVIRONMENT}
    return await order_found(socket, caller, view, response["order_id"])


def ids_of_name(name: Any) -> list[str]:
    """Return the requests that an order's name may have made."""
    text = text_of("clientOrderId", name)
    return [request_id_of_order(op, text) for op in sorted(schemas.OPS_NAMED)]


async def outcome_of(socket: Socket, caller: Caller, request_ids: list[str]) -> dict[str, Any] | None:
    """Return the stored outcome of a request that may have any of these ids: an accepted one goes before a refusal."""
    found = [(await socket.desk.views.outcome(caller.account_id, each)).outcome for each in request_ids]
    known = [outcome for outcome in found if outcome is not None]
    return max(known, key=lambda each: (each["response"]["result"] == OK, int(each["seq"])), default=None)


async def order_found(socket: Socket, caller: Caller, view: AccountView, order_id: int) -> dict[str, Any]:
    """Return orderStatus's body of a live order, else of a closed one; raises Refusal when there was never such."""
    for order in view.orders:
        if order["order_id"] == order_id:
            return order_body(order, status_live(order))
    desk = socket.desk
    history = History(desk.parts.database, desk.venue, desk.parts.monotonic_s)
    page = Page(1, filters={"order_id": order_id})
    _complete, rows = await history.rows(ORDER_FEED, caller.account_id, page, view.seq)
    if not rows:
        raise Refusal(ResultCode.ORDER_UNKNOWN.name, {"orderId": order_id})
    closed = rows[0].data
    return order_body(closed, status_closed(closed)) | {"reason": closed["reason"]}


def order_body(order: dict[str, Any], status: str) -> dict[str, Any]:
    """Return an order's image in the words of these front ends."""
    named = present(
        clientOrderId=order.get("client_order_id"),
        positionId=order.get("position_id"),
        quantity=order.get("qty"),
        buyPrice=order.get("price") if order["kind"] == LIMIT else None,  # of others it is the worst they take
        triggerPrice=order.get("price_trigger"),
        averagePrice=order.get("price_average"),
    )
    head = {"orderId": order["order_id"], "status": status, "market": order["market"], "side": order["side"]}
    return head | named | {"kind": order["kind"], "filledQuantity": order["qty_filled"], "env": ENVIRONMENT}


def status_live(order: dict[str, Any]) -> str:
    """Return the word for a live order."""
    word = STATUS_LIVE.get(order["status"], "open")
    filled = any(digit in "123456789" for digit in order["qty_filled"])
    return "partiallyFilled" if word == "open" and filled else word


def status_closed(order: dict[str, Any]) -> str:
    """Return the word for an order that has reached its end."""
    return {"filled": "filled", "expired": "expired"}.get(order["reason"], "cancelled")


# -- checkPrice and getMonitoringStatus


async def price_check(socket: Socket, body: dict[str, Any], _came_s: float) -> dict[str, Any]:
    """Return one market's prices, or those of all when none is named; everybody may ask."""
    socket.gateway.limits.hit(LimitName.PUBLIC, socket.network)
    if "market" not in body:
        return {"prices": await prices_read(socket.desk)}
    name = market_of(socket, body["market"])["market"]
    return {"market": name} | await price_read(socket.desk, name)


async def monitoring_status(socket: Socket, _body: dict[str, Any], _came_s: float) -> dict[str, Any]:
    """Return whether prices come in and, to whoever is signed in, how much of theirs is watched."""
    socket.gateway.limits.hit(LimitName.PUBLIC, socket.network)
    prices = await prices_read(socket.desk)
    fresh = [name for name, row in prices.items() if row["fresh"]]
    body: dict[str, Any] = {"isMonitoring": bool(fresh), "markets": fresh, "prices": prices, "env": ENVIRONMENT}
    if socket.caller is not None:
        caller = caller_counted(socket, READ, LimitName.READ)
        view = await socket.desk.views.account(caller.account_id)
        waiting = [order for order in view.orders if status_live(order) == "waiting"]
        body |= {"activeOrders": len(view.orders), "activePositions": len(view.positions)}
        body |= {"watchedTriggers": len(waiting)}
    return body


# -- what a key means


def present(**values: Any) -> dict[str, Any]:
    """Return the values that are there."""
    return {name: value for name, value in values.items() if value is not None}


def one_of(body: dict[str, Any], *names: str) -> None:
    """Raise Refusal unless exactly one of the keys is there."""
    given = [name for name in names if name in body]
    if len(given) != 1:
        code = ResultCode.FIELDS_EXCLUSIVE if given else ResultCode.FIELD_MISSING
        raise Refusal(code.name, {"fields": list(names)})


def market_of(socket: Socket, name: Any) -> dict[str, Any]:
    """Return the market that a name means: ours, or as others write it (SOL, SOL/USDC, sol-usdc); raises Refusal."""
    if name is None:
        raise Refusal(ResultCode.FIELD_MISSING.name, {"field": "market"})
    text = text_of("market", name).upper().replace("/", "_").replace("-", "_")
    markets = {market["market"]: market for market in socket.desk.markets.all()}
    for candidate in (name, text, f"{text}_PERP", f"{text}_USDC_PERP"):
        if candidate in markets:
            return markets[candidate]
    raise Refusal(ResultCode.MARKET_UNKNOWN.name, {"market": text[:64]})


def side_of(word: Any) -> str:
    """Return buy or sell; raises Refusal."""
    side = SIDES.get(word.lower()) if isinstance(word, str) else None
    if side is None:
        raise Refusal(ResultCode.FIELD_VALUE_UNKNOWN.name, {"field": "side", "known": sorted(SIDES)})
    return side


def text_of(name: str, value: Any) -> str:
    """Return a text of 1 to 64 printable ASCII characters; raises Refusal."""
    if not isinstance(value, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "text"})
    if not (1 <= len(value) <= 64 and value.isascii() and value.isprintable()):
        raise Refusal(ResultCode.TEXT_INVALID.name, {"field": name})
    return value


def whole(value: Any) -> Any:
    """Return a whole number that came as text as a number; what is none is left to who reads it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return value


def number_of(name: str, value: Any) -> int:
    """Return the number of an order; raises Refusal."""
    number = whole(value)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= ID_MAX:
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "the number of an order"})
    return number


def decimal_of(name: str, value: Any) -> int:
    """Return a decimal × 10¹²; raises Refusal."""
    try:
        return decimal_e12(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    except (ValueError, TypeError):
        raise Refusal(ResultCode.NUMBER_MALFORMED.name, {"field": name}) from None
