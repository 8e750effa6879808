"""What the documents say of every route: one row for each of the routes table, which a test compares."""

from gateway import bodies
from gateway.documents import queries
from gateway.documents.about import (
    BODY,
    CSV,
    FILES,
    HISTORY,
    HTML,
    JSON,
    LINKS,
    SHAPE,
    TEXT,
    VENUE,
    VIEW,
    About,
    codes_of,
)
from gateway.documents.abouts_trade import ABOUTS_TRADE
from gateway.documents.op_codes import refusals_of
from gateway.documents.replies import (
    ErrorTable,
    Health,
    KeyMade,
    Keys,
    LinkAsked,
    Ready,
    Revoked,
    Sessions,
    SignedIn,
    SignedOut,
)
from gateway.documents.replies_account import (
    Account,
    Assets,
    Balances,
    BalanceUsd,
    EquityPast,
    FillsPast,
    FundingsPast,
    LedgersPast,
    Orders,
    OrdersPast,
    OutcomeAccepted,
    OutcomeNotAccepted,
    OutcomeRefused,
    OutcomeUnknown,
    Positions,
    PositionsPast,
)
from gateway.documents.replies_market import (
    Candles,
    Depth,
    Fundings,
    Insurance,
    Liquidations,
    MarketAnswer,
    Markets,
    PricesAll,
    Ticker,
    Trades,
)
from gateway.documents.replies_ops import Ops
from gateway.errors import GatewayCode
from shared.codes import ResultCode

V1 = "/api/v1"
KEY = codes_of(
    GatewayCode.KEY_INVALID, GatewayCode.KEYS_MAX, ResultCode.FIELD_VALUE_UNKNOWN, ResultCode.NUMBER_NOT_TEXT
)
# The first sign-in opens the account.
LINK = codes_of(GatewayCode.LINK_INVALID, GatewayCode.LOG_UNAVAILABLE) | refusals_of("account_open")
MARKET = codes_of(ResultCode.MARKET_UNKNOWN)

