"""An event or an entry of the log in one sentence, said to the account's holder; pure, one function a kind."""

from collections.abc import Callable
from typing import Any

import orjson

Event = dict[str, Any]


def order_response(event: Event) -> str:
    """Say how an instruction was answered."""
    op = event["op"].replace("_", " ")
    results = event.get("results")
    listed = f", its commands {', '.join(each['result'] for each in results)}" if results else ""
    if event["result"] == "OK":
        about = "".join(
            f", {name.removesuffix('_id')} {event[name]}" for name in ("order_id", "position_id") if name in event
        )
        return f"{op} accepted{about}{listed}"
    first = f", as already answered at entry {event['first_seq']:,}" if "first_seq" in event else ""
    return f"{op} refused: {event['result']}{listed}{first}"


def order_changed(event: Event) -> str:
    """Say how an order stands."""
    where = f" at {event['price']}" if "price" in event else ""
    trigger = f", waits for {event['trigger_by']} {event['price_trigger']}" if "price_trigger" in event else ""
    filled = f", {event['qty_filled']} filled" if event["qty_filled"].strip("0.") else ""
    qty = event.get("qty", "the position")
    what = f"{event['kind'].replace('_', ' ')} {event['side']} {qty}"
    return f"order {event['order_id']} stands {event['status']}: {what}{where}{trigger}{filled}"


def closed_order(event: Event) -> str:
    """Say how an order ended."""
    average = f" at {event['price_average']} on average" if "price_average" in event else ""
    result = f" ({event['result']})" if "result" in event else ""
    return f"order {event['order_id']} ended, {spoken(event['reason'])}{result}: {event['qty_filled']} filled{average}"


def fill(event: Event) -> str:
    """Say what was bought or sold."""
    did = "bought" if event["side"] == "buy" else "sold"
    gain = f", realised {event['pnl_realised']}" if event["pnl_realised"].strip("-0.") else ""
    role = "maker" if event["maker"] else "taker"
    return f"you {did} {event['qty']} at {event['price']}, {role} fee {event['fee']}{gain}"


def trade(event: Event) -> str:
    """Say what was traded in the open."""
    return f"{event['market']} traded {event['qty']} at {event['price']}"


def position_changed(event: Event) -> str:
    """Say how a position stands."""
    entry = f" entered at {event['price_entry']}" if "price_entry" in event else ""
    end = f", liquidated at {event['price_liquidation']}" if "price_liquidation" in event else ""
    return f"position {event['position_id']} stands at {event['qty']}{entry}, margin {event['margin']}{end}"


def closed_position(event: Event) -> str:
    """Say how a position ended."""
    return (
        f"position {event['position_id']} ended, {spoken(event['reason'])}: {event['direction']} {event['qty']} from"
        f" {event['price_entry']} to {event['price_exit']}, realised {event['pnl_realised']}, fees {event['fees']},"
        f" funding {event['funding']}"
    )


def account_changed(event: Event) -> str:
    """Say what an account holds."""
    frozen = ", frozen" if event.get("frozen") else ""
    return f"account {event['account']} has {event['free']} free, {event['reserved']} reserved{frozen}"


def ledger(event: Event) -> str:
    """Say which money moved."""
    way = "to" if event["amount"].startswith("-") else "from"
    amount = event["amount"].lstrip("-")
    return f"{amount} moved {way} {event['counter']} ({spoken(event['reason'])}), {event['free_after']} free after it"


def trigger_fired(event: Event) -> str:
    """Say what woke an order."""
    by = f"{event['trigger_by']} {event['price']}"
    return f"order {event['order_id']} woke: {by} met its trigger {event['price_trigger']}"


def liquidation(event: Event) -> str:
    """Say what was closed by force."""
    return (
        f"position {event['position_id']} is liquidated: {event['qty']} at {event['price']},"
        f" with the mark at {event['price_mark']}"
    )


def deficit(event: Event) -> str:
    """Say who paid what a position was worth less than nothing."""
    return f"{event['payer']} paid {event['amount']} that position {event['position_id']} was short of"


