"""
What a caller who knows the venue would send: for each operation a request that it can grant, out of what is live now.

Generated requests name orders and positions that nobody has; these name real ones, made beforehand where none is there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.faults.api_world import V1, World, public_key

SUBACCOUNTS_EACH = 8
GRANTED_LIKELY = 0.7
SIZED_LIKELY = 0.5
SIZES = ("qty", "quote_qty", "close_percent", "margin")


class Wish(NamedTuple):
    """What of a request is meant; the rest stays as it was generated. `after` undoes what the request has done."""

    body: Any = None
    path: dict[str, Any] | None = None
    query: dict[str, Any] | None = None
    headers: dict[str, str] | None = None
    token: str | None = None
    after: Callable[[Any], None] | None = None


# --- wishes, one for each operation that chance alone would hardly be granted -----------------------------------------


def order_place(world: World) -> Wish:
    """Wish an order of one of the kinds."""
    world.tidy()
    market, side = world.market(), world.rng.choice(["buy", "sell"])
    far, near = (-3, 3) if side == "buy" else (3, -3)
    body: dict[str, Any] = {"market": market, "side": side, "qty": world.qty(market)}
    kinds: list[dict[str, Any]] = [
        {},
        {"kind": "market", "client_order_id": world.name()},
        {"kind": "limit", "price": world.price(market, far), "post_only": True},
        {"kind": "limit", "price": world.price(market, near), "tif": "IOC"},
        {"kind": "stop_market", "price_trigger": world.price(market, near)},
        {"kind": "take_profit_limit", "price_trigger": world.price(market, far), "price": world.price(market, far)},
        {"kind": "trailing_stop", "trail_ppm": 20_000},
        {"take_profit": world.price(market, -far), "stop_loss": world.price(market, far)},
    ]
    # Some that are well formed and that the market, the account or the price does not allow.
    refused: list[dict[str, Any]] = [
        {"kind": "limit", "price": world.price(market, near), "post_only": True},
        {"kind": "limit", "price": world.price(market, far), "tif": "FOK"},
        {"kind": "limit", "price": world.price(market, far * 20)},
        {"kind": "stop_market", "price_trigger": world.price(market, far)},
        {"reduce_only": True},
        {"take_profit": world.price(market, far), "stop_loss": world.price(market, -far)},
        {"qty": "100000"},
        {"slippage_bps": 0},
        {"kind": "limit", "price": world.price(market, far) + "1"},
        {"kind": "limit", "price": world.price(market, far), "tif": "GTD", "expires_ms": 1},
        {"kind": "limit", "price": world.price(market, far), "qty": "0.000000000001"},
    ]
    granted = world.wishes == 1 or world.rng.random() < GRANTED_LIKELY
    return Wish(body | world.rng.choice(kinds if granted else refused))


def trade_create(world: World) -> Wish:
    """Wish a ticket, by margin or by quantity."""
    world.tidy()
    market = world.market()
    size = world.rng.choice([{"margin": "12"}, {"qty": world.qty(market)}])
    return Wish({"market": market, "side": world.rng.choice(["buy", "sell"]), "leverage": 3} | size)


def trade_close(world: World) -> Wish:
    """Wish an open position closed, whole or in part."""
    world.tidy()
    position_id = world.position_id(world.ticket())
    return Wish({"position_id": position_id} | world.rng.choice([{}, {"percent": 50}, {"percent": "100"}]))


def order_amend(world: World) -> Wish:
    """Wish a resting order at another price."""
    world.tidy()
    order = world.order()
    return Wish({"price": world.price(order["market"], -4)}, {"order_id": order["order_id"]}, {})


def order_amend_named(world: World) -> Wish:
    """Wish the same by the order's name."""
    world.tidy()
    order = world.order()
    return Wish({"price": world.price(order["market"], -4)}, None, {"client_order_id": order["name"]})


def order_cancel(world: World) -> Wish:
    """Wish a resting order gone."""
    return Wish(None, {"order_id": world.order()["order_id"]}, {})


def order_cancel_named(world: World) -> Wish:
    """Wish the same by the order's name."""
    return Wish(None, None, {"client_order_id": world.order()["name"]})


def orders_cancel(world: World) -> Wish:
    """Wish all orders gone, or those of a market."""
    return Wish(None, None, world.rng.choice([{}, {"market": world.market()}]))


def batch(world: World) -> Wish:
    """Wish several things at once."""
    world.tidy()
    count = world.rng.randint(1, 3)
    orders = [{"op": "order_place"} | order_place(world).body for _ in range(count)]
    return Wish({"commands": [*orders, {"op": "orders_cancel"}]})


def position_triggers_set(world: World) -> Wish:
    """Wish a take-profit and a stop-loss that the price has not reached."""
    world.tidy()
    market = world.market()
    opened = world.call("POST", f"{V1}/trade/create", {"market": market, "side": "buy", "margin": "12", "leverage": 3})
    triggers = {"take_profit": world.price(market, 4), "stop_loss": {"price_trigger": world.price(market, -4)}}
    return Wish({"position_id": world.position_id(opened)} | triggers)


def positions_close_all(world: World) -> Wish:
    """Wish everything closed."""
    return Wish(world.rng.choice([{}, {"market": world.market()}]))


def position_reverse(world: World) -> Wish:
    """Wish a net position turned round."""
    world.tidy()
    return Wish({"position_id": world.position_id(world.net())})