_VENUE: dict[tuple[str, str], About] = {
    ("GET", "/"): About("venue", "The page to trade on", {200: HTML, 304: ()}),
    ("GET", "/ops"): About("venue", "The operator's page", {200: HTML, 304: ()}),
    ("GET", "/static/{tree}/{path}"): About(
        "venue",
        "A file of the pages, to be kept for ever",
        {200: FILES, 304: ()},
        codes=codes_of(GatewayCode.NOT_FOUND),
    ),
    ("GET", "/health"): About("venue", "Does the process live", {200: Health}),
    ("GET", "/ready"): About("venue", "May an instruction be sent now", {200: Ready, 503: Ready}, query=queries.Ready),
    ("GET", "/metrics"): About(
        "venue",
        "What the processes say of themselves, for Prometheus",
        {200: TEXT},
        codes=codes_of(GatewayCode.UNAUTHENTICATED),
    ),
    ("GET", "/openapi.json"): About("venue", "This document", {200: JSON, 304: ()}),
    ("GET", "/asyncapi.json"): About("venue", "The same of the WebSocket", {200: JSON, 304: ()}),
    ("GET", "/docs"): About("venue", "A page to read this document", {200: HTML, 304: ()}),
    ("GET", f"{V1}/ops"): About(
        "venue",
        "One look at the whole venue, for operators",
        {200: Ops},
        codes=codes_of(GatewayCode.ROLE_MISSING),
    ),
    ("GET", f"{V1}/errors"): About("venue", "What each code of a refusal means", {200: ErrorTable}),
    ("GET", f"{V1}/insurance"): About("venue", "What the insurance fund holds", {200: Insurance}, codes=VENUE | VIEW),
}
_SIGN_IN: dict[tuple[str, str], About] = {
    ("POST", f"{V1}/auth"): About(
        "sign-in",
        "Ask for a link by mail",
        {202: LinkAsked},
        bodies.SignIn,
        codes=LINKS | BODY | SHAPE,
    ),
    ("GET", f"{V1}/auth/verify"): About(
        "sign-in",
        "Follow a link; only Accept: application/json consumes it",
        {200: (SignedIn, HTML)},
        query=queries.Linked,
        codes=LINKS | LINK,
    ),
    ("POST", f"{V1}/auth/verify"): About(
        "sign-in",
        "Consume a link",
        {200: SignedIn, 303: ()},
        bodies.Verify,
        codes=LINKS | LINK | BODY | SHAPE,
        form=True,
    ),
    ("DELETE", f"{V1}/auth/logout"): About("sign-in", "End this session", {200: SignedOut}),
    ("GET", f"{V1}/auth/sessions"): About("sign-in", "Where the account is signed in", {200: Sessions}),
    ("DELETE", f"{V1}/auth/sessions/{{session_id}}"): About(
        "sign-in", "End a session", {200: Revoked}, codes=codes_of(GatewayCode.SESSION_UNKNOWN)
    ),
    ("POST", f"{V1}/keys"): About(
        "keys",
        "Register a key of a program",
        {201: KeyMade},
        bodies.KeyCreate,
        codes=BODY | SHAPE | KEY,
    ),
    ("GET", f"{V1}/keys"): About("keys", "The live keys of the account", {200: Keys}),
    ("DELETE", f"{V1}/keys/{{key_id}}"): About(
        "keys", "End a key", {200: Revoked}, codes=codes_of(GatewayCode.KEY_UNKNOWN)
    ),
    ("POST", f"{V1}/keys/{{key_id}}/rotate"): About(
        "keys",
        "Put a new key in the place of one",
        {201: KeyMade},
        bodies.KeyRotate,
        codes=BODY | SHAPE | KEY | codes_of(GatewayCode.KEY_UNKNOWN),
    ),
}
_ACCOUNT: dict[tuple[str, str], About] = {
    ("GET", f"{V1}/account"): About("account", "The account in one body", {200: Account}),
    ("GET", f"{V1}/account/balance"): About("account", "All balances", {200: Balances}),
    ("GET", f"{V1}/account/balance/usd"): About("account", "What it is worth in USD", {200: BalanceUsd}),
    ("GET", f"{V1}/account/assets"): About("account", "The instruments on offer", {200: Assets}),
    ("GET", f"{V1}/account/positions"): About(
        "account", "Open positions with their worth and risk", {200: Positions}, query=queries.OfMarket
    ),
    ("GET", "/api/positions"): About(
        "account", "The same as /api/v1/account/positions", {200: Positions}, query=queries.OfMarket
    ),
    ("GET", f"{V1}/account/orders"): About("account", "Live orders", {200: Orders}, query=queries.OfMarket),
    ("GET", f"{V1}/requests"): About(
        "account",
        "What became of the newest order of a name",
        {200: (OutcomeAccepted, OutcomeRefused, OutcomeUnknown, OutcomeNotAccepted)},
        query=queries.AskedByName,
        codes=codes_of(GatewayCode.OUTCOME_EXPIRED),
    ),
    ("GET", f"{V1}/requests/{{request_id}}"): About(
        "account",
        "What became of a request",
        {200: (OutcomeAccepted, OutcomeRefused, OutcomeUnknown, OutcomeNotAccepted)},
        query=queries.Asked,
        codes=codes_of(GatewayCode.OUTCOME_EXPIRED, GatewayCode.IDEMPOTENCY_KEY_INVALID),
    ),
}
_HISTORY: dict[tuple[str, str], About] = {
    ("GET", f"{V1}/account/history/{name}"): About(
        "history", f"{summary}, newest first", {200: (answer, CSV)}, query=query, codes=HISTORY
    )
    for name, summary, answer, query in (
        ("orders", "Closed orders", OrdersPast, queries.PastOrders),
        ("positions", "Closed positions", PositionsPast, queries.PastOfMarket),
        ("fills", "Fills", FillsPast, queries.PastFills),
        ("funding", "Funding that was paid or received", FundingsPast, queries.PastFundings),
        ("ledger", "Movements of money", LedgersPast, queries.PastLedger),
    )
}
_HISTORY[("GET", f"{V1}/account/history/equity")] = About(
    "history",
    "The wallet balance over time, newest first; of now the equity too",
    {200: EquityPast},
    query=queries.PastEquity,
    codes=HISTORY,
)
_MARKET: dict[tuple[str, str], About] = {
    ("GET", f"{V1}/market"): About("market", "All markets with all parameters", {200: Markets}, codes=VENUE),
    ("GET", f"{V1}/market/{{market}}"): About("market", "One market", {200: MarketAnswer}, codes=VENUE | MARKET),
    ("GET", "/api/prices"): About("market", "All prices in one answer", {200: PricesAll}, codes=VENUE | VIEW),
    ("GET", f"{V1}/market/{{market}}/ticker"): About(
        "market", "The last accepted quote and mark", {200: Ticker}, codes=VENUE | VIEW | MARKET
    ),
    ("GET", f"{V1}/market/{{market}}/candles"): About(
        "market",
        "Candles, newest first, the running one at the top",
        {200: Candles},
        query=queries.Candles,
        codes=VENUE | VIEW | HISTORY | MARKET,
    ),
    ("GET", f"{V1}/market/{{market}}/depth"): About(
        "market",
        "Users' resting orders by price, and the outside quote",
        {200: Depth},
        query=queries.Levels,
        codes=VENUE | VIEW | MARKET,
    ),
    ("GET", f"{V1}/market/{{market}}/trades"): About(
        "market", "Trades, newest first", {200: Trades}, query=queries.PastOfTime, codes=VENUE | HISTORY | MARKET
    ),
    ("GET", f"{V1}/market/{{market}}/funding"): About(
        "market",
        "Funding, newest first, and what comes next",
        {200: Fundings},
        query=queries.PastOfTime,
        codes=VENUE | VIEW | HISTORY | MARKET,
    ),
    ("GET", f"{V1}/market/{{market}}/liquidations"): About(
        "market",
        "Positions closed by force, newest first",
        {200: Liquidations},
        query=queries.Paged,
        codes=VENUE | HISTORY | MARKET,
    ),
}
ABOUTS: dict[tuple[str, str], About] = {**_VENUE, **_SIGN_IN, **ABOUTS_TRADE, **_ACCOUNT, **_HISTORY, **_MARKET}
