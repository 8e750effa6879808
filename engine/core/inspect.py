"""What a shell or a tool wants to read of a state, as plain Python values; writes nothing but scratch sums."""

from typing import Any

import numpy as np
from numpy import int64

from engine.core import adl, cross, ladder, limits, margin, prices, tables, triggers
from engine.core.kernel import entry, kernel
from engine.core.snapshot import peaks_write
from shared import units
from shared.codes import ACCOUNT_FIRST, FeedStatus, IgnoreReason, Liquidity, MarketState, OrderKind, OrderStatus, Side

BOOK_LEVELS_MAX = 50
BOOK_ORDERS_MAX = 2_000  # a side: a look at the most crowded book takes the engine a known time

_IGNORES = [reason.name.lower() for reason in IgnoreReason]


def header(states: np.ndarray) -> dict[str, Any]:
    """Return where the state stands: seq, times, rules, leader, last events id, feed."""
    row = states.view(np.ndarray)[0]["header"]
    return {
        "seq": int(row["seq"]),
        "log_time_us": int(row["log_time_us"]),
        "tick_time_us": int(row["tick_time_us"]),
        "rules": int(row["rules"]),
        "lead_seq": int(row["lead_seq"]),
        "leader": units.text_of_words(row["leader"].tolist()),
        "events_last": (int(row["events_seq"]), int(row["events_chunk"])),
        "venue": units.text_of_words(row["venue"].tolist()),
        "feed_session": units.text_of_words(row["feed_session"].tolist()),
        "feed_source": units.text_of_words(row["feed_source"].tolist()),
        "feed_status": FeedStatus(int(row["feed_status"])).name.lower(),
        "keyframe_slot": int(row["keyframe_slot"]),
    }


def markets_of(states: np.ndarray) -> list[str]:
    """Return the market names; a market's id is its place plus one."""
    state = states.view(np.ndarray)[0]
    rows = state["markets"][: int(state["venue"]["markets_count"])]
    return [units.text_of_words(row["config"]["market"].tolist()) for row in rows]


@entry
def market_fresh(states, market_row):
    """Return whether a market is fresh, for the shell."""
    return prices.fresh(states[0], market_row)