def margin_change(world: World) -> Wish:
    """Wish a little more margin in a ticket."""
    world.tidy()
    return Wish({"position_id": world.position_id(world.ticket()), "amount": world.rng.choice(["0.5", 1, "0.000001"])})


def leverage_set(world: World) -> Wish:
    """Wish another leverage."""
    return Wish({"market": world.market(), "leverage": world.rng.randint(1, 20)})


def margin_mode_set(world: World) -> Wish:
    """Wish a margin mode."""
    return Wish({"market": world.market(), "mode": world.rng.choice(["isolated", "cross"])})


def deadman_set(world: World) -> Wish:
    """Wish the dead-man's switch set, or off."""
    return Wish({"timeout_ms": world.rng.choice([0, 5_000, 86_400_000])})


def preview(world: World) -> Wish:
    """Wish an order calculated, by its quantity or by a size in place of one."""
    wished = world.rng.choice([order_place, trade_create])
    asked = {"op": wished.__name__, "body": wished(world).body}
    if world.rng.random() < SIZED_LIKELY:
        asked["body"] = {name: value for name, value in asked["body"].items() if name not in SIZES}
        asked["size"] = world.rng.choice([{"percent": "25"}, {"percent": 100}, {"usd": "12.5"}])
    return Wish(asked)


def account_guards_set(world: World) -> Wish:
    """Wish guards that forbid little."""
    guards = [{"slippage_bps": 50}, {"stp": "cancel_both"}, {"leverage_max": 100}, {"daily_loss_max": "4000"}]
    return Wish(world.rng.choice(guards))


def subaccount_open(world: World) -> Wish:
    """Wish a sub-account, as long as its owner may have one more."""
    world.wishes += 1
    if world.wishes % SUBACCOUNTS_EACH == 0:
        world.turn += 1
    return Wish({})


def account_transfer(world: World) -> Wish:
    """Wish a little money moved."""
    return Wish({"account_to": world.sub(), "amount": world.rng.choice(["0.01", "0.000001"])})


def verify_get(world: World) -> Wish:
    """Wish to sign in as a program."""
    return Wish(None, None, {"token": world.link()}, {"Accept": "application/json"})


def verify_post(world: World) -> Wish:
    """Wish to sign in."""
    return Wish({"token": world.link()})


def sign_out(world: World) -> Wish:
    """Wish a session of its own ended."""
    return Wish(None, None, {}, token=world.signed_in())


def session_revoke(world: World) -> Wish:
    """Wish another session of the same account ended."""
    token = world.signed_in()
    other = world.signed_in()
    rows = world.call("GET", f"{V1}/auth/sessions", token=other)["items"]
    current = next(row["id"] for row in rows if row["current"])
    return Wish(None, {"session_id": current}, {}, token=token)


def key_create(world: World) -> Wish:
    """Wish a key registered."""
    return Wish({"public_key": public_key(), "scopes": ["read", "trade"], "label": "fuzz"}, after=world.key_gone)


def key_revoke(world: World) -> Wish:
    """Wish a key revoked."""
    key = world.key()
    return Wish(None, {"key_id": key["key_id"]}, {}, after=lambda _answer: world.key_gone(key))


def key_rotate(world: World) -> Wish:
    """Wish a key replaced at once."""
    key = world.key()

    def both_gone(answer: Any) -> None:
        world.key_gone(key)
        world.key_gone(answer)

    return Wish({"public_key": public_key(), "overlap_s": 0}, {"key_id": key["key_id"]}, {}, after=both_gone)


def request_show(world: World) -> Wish:
    """Wish to know what became of a request."""
    return Wish(None, {"request_id": world.call("DELETE", f"{V1}/trade/orders")["request_id"]}, {})


def request_named_show(world: World) -> Wish:
    """Wish to know what became of an order by its name."""
    return Wish(None, None, {"client_order_id": world.order()["name"]})


def static_show(world: World) -> Wish:
    """Wish a file of the page."""
    return Wish(None, world.page_path(world.rng.choice(["icon.svg", "index.html"])), {})


def ops_show(world: World) -> Wish:
    """Wish to see the venue as an operator."""
    return Wish(None, None, {}, token=world.operator())


def in_market(world: World) -> Wish:
    """Wish to read of a market that there is, a page as it comes."""
    return Wish(None, {"market": world.market()}, {})


def plain(world: World, table: bool) -> Wish:
    """Wish what needs nothing; a history now and then as a table."""
    accept = {"Accept": "text/csv"} if table and world.rng.random() < 1 / 3 else {}
    return Wish(None, None, {}, accept)


WISHES: dict[str, Callable[[World], Wish]] = {
    wish.__name__: wish
    for wish in (
        order_place, trade_create, trade_close, order_amend, order_amend_named, order_cancel, order_cancel_named,
        orders_cancel, positions_close_all, position_reverse, margin_change, leverage_set, margin_mode_set,
        deadman_set, account_guards_set, subaccount_open, account_transfer, verify_get, verify_post, sign_out,
        session_revoke, key_create, key_revoke, key_rotate, request_show, request_named_show, batch,
        position_triggers_set, static_show, ops_show,
    )
}  # fmt: skip
WISHES |= {"preview_show": preview, "account_reset": lambda _world: Wish({})}


def wish_for(operation_id: str, path: str, world: World) -> Wish:
    """Return what to wish of an operation."""
    found = WISHES.get(operation_id)
    if found is not None:
        return found(world)
    return in_market(world) if "{market}" in path else plain(world, "/history/" in path)
