"""
The venue again, written from the design and not from the core: dicts, Fractions, linear scans, no cleverness.

Where the design is silent the twin, and with it the engine, does this:

Time and prices

* A tick more than 5 s ahead takes effect when the next tick lies within 5 s of it, before or after; the latter counts.
* What is due comes by time, then expiry before dead-man before funding, then id; the candle of a minute that was left
  comes last. Minutes that were skipped have no candle.
* A quote's sides are compared as they came and then rounded; a bid below one tick is outside the window. What lies
  outside the window is not measured for its spread.
* A quote of the session in force consumes its update id whatever becomes of it; a mark its event time, once that is
  compared.
* The lag of a quote that is sound up to there, newer and not early is remembered, whatever becomes of it.
* A mark frame more than 2 s ahead is early, like a quote, and consumes nothing.
* `up` begins anew: update ids, the time of the last mark frame, candidates. `down` of another session changes nothing,
  and after `down` nothing is of the current session.
* A spike is judged against an accepted mid of a former session too, while it is not older than 60 s.
* Funding rate and time are taken from accepted mark frames: when the time is later than the settled one and than now,
  at most a day ahead, and not later than one that is still due.
* A displayed size is floored to lots and at most an order's largest; each accepted quote begins a new budget a side.

Instructions

* While an instruction's own time is early, nothing is said of the time in its id.
* Of shapes (codes 600 to 608) the first key in canonical order that is wrong is named; an OCO's other leg and the
  parameters of a market are wrong at the place of their key. Then the needed keys of an order and of its other leg,
  then keys that do not go together, then grids and ranges in the order of keys, leg after leg, then whether the legs
  differ.
* An entry that cannot be read moves nothing, log time neither.
* What cannot be read, an unknown operation or key, and what the memory answers of an id it knows are not remembered.
* A frozen account's user may only arm the dead-man's switch; its operator may do all that opens nothing.
* An answer names the position of a placement that fills now or reduces, of a cancel or amend the one that the order
  reduces, and the operation `none` when it is unknown.
* In a batch each command is judged like an instruction of its own whose account is known; a command that is no object
  or names no operation is of the wrong type, one that a batch may not hold is unknown.
* Each filter is asked of both legs of an OCO before the next one. Size, value, band, counts; then freshness, ids in
  use, the size of what was given in money, the position named, the flags of one leg after the other, margin and
  limits, tables. A table or a count is only asked when something more is wanted of it.
* What an owner forbade himself by a day's loss is asked after whether the account is frozen; the leverage he forbade
  before the tier's. A guard on leverage lowers what is stored in each market; reserves follow when they are recomputed.
* An order's value, for the smallest notional, is that of its limit, of the trigger of a dormant market order, or of
  the touch; what only closes is exempt: reduce-only orders, and market and limit orders that the position covers,
  those that do not reach the touch only beside the older ones.

Orders

* A market-like order is IOC unless it says FOK, and shows its worst price as its price once it executes; until then it
  shows the price and the slippage it was given. The bound keeps inside the window. Closing trigger orders, SL, TP and
  the orders of trade_close and positions_close_all have none unless they were given one.
* A market or limit order that reduces shows the quantity it was clipped to; a dormant one is clipped when it wakes,
  and one given in percent has no quantity until then.
* A reduce-only limit rests with what its position has room for after its fills; with no room it is refused, or ends
  `filled` with what it has. Of an OCO pair only the resting leg takes room.
* SL, TP and brackets prevent self-trades by cancelling the maker; those of a limit kind are GTC, others have no TIF.
  They count as triggers, as all dormant orders do; delayed ones count among the resting.
* A bracket stays attached until a fill leaves a position of its entry's direction; then it is the position's SL and
  TP, or with `tpsl: order` a reduce-only pair of what that fill was, which grows with every later one until it wakes.
  When the entry ends before that it ends too, after it. One of an order that ends at once unfilled never comes into
  being.
* What a leg of an OCO fills is taken from the other, unless that is given in percent; a leg that is full ends the
  other, whatever that one's quantity. The end of a leg by other means leaves the other, which is told without its
  sibling.
* An amend that only takes from the quantity needs no price and keeps the place in the queue; so do equal values. A
  dormant order loses its place when it is repriced or grows.
* A trailing stop without activation price, or whose activation is met, starts at its source's present price. Waiting
  for activation, it stands among the triggers at that price. A trigger outside the window never fires.
* The limit leg of an OCO pair is refused when its walk would fill, cancel or be cut; post-only looks at the touch,
  whatever the budget. A bracket's sides are asked at placement only; a child that is met when it appears fires.
* Nothing comes to rest beside as many resting and delayed orders as the account may have: neither placed, amended,
  woken nor delayed. The order itself, and the sibling that ends for it, do not count; what its walk will cancel does.
* A woken order is judged like a new one without other counts and tables; what it breaks is its end, and its sibling
  goes on. What fails is told as it waited. Else the sibling ends before the fills. It goes to the end of the queue,
  as a delayed one does whose time has come.
* In a market with taker delay all that takes is put aside after it was found sound: also closes, reversals and amends,
  not what triggers wake. It is judged anew, from the position named on, at the first quote that is accepted when its
  time has come.

Matching

* The walk goes from price to price: users' orders inside the band first, the quote at prices better than the next of
  them. What the money cap leaves is asked before whose the order is. A reduce-only order without position left is
  passed over. One execution with the house stands for all its lots between two users' orders, and its closing part
  takes the first of them.
* Where its closing part would be worth less than nothing, a taker that is not forced meets no users' orders any more.
* A maker is tested with the fill, on what the walk has left of its position and free so far: what it closes may not be
  worth less than nothing; what it opens must keep its tier, open interest (longs after the fill), money (at most two
  micro short, which come off its margin) and not be liquidatable.
* A walk meets 512 users' orders at most, and accounts with 30 000 live orders together at most; what the quote does
  not take of one that has met so many ends, `liquidity_exhausted` if it would have rested. The order that is not met
  any more, here or for a closing part worth less than nothing, does not divide what the house takes.
* A taker's margin is found in free, in what its closing part brings, and in reserves of own orders that it cancels;
  reserves that its position would set free do not count. On a cross position free and available must both reach for
  margin and rest, available for the open loss too; what asks for no more than such reserves is not asked of available.
* What an isolated position, ticket or reserve takes beside cross positions must leave the pool sound: available, and
  above maintenance. Reserves of cross orders do not pay for it, for they were in the pool; an isolated market's newest
  orders end when recomputed reserves would take more.
* Behind a cross position's closing stands what the account has beyond the others' maintenance; its liquidation fee ends
  with the equity that is then left.
* What rests of a taker reserves as far as the position that its fills leave does not cover it, beside older orders.
* A ticket's exposure is that of the account in the market: itself, other tickets and the net position, and what rests
  of its side.
* A reserve pays the higher of an order's two fees, for nobody knows yet who will take.
* The leverage of a tier is that of the position of its side that a taker leaves, with what rests of that side, at the
  touch; of an order that only rests, at its limit. These limits are asked when something opens or rests, of orders
  that may open.
* A fill sets free what its order needs less, and claims nothing: what a lowered highest leverage asks more comes with
  the account's next execution there, amend or end of an order; a woken or delayed order that fails is none of these.
* Against the house a resting order is short of fee and margin by two micro at most, or it ends; of the open loss it
  brings what free, or what is available beside cross positions, has left; on a cross position there is none to bring.
* A flip's deficit is what its closing part would lack with its own share of the fee; free pays the opening's share.
* A liquidation ends the account's orders in the market but SL, TP and what reduces other positions; one of a pool all
  orders but SL, TP and what reduces isolated positions, delayed ones too. Its last displayed level has no end.
* It closes down to the highest tier that makes the rest healthy at mark with its fee paid; a worse fill is found again.
* In `book` mode it meets users up to the price at which margin, and when all is closed the insurance fund, are used up,
  but the fund pays for no price worse than the mark; then opposite positions by a score that is taken once in the
  market's turn, 512 that would be left below nothing passed over at most; then the house. A cross position has its
  share of the equity by notional for margin there, its prices stay in the band, and its account's others are not asked.
* A pool below nothing is paid for when its last position is gone and its newest reserving orders have ended. The rest
  of a position's margin that rounding leaves to auto-deleveraging goes to the insurance fund, a pool's stays in it.
* The house's own positions count against `positions_max`, and so does each net position that live orders may open.

Life

* A market is settled in an entry in which a quote or mark, a fill, margin, funding, or its state has changed something
  there, or in which an account is told that holds a cross position there; new parameters alone do not, nor does an SL
  or TP that is set, which is refused when it is met. What is not tradable then waits for another such entry.
* Markets are settled in order of id, pass after pass, as long as one is touched.
* Money leaves a pool up to what is free, available, and above its maintenance margin by a micro; marks of markets that
  stand still count as they are.
* A margin call is told in a tradable market, of what liquidations have left: of an isolated position once until its
  size, margin or leverage change, of a pool once a UTC day of log time.
* A day's result is what ledger legs of results, fees and funding sum to, so what is not realised does not count; later
  profit does not end the lock.
* The openings of a position, and its closings, are remembered up to 2**58 micro-USDC: before a fill would pass that,
  lots and notional are halved, both down. `qty` of a closed position is what is remembered of its closings.
* A request is remembered for five seconds at least, as long as an instruction may be late.
* Lowering the leverage takes margin for the net position, setting the same or a higher one takes none; a position
  shows the leverage it was opened with until leverage_set.
* Orders that end together end by age, each with its attached children after it.
* Settlement and reset close against the house past every book; a settlement has no fee.
* Funding's legs name the position; those of margin_change, leverage_set, credit and reset nothing.

The order of events

* The answer; `trigger_fired` or `liquidation`; then each step of the walk: a fill, the maker's fill, `trade`; the
  closing's legs (margin, pnl, fee, what covers a lack), the ends of what is bound to the position (TP, SL, reduce-only
  orders by age), `closed_position`, its last `position_changed`; the opening's legs (fee, margin), bracket; the same
  of the maker, its `position_changed`, its sibling, its end or image.
* After the steps: the taker's `position_changed` (of a reduce-only one even unfilled), its sibling, its end or, with
  what it keeps back, its image; then for each account, the taker's first: reduce-only orders without room, what a lost
  day ends, reserves by side and age, what a negative pool ends, its deficit, `account_changed`.
* Auto-deleveraging, fill by fill: both fills, `trade`, `adl`, the liquidated position's legs and end, the other's, its
  image, its order's end, its account as above; all before the liquidation's own end.
* `insurance_changed` is the last event of an entry in which the fund has changed.
"""

from tests.reference.venue import Reference

__all__ = ["Reference"]