def market_views(states: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return each market's public figures, decimals as text, counters as integers."""
    state = states.view(np.ndarray)[0]
    head = state["header"]
    views = {}
    for index, name in enumerate(markets_of(states)):
        market, feed = state["markets"][index], state["feeds"][index]
        tick_e12, lot_e12 = int(market["config"]["tick_e12"]), int(market["config"]["lot_e12"])
        ticks, lots = units.decimals_of(tick_e12), units.decimals_of(lot_e12)
        halves = units.decimals_of(tick_e12 // 2)
        house = state["positions"][int(state["market_links"][index]["house_row"])]
        view: dict[str, Any] = {
            key: units.decimal_text(int(market[field]) * tick_e12, ticks)
            for key, field in (
                ("bid", "bid_ticks"),
                ("ask", "ask_ticks"),
                ("mark", "mark_ticks"),
                ("index", "index_ticks"),
            )
            if market[field] > 0
        }
        view["bid_qty"] = units.decimal_text(int(market["bid_lots"]) * lot_e12, lots)
        view["ask_qty"] = units.decimal_text(int(market["ask_lots"]) * lot_e12, lots)
        view["funding_rate"] = units.decimal_text(int(market["funding_rate_ppb"]) * 1000, 9)
        view["funding_next_ms"] = int(market["funding_next_ms"])
        view["quote_us"], view["mark_us"] = int(market["quote_us"]), int(market["mark_us"])
        view["fresh"] = int(market_fresh(states, index))
        view["state"] = MarketState(int(market["state"])).name.lower()
        view["liquidity"] = Liquidity(int(market["config"]["liquidity"])).name.lower()
        view["accepted"] = int(feed["quotes_accepted"])
        view["ignored"] = {
            _IGNORES[code]: int(count) for code, count in enumerate(feed["quotes_ignored"][: len(_IGNORES)]) if count
        }
        view["candle"] = {
            "minute_ms": int(head["minute"]) * (limits.MINUTE_US // 1000),
            "quotes": int(market["candle_quotes"]),
        }
        for key in ("open", "high", "low", "close"):
            if market["candle_close_x2"] > 0:
                view["candle"][key] = units.decimal_text(int(market[f"candle_{key}_x2"]) * tick_e12 // 2, halves)
        view["source"] = units.text_of_words(head["feed_source"].tolist())
        view["open_interest"] = units.decimal_text(int(market["open_interest_lots"]) * lot_e12, lots)
        view["house_lots"] = int(house["lots"])
        view["seq"], view["log_time_us"] = int(head["seq"]), int(head["log_time_us"])
        views[name] = view
    return views


@kernel
def side_levels_write(state, row, side, levels, figures):
    """
    Write (price_ticks, lots) of the best levels of one ladder of resting orders into figures[side].

    Returns 1 when BOOK_ORDERS_MAX orders were met before the levels were full: the last level may hold more.
    """
    node = int64(row.best_node)
    level = int64(-1)
    met = int64(0)
    while node != ladder.NODE_NONE:
        order = state.orders[node]
        another = level < 0 or figures[side, level, 0] != order.price_ticks
        if another and level + 1 == levels:
            return int64(0)
        if met == BOOK_ORDERS_MAX:
            return int64(1)
        if another:
            level += 1
            figures[side, level, 0] = order.price_ticks
        figures[side, level, 1] += order.qty_lots - order.qty_filled_lots
        node = ladder.ladder_after(row, state.nodes, node)
        met += 1
    return int64(0)


@entry
def book_write(states, market_row, levels, figures):
    """
    Write the best levels of users' resting orders, buys before sells; return how many sides were cut short: 0, 1, 2.

    Shapes: figures int64[2, levels, 2], zeros; a level of price 0 is none.
    """
    state = states[0]
    short = int64(0)
    for side in range(2):
        number = triggers.REST_BUY if side == 0 else triggers.REST_SELL
        row = state.ladders[market_row * limits.LADDERS_COUNT + number]
        short += side_levels_write(state, row, int64(side), levels, figures)
    return short


def book_levels(states: np.ndarray, market_row: int, levels: int = BOOK_LEVELS_MAX) -> dict[str, Any]:
    """Return users' resting orders of a market by price, the best first: [price, qty] as text; `truncated` if cut."""
    config = states.view(np.ndarray)[0]["markets"][market_row]["config"]
    tick_e12, lot_e12 = int(config["tick_e12"]), int(config["lot_e12"])
    ticks, lots = units.decimals_of(tick_e12), units.decimals_of(lot_e12)
    figures = np.zeros((2, levels, 2), np.int64)
    short = int(book_write(states, market_row, levels, figures))
    bids, asks = (
        [
            [units.decimal_text(price * tick_e12, ticks), units.decimal_text(held * lot_e12, lots)]
            for price, held in side
            if price > 0
        ]
        for side in figures.tolist()
    )
    return {"bids": bids, "asks": asks} | ({"truncated": True} if short else {})


def account_of(states: np.ndarray, account_id: int) -> dict[str, int] | None:
    """Return one account's balances in micro-USDC, or None."""
    state = states.view(np.ndarray)[0]
    if not (1 <= account_id <= 4 or ACCOUNT_FIRST <= account_id < int(state["venue"]["account_next"])):
        return None
    row = state["accounts"][account_row(account_id)]
    names = ("account_id", "free_e6", "reserved_e6", "opened_us", "frozen", "deadman_us", "deadman_scope", "resets")
    return {name: int(row[name]) for name in names}


def leverages_of(states: np.ndarray, account_id: int) -> dict[str, int]:
    """Return the leverage that an account has set, by market; a market without one has the default."""
    row = states.view(np.ndarray)[0]["accounts"][account_row(account_id)]
    return {
        name: int(row["leverage"][index]) for index, name in enumerate(markets_of(states)) if row["leverage"][index]
    }


def account_row(account_id: int) -> int:
    """Return the row of an account, as `tables.account_row` does for the kernels."""
    return account_id - ACCOUNT_FIRST + tables.USER_ROW_FIRST if account_id >= ACCOUNT_FIRST else account_id


def accounts_of(states: np.ndarray) -> list[dict[str, int]]:
    """Return every account, the venue's own first."""
    state = states.view(np.ndarray)[0]
    ids = [*range(1, 5), *range(ACCOUNT_FIRST, int(state["venue"]["account_next"]))]
    return [found for found in (account_of(states, account_id) for account_id in ids) if found is not None]


POOL_FIGURES = ("cash_e6", "results_e6", "initial_e6", "equity_e6", "available_e6", "maintenance_e6")


@entry
def pool_write(states, row, figures):
    """Write an account's POOL_FIGURES over its cross positions, at the marks of now, into int64[6]; writes `pool`."""
    state = states[0]
    cross.account_sum(state, row)
    pool = state.pool
    cash_e6 = cross.cash_e6(state, row)
    figures[0] = cash_e6
    figures[1] = pool.results_e6
    figures[2] = pool.initial_e6
    figures[3] = cash_e6 + pool.results_e6
    figures[4] = state.accounts[row].free_e6 + pool.results_e6 - pool.initial_e6
    figures[5] = cross.maintenance_e6(pool)


def pool_of(states: np.ndarray, account_id: int) -> dict[str, int]:
    """Return an account's cash, equity, available and maintenance margin over its cross positions, in micro-USDC."""
    figures = np.zeros(len(POOL_FIGURES), np.int64)
    pool_write(states, account_row(account_id), figures)
    return dict(zip(POOL_FIGURES, figures.tolist(), strict=True))


@entry
def scores_write(states, market_row, rows, scores):
    """Write the rows and scores of a market's open user positions, by id, and return how many; writes `pool`."""
    state = states[0]
    count = 0
    row = state.market_links[market_row].position_first
    while row != limits.ROW_NONE:
        if state.positions[row].account_id >= ACCOUNT_FIRST:
            rows[count] = row
            scores[count] = adl.adl_score(state, row)
            count += 1
        row = int64(state.position_links[row].market_next)
    return count


def _scores(states: np.ndarray, market_row: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return (ids, scores) of the longs and of the shorts of a market, whoever auto-deleveraging asks first leading."""
    state = states.view(np.ndarray)[0]
    room = int(state["positions_table"]["live"])
    rows, scores = np.zeros(room, np.int64), np.zeros(room, np.int64)
    count = scores_write(states, market_row, rows, scores)
    rows, scores = rows[:count], scores[:count]
    table = state["positions"]
    found = []
    for side in (table["lots"][rows] > 0, table["lots"][rows] < 0):
        # They come by id, and a stable sort leaves those of one score so.
        order = np.argsort(-scores[side], kind="stable")
        found.append((table["position_id"][rows[side]][order], scores[side][order]))
    return tuple(found)


def adl_scores(states: np.ndarray, market_row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the auto-deleveraging scores of a market's longs and of its shorts, each descending."""
    (_, longs), (_, shorts) = _scores(states, market_row)
    return longs, shorts


def adl_ranks(states: np.ndarray, market_row: int) -> dict[int, int]:
    """Return, by position id, which fifth of its direction auto-deleveraging asks it in: 5 first, 1 last."""
    return {
        int(position_id): 5 - 5 * rank // len(ids)
        for ids, _ in _scores(states, market_row)
        for rank, position_id in enumerate(ids)
    }


@entry
def position_threshold(states, row):
    """Return a position's liquidation threshold in ticks, for the shell; 0 none."""
    return margin.threshold_ticks(states[0], row)


def _row_dict(row: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a record as a dict of Python integers."""
    names = [name for name in row.dtype.names if name not in skip]
    return {name: int(row[name]) for name in names}


def positions_of(states: np.ndarray, account_id: int | None = None) -> list[dict[str, Any]]:
    """Return positions by id, of one account or of all, with market name, side and threshold."""
    state = states.view(np.ndarray)[0]
    names = markets_of(states)
    rows = state["positions"][1 : int(state["positions_table"]["top"]) + 1]
    chosen = (
        np.flatnonzero(rows["position_id"])
        if account_id is None
        else np.flatnonzero((rows["position_id"] > 0) & (rows["account_id"] == account_id))
    )
    found = []
    for index in chosen[np.argsort(rows["position_id"][chosen])]:
        row = _row_dict(rows[index], ("pad",))
        row["market"] = names[row["market_id"] - 1]
        row["threshold_ticks"] = int(position_threshold(states, int(index) + 1))
        found.append(row)
    return found


def orders_of(states: np.ndarray, account_id: int | None = None) -> list[dict[str, Any]]:
    """Return live orders by id, of one account or of all, codes as lower-case names."""
    peaks_write(states)
    state = states.view(np.ndarray)[0]
    names = markets_of(states)
    rows = state["orders"][1 : int(state["orders_table"]["top"]) + 1]
    chosen = (
        np.flatnonzero(rows["order_id"])
        if account_id is None
        else np.flatnonzero((rows["order_id"] > 0) & (rows["account_id"] == account_id))
    )
    found = []
    for index in chosen[np.argsort(rows["order_id"][chosen])]:
        row = _row_dict(rows[index], ("client_order_id", "pad"))
        row["client_order_id"] = units.text_of_words(rows[index]["client_order_id"].tolist())
        row["market"] = names[row["market_id"] - 1]
        row["side"], row["kind"] = Side(row["side"]).name.lower(), OrderKind(row["kind"]).name.lower()
        row["status"] = OrderStatus(row["status"]).name.lower()
        found.append(row)
    return found
