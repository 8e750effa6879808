"""
The channels of the WebSocket: their names, which event is told on which, and what the public learns of it; pure.

Every kind of event has its place here or in `SILENT`, with the reason; a test holds that against the codes.
"""

from collections.abc import Container
from typing import Any, NamedTuple

from gateway.errors import GatewayCode, Refusal
from gateway.history import LIQUIDATION_PUBLIC

# Event kind -> the private channel that tells it to its account.
PRIVATE_OF_KIND = {
    "order_changed": "orders",
    "closed_order": "orders",
    "trigger_fired": "orders",
    "position_changed": "positions",
    "closed_position": "positions",
    "margin_call": "positions",
    "liquidation": "positions",
    "adl": "positions",
    "deficit": "positions",
    "fill": "fills",
    "funding": "funding",
    "ledger": "ledger",
    "account_changed": "account",
    "account_market_changed": "account",
    "account_guards_changed": "account",
    "account_opened": "account",
    "order_response": "responses",
}
EVENTS = "events"  # every event of the account
VALUATION = "valuation"  # what the account is worth at the marks of now; no event tells it
PRIVATE = frozenset(PRIVATE_OF_KIND.values()) | {EVENTS, VALUATION}
# Event kind -> the public topic that tells it to everybody, followed by the market where it has one.
PUBLIC_OF_KIND = {
    "trade": "trades",
    "candle": "candles",
    "funding_settled": "funding",
    "funding_skipped": "funding",
    "liquidation": "liquidations",
    "adl": "liquidations",
    "market_changed": "markets",
    "venue_changed": "markets",
    "insurance_changed": "insurance",
}
OF_VENUE = frozenset({"markets", "insurance"})  # topics without a market
OF_MARKET = frozenset(PUBLIC_OF_KIND.values()) - OF_VENUE | {"ticker", "depth"}
OF_PRICES = frozenset({"ticker", "depth", "candles"})  # told from the market's view; candles by events too
UPDATED = frozenset({"ticker", "depth", VALUATION})  # told as how things stand alone, by no event
SILENT = {"none": "is no event", "batch_result": "stands inside its order_response, never alone"}
_TAGS = {kind: f'"e":"{kind}"'.encode() for kind in PUBLIC_OF_KIND}
_FORCED = frozenset({"liquidation", "adl"})


class Channel(NamedTuple):
    """One channel that can be followed; `market` is empty where it has none."""

    name: str
    topic: str
    market: str

    @property
    def private(self) -> bool:
        """Return whether it tells of an account."""
        return not self.market and self.topic in PRIVATE

    @property
    def tags(self) -> tuple[bytes, ...]:
        """Return what the data of an entry holds at least one of, if it is told on this public channel."""
        if self.private:
            return ()
        return tuple(_TAGS[kind] for kind, topic in PUBLIC_OF_KIND.items() if topic == self.topic)


def channel_of(name: str, markets: Container[str]) -> Channel:
    """Return the channel of a name; raises Refusal(CHANNEL_UNKNOWN)."""
    topic, dot, market = name.partition(".")
    if dot and topic in OF_MARKET and market in markets:
        return Channel(name, topic, market)
    if not dot and (topic in PRIVATE or topic in OF_VENUE):
        return Channel(name, topic, "")
    raise Refusal(GatewayCode.CHANNEL_UNKNOWN, {"channel": name[:64]})


def public_channel(event: dict[str, Any]) -> str | None:
    """Return the name of the public channel that tells an event, None when there is none."""
    topic = PUBLIC_OF_KIND.get(event.get("e", ""))
    if topic is None or topic in OF_VENUE:
        return topic
    return f"{topic}.{event.get('market', '')}"


def public_image(event: dict[str, Any], log_time_us: int, closed: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """
    Return what everybody may know of an event: all of it, but of a forced close never whose it was.

    `closed` are the closed orders of the same entry by id: they tell its side and what it cost on average.
    """
    if event["e"] not in _FORCED:
        return event
    shown = {"kind": event["e"]} | {name: event[name] for name in LIQUIDATION_PUBLIC if name in event}
    order = closed.get(event.get("order_id", 0), {})
    shown |= {name: order[name] for name in ("side", "price_average") if name in order}
    return shown | {"time_us": log_time_us}
