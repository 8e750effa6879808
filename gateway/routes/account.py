"""The caller's account: balances, what is on offer, open positions and orders."""

from starlette.responses import Response

from gateway.answers import ENVIRONMENT
from gateway.calls import Call, json_answer
from gateway.metering import SESSION
from gateway.routes.paging import market_read, page
from gateway.valuation import Terms, is_cross, pool_of
from gateway.views import AccountView
from gateway.worth import ASSET, Valued, account_body, positions_body, terms_by_market, valued_of, worth_body
from shared.units import money_text


async def account_show(call: Call) -> Response:
    """Answer the account in one body."""
    call.query()
    valued = await account_valued(call)
    body = account_body(call.account_id, valued, ENVIRONMENT) | valued.view.stamp()
    if call.caller.way == SESSION and call.account_id == call.caller.account_id:
        role = await call.role()
        body |= {} if role is None else {"role": role}
    return json_answer(call, body)


async def balance_show(call: Call) -> Response:
    """Answer all balances; there is one asset."""
    call.query()
    valued = await account_valued(call)
    return json_answer(call, page([{"asset": ASSET} | worth_body(valued)]) | valued.view.stamp())


async def balance_usd_show(call: Call) -> Response:
    """Answer what the account is worth in USD; USDC counts as one."""
    call.query()
    valued = await account_valued(call)
    body = {"asset": "USD", "equity": money_text(valued.value.equity_e6())}
    body["available"] = money_text(valued.pool.available_e6)
    return json_answer(call, body | valued.view.stamp())


async def assets_show(call: Call) -> Response:
    """Answer the instruments on offer."""
    call.query()
    return json_answer(call, page(call.desk.markets.all()))


async def positions_show(call: Call) -> Response:
    """Answer the open positions with mark, unrealised PnL, maintenance margin and rank of deleveraging."""
    market = market_read(call, call.query("market"))
    view = await call.desk.views.account(call.account_id)
    rows = [position for position in view.positions if market in (None, position["market"])]
    # One cross position's risk is that of all.
    pooled = [position for position in view.positions if is_cross(position)] if any(map(is_cross, rows)) else []
    terms = await terms_read(call, view, {position["market"] for position in rows + pooled})
    pool = pool_of(view.account, pooled, view.orders, view.modes, terms)
    return json_answer(call, page(positions_body(view, rows, terms, pool)) | view.stamp() | {"env": ENVIRONMENT})


async def orders_show(call: Call) -> Response:
    """Answer the live orders: resting ones and dormant triggers."""
    market = market_read(call, call.query("market"))
    view = await call.desk.views.account(call.account_id)
    items = [order for order in view.orders if market in (None, order["market"])]
    return json_answer(call, page(items) | view.stamp() | {"env": ENVIRONMENT})


async def account_valued(call: Call) -> Valued:
    """Return the caller's account and what it is worth."""
    view = await call.desk.views.account(call.account_id)
    return valued_of(view, await terms_read(call, view, {position["market"] for position in view.positions}))


async def terms_read(call: Call, view: AccountView, names: set[str]) -> dict[str, Terms]:
    """Return the terms of markets for an account; raises Refusal when a mark is missing."""
    return terms_by_market(call.desk.markets, view, await call.desk.views.priced(names))
