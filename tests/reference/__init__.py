"""
The venue again, written from the design and not from the core: dicts, Fractions, linear scans, no cleverness.

Where the design is silent the twin, and with it the engine, does this:

* A tick more than 5 s ahead takes effect when the next tick lies within 5 s of it, before or after; the latter counts.
* When log time leaves a minute, that minute's candle is told; minutes that were skipped have none.
* A quote's sides are compared as they came and then rounded; a bid below one tick is outside the window. What lies
  outside the window is not measured for its spread.
* A quote of the session in force consumes its update id whatever becomes of it; a mark its event time, once that is
  compared.
* The lag of a quote that is sound up to there, newer and not early is remembered, whatever becomes of it.
* A mark frame more than 2 s ahead is early, like a quote, and consumes nothing.
* A flip's deficit is what its closing part would lack with its own share of the fee; free pays the opening's share.
* While an instruction's own time is early, nothing is said of the time in its id.
* `up` begins anew: update ids, the time of the last mark frame, candidates. `down` of another session changes nothing,
  and after `down` nothing is of the current session.
* A spike is judged against an accepted mid of a former session too, while it is not older than 60 s.
* Of shapes (codes 600 to 606) the first key in canonical order that is wrong is named; then quantity, price, slippage,
  triggers; then the largest order, the smallest notional, the band, the counts.
* What cannot be read, an unknown operation or key, and what the memory answers of an id it knows are not remembered.
* A market order is IOC unless it says FOK, and shows its bound as its price; post-only goes with a resting limit alone.
* A taker's margin is found in free and in what its closing part brings; reserves that it would set free do not count.
* An order's value, for the smallest notional, is that of its limit, or of the touch without one; an order
  that only closes is exempt; one that does not take, only if the position covers it beside the older ones.
* The leverage of a tier is that of the position a taker leaves, at the touch; of a resting order, at its limit, of the
  position with all resting orders of its side.
* SL and TP of an order that ends at once never come into being. Those of positions and brackets count as triggers.
* The house's own positions count against `positions_max`, and so does each net position that resting orders may open.
* Within an entry: the answer; `trigger_fired` or `liquidation`; `fill`, `trade`; the closing's legs (margin, pnl, fee,
  what covers a lack), the ends of SL and TP, `closed_position`, its last `position_changed`; the opening's legs (fee,
  margin), bracket, `position_changed`; `closed_order`; reserves by side and age; `account_changed`.
"""

from tests.reference.venue import Reference

__all__ = ["Reference"]
