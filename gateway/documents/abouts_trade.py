"""What the documents say of the routes that send an instruction."""

from msgspec import Struct

from gateway import bodies
from gateway.documents import queries
from gateway.documents.about import BODY, SHAPE, About, codes_of
from gateway.documents.op_codes import refusals_of
from gateway.documents.replies_account import Done, Unknown
from gateway.documents.replies_preview import Preview
from gateway.errors import GatewayCode
from gateway.shapes import BEYOND
from shared.codes import ResultCode

ADDRESS = "/api/v1/trade"
# Of every route that appends to the log.
SENT = codes_of(
    GatewayCode.IDEMPOTENCY_KEY_INVALID,
    GatewayCode.REQUEST_TIME_INVALID,
    GatewayCode.LOG_UNAVAILABLE,
)

# Only what has a wrong shape is refused by the calculator; what breaks a rule is its answer.
CALCULATED = (
    SHAPE
    | codes_of(*BEYOND.values())
    | codes_of(
        ResultCode.FIELDS_EXCLUSIVE,
        ResultCode.FIELD_VALUE_UNKNOWN,
        ResultCode.NUMBER_NOT_TEXT,
        ResultCode.NUMBER_MALFORMED,
        ResultCode.MARKET_UNKNOWN,
        GatewayCode.PREVIEW_UNAVAILABLE,
    )
)


def instruction(
    op: str, summary: str, body: type[Struct] | None = None, query: type[Struct] | None = None, tag: str = "trade"
) -> About:
    """Return the row of a route that sends one operation."""
    codes = SENT | refusals_of(op) | (BODY if body else frozenset())
    return About(tag, summary, {200: Done, 202: Unknown}, body, query, codes, instruction=True)


ABOUTS_TRADE: dict[tuple[str, str], About] = {
    ("POST", f"{ADDRESS}/create"): instruction("trade_create", "Open a ticket position", bodies.TradeCreate),
    ("POST", f"{ADDRESS}/close"): instruction("trade_close", "Close a position, whole or in part", bodies.TradeClose),
    ("POST", f"{ADDRESS}/order"): instruction("order_place", "Place an order", bodies.OrderPlace),
    ("PATCH", f"{ADDRESS}/order"): instruction(
        "order_amend", "Amend an order by your own name for it", bodies.OrderChange, queries.OfOrder
    ),
    ("PATCH", f"{ADDRESS}/order/{{order_id}}"): instruction("order_amend", "Amend an order", bodies.OrderChange),
    ("DELETE", f"{ADDRESS}/order"): instruction(
        "order_cancel", "Cancel an order by your own name for it", None, queries.OfOrder
    ),
    ("DELETE", f"{ADDRESS}/order/{{order_id}}"): instruction("order_cancel", "Cancel an order"),
    ("POST", f"{ADDRESS}/orders"): instruction("batch", "Send up to 20 operations in one entry", bodies.Batch),
    ("DELETE", f"{ADDRESS}/orders"): instruction(
        "orders_cancel", "Cancel all orders, or those of one market", None, queries.OfMarket
    ),
    ("PUT", f"{ADDRESS}/triggers"): instruction(
        "position_triggers_set", "Set or remove a position's take-profit and stop-loss", bodies.TriggersSet
    ),
    ("POST", f"{ADDRESS}/close-all"): instruction(
        "positions_close_all", "Close every position, or those of one market", bodies.PositionsCloseAll
    ),
    ("POST", f"{ADDRESS}/reverse"): instruction(
        "position_reverse", "Turn a net position into its opposite", bodies.PositionReverse
    ),
    ("POST", f"{ADDRESS}/margin"): instruction(
        "margin_change", "Put margin into a position or take some out", bodies.MarginChange
    ),
    ("POST", f"{ADDRESS}/leverage"): instruction(
        "leverage_set", "Set the leverage of the net position in a market", bodies.LeverageSet
    ),
    ("POST", f"{ADDRESS}/mode"): instruction(
        "margin_mode_set", "Set the margin mode of the net position in a market", bodies.MarginModeSet
    ),
    ("POST", f"{ADDRESS}/deadman"): instruction(
        "deadman_set", "Have orders cancelled unless this is said again in time", bodies.DeadmanSet
    ),
    ("POST", f"{ADDRESS}/preview"): About(
        "trade",
        "Calculate an instruction without sending it; what the venue would refuse is an answer too",
        {200: Preview},
        bodies.PreviewAsked,
        codes=BODY | CALCULATED,
    ),
    ("POST", "/api/v1/account/reset"): instruction(
        "account_reset", "Bring the account back to its beginning", bodies.AccountReset, tag="account"
    ),
    ("PUT", "/api/v1/account/guards"): instruction(
        "account_guards_set", "Set what you forbid yourself", bodies.AccountGuardsSet, tag="account"
    ),
    ("POST", "/api/v1/account/subaccounts"): instruction(
        "subaccount_open", "Open a sub-account", bodies.SubaccountOpen, tag="account"
    ),
    ("POST", "/api/v1/account/transfer"): instruction(
        "account_transfer", "Move money to another account of the same owner", bodies.AccountTransfer, tag="account"
    ),
}
