"""
What the feed of a random history says: quotes, marks and funding frames, gaps, silence, sessions, and what is wrong.
"""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.property import amounts
from tests.property.entries import SECOND_US, Entry
from tests.reference.markets import Market
from tests.reference.texts import decimals_of, number_text

if TYPE_CHECKING:
    from tests.property.histories import History

RATES = ["0.0000125", "-0.00003", "0.0005", "-0.0007"]
RATES_ODD = ["0", "0.02", "-0.02", "0.00000000051", "0.00000000149", "1", "-0.9", "-0.0015"]


def feed_up(history: "History") -> Entry:
    """Return an entry that opens a feed session, rarely one that closes it."""
    chance = history.chance
    if history.twin.state.feed_up and history.session and chance.random() < 0.3:
        body: dict[str, Any] = {"status": "down", "source": "simulated"}
    else:
        history.sessions += 1
        history.session = f"session{history.sessions:04d}"
        body = {"status": "up", "source": chance.choice(["simulated", "simulated", "recording:A"])}
        if chance.random() < 0.2:
            body["price_age_max_ms"] = chance.choice([1_000, 30_000])
    return Entry("feed_status", body, history.ts_us, history.session)


def quote(history: "History", name: str, jump: float = 0.0, spread: int | None = None, bid: int | None = None) -> Entry:
    """Return a quote near the market's drifting price or at a bid, sometimes with one thing wrong."""
    chance, market = history.chance, history.twin.state.markets[name]
    if bid is not None:
        history.drift[name] = max(1, bid) * float(market.tick)
    elif chance.random() < 0.85 or jump:
        history.drift[name] *= 1 + chance.gauss(0, history.violence) + jump
    bid = history.ticks_of(market)
    if spread is None:
        parts = chance.choice([0, 0, 2000, 700, 200, 70])
        spread = max(1, bid // parts) if parts else chance.choice([1, 2, 3])
    history.update_id += 1
    lag = chance.choice([40_000, 60_000])
    body: dict[str, Any] = {
        "A": size_text(history, market), "B": size_text(history, market), "E": history.ts_us - lag,
        "T": history.ts_us - lag, "a": amounts.price_text(market, bid + spread), "b": amounts.price_text(market, bid),
        "e": "bookTicker", "s": name, "u": history.update_id,
    }  # fmt: skip
    session = history.session
    if chance.random() < history.spoiling:
        session = quote_spoil(history, market, body, bid, bid + spread)
    return Entry("price_update", body, history.ts_us, session)


def size_text(history: "History", market: Market) -> str | None:
    """Return a displayed size: nothing, less than a lot, a few lots, what orders are made of, or very much."""
    chance = history.chance
    smallest = -(-market.limits["notional_min"] // (max(1, history.ticks_of(market)) * market.unit))
    lots = chance.choice(
        [0, 1, 2, 5, smallest, 3 * smallest, 10 * smallest, history.size_usual, history.size_usual, 40 * smallest]
    )
    roll = chance.random()
    if roll < 0.1:
        return number_text((lots + Fraction(1, 2)) * market.lot, decimals_of(market.lot) + 1)
    if roll < 0.13:
        return "999999999999999"
    if roll < 0.14:
        return None
    return amounts.qty_text(market, lots)


def quote_spoil(history: "History", market: Market, body: dict[str, Any], bid: int, ask: int) -> str:
    """Break one rule of quotes, and return the session to send it in."""
    now_us = history.ts_us
    spoils: list[dict[str, Any]] = [
        {"b": None}, {"a": None}, {"b": "0"}, {"a": "-1"}, {"s": "NONE_USDC_PERP"}, {"u": history.update_id - 1},
        {"a": body["b"]}, {"a": amounts.price_text(market, bid - 1) if bid > 1 else "0"},
        {"a": amounts.price_text(market, ask * 2)}, {"E": now_us - 3 * SECOND_US}, {"E": now_us + 3 * SECOND_US},
        {"E": now_us + 1_900_000}, {"E": now_us - 2 * SECOND_US - 40_000}, {"A": "-1"}, {"B": "-0.5"},
        {"b": amounts.price_text(market, (1 << 23) - 1), "a": amounts.price_text(market, 1 << 23)},
        {"b": amounts.off_grid(market, bid, -1), "a": amounts.off_grid(market, ask, 1)},
    ]  # fmt: skip
    if history.chance.random() < 0.1:
        return "nobody"
    body.update(history.chance.choice(spoils))
    return history.session


def gap(history: "History", name: str) -> list[Entry]:
    """Return quotes that jump, by less or more than a spike, and stay there one to four times."""
    jump = history.chance.choice([-0.4, -0.15, -0.098, -0.05, -0.02, 0.02, 0.05, 0.098, 0.15, 0.6])
    found = [quote(history, name, jump)]
    for _ in range(history.chance.randint(0, 3)):
        history.ts_us += 20_000
        found.append(quote(history, name))
    return found


def mark(history: "History", market: Market, off: float | None = None) -> Entry:
    """Return a mark near the mid, sometimes far, late or absurd; with it an index and what funding is due."""
    chance = history.chance
    base = history.drift[market.name] / float(market.tick)
    if off is None:
        off = history.mark_off * chance.choice([0, 0, 0.0004, -0.0007, 0.01, -0.01, 0.049, -0.049, 0.06, -0.2])
    ticks = base * (1 + off)
    text = amounts.price_text(market, round(ticks))
    if chance.random() < history.spoiling / 3:
        text = chance.choice(["0", "-1", "0.000000000001", "100000000"])
    if chance.random() < 0.3:
        text = number_text(Fraction(round(ticks * 4), 4) * market.tick, decimals_of(market.tick) + 2)
    event_us = history.ts_us - chance.choice([50_000, 50_000, 50_000, 1_500_000])
    index = amounts.price_text(market, round(base * (1 + chance.choice([0, 0.001, -0.001, 0.02]))))
    rate, next_ms = funding(history, market)
    body: dict[str, Any] = {
        "E": event_us, "T": event_us, "e": "markPrice", "f": rate, "i": index, "n": next_ms, "p": text,
        "s": market.name,
    }  # fmt: skip
    if chance.random() < 0.03:
        for key in chance.choice([["f"], ["n"], ["i"], ["f", "i", "n"]]):
            body[key] = None
    return Entry("mark_update", body, history.ts_us, history.session)


def funding(history: "History", market: Market) -> tuple[str, int]:
    """Return a funding rate and the time it is due: soon, later, the same again, long past, or too far ahead."""
    chance = history.chance
    rate = chance.choice(RATES_ODD if chance.random() < 0.2 else RATES)
    now_ms = history.twin.state.log_time_us // 1_000
    known = market.funding_next_ms or 0
    if chance.random() < history.funding_often:
        return rate, now_ms + chance.choice([1, 500, 1_000, 2_000, 4_000, 10_000])
    ahead = chance.choice([0, 30_000, -5_000, 86_400_000, 86_400_001, 3_600_000])
    offset = chance.choice([0, 0, 1, -1])
    return rate, max(0, chance.choice([history.funding_ms, history.funding_ms, known + offset, now_ms + ahead, 0]))
