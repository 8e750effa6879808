"""
The event names of front ends made for other back ends: what their messages are, and what ours look like to them.

A message has its name under `event` or `type`, its keys under `data` or `payload` or beside the name; the answer comes
in the same form, under the name that belongs to it. `old_orders.py` says what each does. Elsewhere a JSON fraction is
no number; here it is one, because these front ends send them.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, NamedTuple

from gateway.errors import ERRORS, Refusal, error_body
from gateway.identity import request_id_fresh
from gateway.socket import old_orders
from gateway.socket.session import encode
from gateway.socket.sockets import Socket
from shared.codes import ResultCode

NAMES = ("event", "type")
BODIES = ("data", "payload")
IGNORED = frozenset({"id", "timestamp", "userId"})  # what such a message may carry beside its own keys


class Old(NamedTuple):
    """One of the names: who carries it out, what the answer is called, and which keys it takes."""

    run: Callable[[Socket, dict[str, Any], float], Awaitable[dict[str, Any]]]
    answer: str
    keys: frozenset[str]


OLD_NAMES = {
    "createOrder": Old(old_orders.order_create, "orderCreated", old_orders.CREATE_KEYS),
    "cancelOrder": Old(old_orders.order_cancel, "orderCancelled", old_orders.CANCEL_KEYS),
    "getOrderStatus": Old(old_orders.order_status, "orderStatus", old_orders.STATUS_KEYS),
    "checkPrice": Old(old_orders.price_check, "priceChecked", old_orders.PRICE_KEYS),
    "getMonitoringStatus": Old(old_orders.monitoring_status, "monitoringStatus", old_orders.MONITORING_KEYS),
}


class Envelope(NamedTuple):
    """The form of one message, which its answer takes on."""

    name_key: str
    name: str
    body_key: str | None  # None: the keys stand beside the name
    body: dict[str, Any]
    ident: Any = None

    def answer(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return an answer in the form of the message."""
        head = {self.name_key: name} | ({} if self.ident is None else {"id": self.ident})
        return head | (body if self.body_key is None else {self.body_key: body})


def envelope_read(raw: dict[str, Any]) -> Envelope | None:
    """Return the form of a message that bears one of the names, None for any other."""
    for name_key in NAMES:
        name = raw.get(name_key)
        if not isinstance(name, str) or name not in OLD_NAMES:
            continue
        ident = raw.get("id")
        ident = ident if isinstance(ident, (str, int)) and not isinstance(ident, bool) else None
        for body_key in BODIES:
            if isinstance(raw.get(body_key), dict):
                return Envelope(name_key, name, body_key, raw[body_key], ident)
        return Envelope(name_key, name, None, raw, ident)
    return None


def operation_of(raw: dict[str, Any]) -> Callable[[Socket, float], Awaitable[None]] | None:
    """Return what carries out a message of an old name, None when it is no such message."""
    envelope = envelope_read(raw)
    if envelope is None:
        return None

    async def run(socket: Socket, came_s: float) -> None:
        old = OLD_NAMES[envelope.name]
        try:
            body = {"success": True} | await old.run(socket, body_plain(envelope, old.keys), came_s)
        except Exception as error:
            body = failure(socket, socket.refusal_of(error))
        socket.outbox.put(encode(envelope.answer(old.answer, body)))

    return run


def body_plain(envelope: Envelope, known: frozenset[str]) -> dict[str, Any]:
    """Return a message's own keys, fractions as the text that they were; raises Refusal for one it does not know."""
    body = {}
    for key, value in envelope.body.items():
        if key in known:
            body[key] = number_text(value)
        elif key not in IGNORED and not (envelope.body_key is None and key == envelope.name_key):
            # Not passed over: a stopLossPrice with a slip of the pen would be a position without one.
            raise Refusal(ResultCode.FIELD_UNKNOWN.name, {"field": key[:64], "known": sorted(known)})
    return {key: value for key, value in body.items() if value is not None and value != ""}


def number_text(value: Any) -> Any:
    """Return a JSON fraction as plain decimal text: the shortest that means the same number; all else as it is."""
    if not isinstance(value, float):
        return value
    text = f"{Decimal(repr(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def failure(socket: Socket, refusal: Refusal) -> dict[str, Any]:
    """Return the body of an answer that says why not."""
    parts = socket.gateway.parts
    body = error_body(refusal, request_id_fresh(parts.now_us(), parts.randbits))
    answer = {"success": False, "error": body["error"], "code": body["code"], "status": ERRORS[refusal.code].status}
    return answer | {"detail": body["detail"], "retry": body["retry"], "requestId": body["request_id"]}
