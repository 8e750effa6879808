// Events -> toasts: what was filled, what a stop or the venue closed, warnings; each order in one toast, kept up.

import { coin, money, price as price_text, quantity, signed, trend } from './format.js';
import { store } from './store.js';
import { on } from './stream.js';
import { order_key, toast } from './toasts.js';
import { kind_words, reason_words } from './words.js';

const REST_OF_ENTRY_MS = 200; // by then the other events of the same log entry are here
const DONE = { buy: 'Bought', sell: 'Sold' };
const VERB = { buy: 'buy', sell: 'sell' };
// Ends of orders that their owner asked for, or that come with something that says more.
const QUIET = new Set(['replaced', 'trigger_removed', 'oco', 'position_closed', 'parent_closed', 'reset', 'cancelled']);
const OF_VENUE = new Set(['liquidation', 'adl', 'settlement']);
const CLOSED_SOUNDLY = new Set(['take_profit', 'stop_loss']);
const CLOSED_BY_FORCE = new Set(['liquidation', 'adl', 'market_settled']);

/** Returns a price with the decimals of its market's tick. */
function price(text, market) {
  return price_text(text, store.get().markets[market]?.tick);
}

/** Shows a toast for each event that its owner should know of; returns what ends that. */
export function notices_start() {
  const ends = [
    on.fill(fill_tell),
    on.closed_order(order_tell),
    on.closed_position(position_tell),
    on.trigger_fired(trigger_tell),
    on.margin_call(call_tell),
    on.liquidation(liquidation_tell),
    on.gap(gap_tell),
  ];
  return () => ends.forEach((end) => end());
}

/** Tells a fill of an order that lives on; its end, which comes a moment after its last fill, tells the rest. */
function fill_tell({ market, order_id, side, qty, price: at }) {
  setTimeout(() => {
    const order = store.get().orders[order_id];
    if (!order) return;
    const title = `${DONE[side]} ${quantity(qty)} ${coin(market)} at ${price(at, market)}`;
    toast({ kind: 'ok', title, text: 'Part of an order that goes on.', key: key_of(order) });
  }, REST_OF_ENTRY_MS);
}

/** Tells how an order ended; of a position's own stop or take-profit the position's end says more. */
function order_tell(order) {
  const { market, side, kind, reason, qty, qty_filled, price_average, result } = order;
  if (OF_VENUE.has(kind)) return;
  const filled = price_average !== undefined;
  const key = key_of(order);
  if (store.get().toasts.some((each) => each.key === key && each.ends)) return;
  const done = `${DONE[side]} ${quantity(qty_filled)} ${coin(market)} at ${price(price_average, market)}`;
  if (reason === 'filled') {
    toast({ kind: 'ok', title: done, text: kind === 'market' ? '' : `${kind_words(kind)} order filled.`, key });
  } else if (!QUIET.has(reason)) {
    const size = qty ? `${quantity(qty)} ` : '';
    const title = `Order to ${VERB[side]} ${size}${coin(market)} ended: ${reason_words(reason).toLowerCase()}`;
    const text = filled ? `${done} before that.` : 'Nothing of it was filled.';
    const detail = result && result !== 'OK' ? result : '';
    toast({ kind: filled ? 'info' : 'warn', title, text, detail, key });
  }
}

/** Returns by which key the toasts of an order and of its position, where it has one, replace each other. */
function key_of({ order_id, position_id, kind }) {
  return position_id && kind !== 'market' && kind !== 'limit' ? `position:${position_id}` : order_key(order_id);
}

/** Tells how a position ended, where its owner did not press a button for it. */
function position_tell({ market, position_id, direction, qty, reason, pnl_realised, price_exit }) {
  const sound = CLOSED_SOUNDLY.has(reason);
  const forced = CLOSED_BY_FORCE.has(reason);
  if (!sound && !forced) return;
  const what = `${direction} ${quantity(qty)} ${coin(market)}`;
  toast({
    kind: forced ? 'warn' : trend(pnl_realised) === 'down' ? 'info' : 'ok',
    title: `${reason_words(reason)}: ${what} closed at ${price(price_exit, market)}`,
    text: `Result ${signed(pnl_realised)} USDC before fees and funding.`,
    key: `position:${position_id}`,
    ends: true,
    sticky: forced,
  });
}

/** Tells that an order woke. */
function trigger_tell({ market, order_id, position_id, price_trigger }) {
  const title = `${coin(market)}: trigger at ${price(price_trigger, market)} reached`;
  toast({ kind: 'info', title, key: key_of({ order_id, position_id }) });
}

/** Warns that a liquidation is near. */
function call_tell({ market, mode, equity, margin_maintenance }) {
  const whose = market ? `${coin(market)} position` : 'Cross positions';
  toast({
    kind: 'warn',
    title: `${whose}: liquidation is near`,
    text: `Equity ${signed(equity)} USDC, needed ${money(margin_maintenance)}. Close part of it or add margin.`,
    key: `call:${market ?? mode}`,
    sticky: true,
  });
}

/** Tells that the venue closes a position by force. */
function liquidation_tell({ market, qty, price_mark }) {
  toast({
    kind: 'warn',
    title: `Liquidation: ${quantity(qty)} ${coin(market)} at mark ${price(price_mark, market)}`,
    text: 'The margin no longer carried the position.',
    sticky: true,
  });
}

/** Tells that events were missed for good. */
function gap_tell({ scope }) {
  if (scope !== 'private') return;
  toast({
    kind: 'info',
    title: 'Away for longer than events are kept',
    text: 'Everything was read anew; the histories below hold what happened meanwhile.',
    key: 'gap',
  });
}