def margin_call(event: Event) -> str:
    """Say what comes near liquidation."""
    what = f"position {event['position_id']}" if "position_id" in event else "your cross positions"
    return f"margin call: {what} with equity {event['equity']}, maintenance margin {event['margin_maintenance']}"


def adl(event: Event) -> str:
    """Say what was closed to take the other side of a liquidation."""
    return (
        f"position {event['position_id']} was deleveraged: {event['qty']} at {event['price']},"
        f" for liquidation order {event['liquidation_order_id']}"
    )


def account_opened(event: Event) -> str:
    """Say that an account began."""
    main = f" as sub-account {event['sub']} of {event['main']}" if "main" in event else ""
    return f"account {event['account']} was opened{main}"


def account_market_changed(event: Event) -> str:
    """Say what an account set for a market."""
    return f"{event['market']} set to leverage {event['leverage']}, {event['mode']}"


def account_guards_changed(event: Event) -> str:
    """Say what an owner forbids himself."""
    names = ("leverage_max", "daily_loss_max", "slippage_bps", "stp")
    told = [f"{name.replace('_', ' ')} {event[name]}" for name in names if name in event]
    return f"guards of the account are now: {', '.join(told) or 'none'}"


def funding(event: Event) -> str:
    """Say what a position paid or received."""
    did = "paid" if event["amount"].startswith("-") else "received"
    return (
        f"position {event['position_id']} {did} funding {event['amount'].lstrip('-')} at rate {event['rate']},"
        f" mark {event['price_mark']}"
    )


def market_changed(event: Event) -> str:
    """Say how a market stands."""
    fees = f"fees {event['fee_maker_ppm']} and {event['fee_taker_ppm']} ppm"
    return f"{event['market']} is {event['state']}: leverage up to {event['leverage_max']}, {fees}"


def venue_changed(event: Event) -> str:
    """Say what the venue is set to."""
    return f"the venue's parameters changed, starting balance {event['starting_balance']}"


def insurance_changed(event: Event) -> str:
    """Say what the insurance fund holds."""
    return f"the insurance fund holds {event['balance']}"


def funding_settled(event: Event) -> str:
    """Say what a market's funding came to."""
    return f"funding of {event['market']} settled at rate {event['rate']} for {event['positions']} positions"


def funding_skipped(event: Event) -> str:
    """Say that nobody paid funding."""
    return f"funding of {event['market']} was skipped: {spoken(event['reason'])}"


def candle(event: Event) -> str:
    """Say how a minute ended."""
    return f"a minute of {event['market']} closed at {event.get('close', 'no price')}"


WORDS: dict[str, Callable[[Event], str]] = {
    function.__name__: function
    for function in (
        order_response, order_changed, closed_order, fill, trade, position_changed, closed_position, account_changed,
        ledger, trigger_fired, liquidation, deficit, margin_call, adl, account_opened, account_market_changed,
        account_guards_changed, funding, market_changed, venue_changed, insurance_changed, funding_settled,
        funding_skipped, candle,
    )
}  # fmt: skip


def spoken(code: str) -> str:
    """Return a code's name as words."""
    return code.replace("_", " ")


def event_words(event: Event) -> str:
    """Return an event in one sentence; a kind of a newer build by its name."""
    words = WORDS.get(event.get("e", ""))
    return words(event) if words is not None else str(event.get("e"))


def cause_words(entry: Any) -> str:
    """Return in a few words what an entry of the log is."""
    kind, value = (field.decode("utf-8", "replace") for field in entry.fields[-1])
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return f"{kind}, not readable"
    if kind in ("user_instruction", "venue_instruction"):
        who = "request" if kind == "user_instruction" else "operator's request"
        return f"{who} {body.get('request_id', '?')}: {spoken(str(body.get('op', '?')))}"
    if kind == "price_update":
        return f"quote of {body.get('s')}: {body.get('b')} / {body.get('a')}"
    if kind == "mark_update":
        return f"mark of {body.get('s')}: {body.get('p')}"
    if kind == "feed_status":
        return f"feed {body.get('status')}"
    if kind == "restored":
        return f"restored, entries {body.get('first_lost')} to {body.get('last_lost')} are lost"
    return {"clock_tick": "the clock", "genesis": "the founding", "lead": "a change of leader"}.get(kind, kind)
