// Which price lines a market's chart shows, and what request moves one of them: pure, from the state to plain objects.

import { absolute, plus, trim } from '../format.js';

const ORDER_WORDS = {
  limit: 'Limit',
  stop_market: 'Stop',
  stop_limit: 'Stop limit',
  take_profit_market: 'Take profit',
  take_profit_limit: 'Take profit limit',
  trailing_stop: 'Trailing stop',
};

/**
 * A line of the chart.
 * @typedef {object} Line
 * @property {string} id stays the same as long as the line is the same thing
 * @property {'entry'|'liquidation'|'stop_loss'|'take_profit'|'limit'|'trigger'} kind
 * @property {string} price where it stands
 * @property {string} [limit] the limit price that moves along with a trigger
 * @property {string} [trigger_by] what a trigger watches
 * @property {string} words what it is and of which side
 * @property {boolean} movable
 * @property {'buy'|'sell'} [side] of an order
 * @property {number} [order_id]
 * @property {number} [position_id]
 */

/**
 * Returns the lines of the selected market: of its positions first, then of its orders.
 * @param {object} state the store's
 * @returns {Line[]}
 */
export function lines_of(state) {
  const lines = [];
  const attached = new Set();
  for (const position of Object.values(state.positions ?? {})) {
    if (position.market !== state.market) continue;
    lines.push(...position_lines(position, state.valuation?.positions?.[position.position_id]));
    for (const leg of [position.take_profit, position.stop_loss]) if (leg) attached.add(leg.order_id);
  }
  for (const order of Object.values(state.orders ?? {})) {
    if (order.market !== state.market || attached.has(order.order_id)) continue;
    const line = order_line(order);
    if (line) lines.push(line);
  }
  return lines;
}

/** Returns the lines of one position; `valued` is the same at the marks of now, where that is known. */
function position_lines(position, valued) {
  const short = position.qty.startsWith('-');
  const ticket = position.kind === 'ticket' ? ` · ticket ${position.position_id}` : '';
  const whose = `${short ? 'short' : 'long'} ${trim(absolute(position.qty))}${ticket}`;
  const of = { position_id: position.position_id, movable: false };
  const lines = [];
  if (position.price_entry) {
    const words = whose.charAt(0).toUpperCase() + whose.slice(1);
    lines.push({ ...of, id: `entry:${position.position_id}`, kind: 'entry', price: position.price_entry, words });
  }
  const estimate = valued?.price_liquidation_estimate;
  const liquidation = estimate ?? valued?.price_liquidation ?? position.price_liquidation;
  if (liquidation) {
    const words = `${estimate ? 'Liquidation (estimate)' : 'Liquidation'} ${whose}`;
    lines.push({ ...of, id: `liquidation:${position.position_id}`, kind: 'liquidation', price: liquidation, words });
  }
  for (const [kind, name] of [['stop_loss', 'SL'], ['take_profit', 'TP']]) {
    const leg = position[kind];
    if (!leg) continue;
    lines.push({
      id: `${kind}:${position.position_id}`, kind, price: leg.price_trigger, limit: leg.price,
      trigger_by: leg.trigger_by, words: `${name} ${whose}`, movable: true, position_id: position.position_id,
      side: short ? 'buy' : 'sell',
    });
  }
  return lines;
}

/** Returns the line of one live order, null when it waits for no price. */
function order_line(order) {
  const resting = order.status === 'resting';
  const price = resting ? order.price : (order.price_trigger ?? order.price);
  if (!price || order.status === 'delayed') return null;
  const open = order.qty ? plus(order.qty, order.qty_filled ?? '0', -1) : `${order.close_percent} %`;
  const waits = order.status === 'attached' ? ' · with its order' : '';
  return {
    id: `order:${order.order_id}`,
    kind: resting ? 'limit' : 'trigger',
    price,
    limit: resting ? undefined : order.price,
    trigger_by: order.trigger_by,
    words: `${ORDER_WORDS[order.kind] ?? order.kind} ${order.side} ${open}${waits}`,
    movable: order.kind !== 'trailing_stop' && (resting || order.status === 'trigger'),
    side: order.side,
    order_id: order.order_id,
  };
}

/**
 * Returns the limit price that a line has once its trigger stands at another price: as far from it as before.
 * @param {Line} line
 * @param {string} price
 * @returns {string|undefined}
 */
export function limit_at(line, price) {
  return line.limit === undefined ? undefined : plus(line.limit, plus(price, line.price, -1));
}

/**
 * Returns the request that puts a line at another price.
 * @param {Line} line
 * @param {string} price
 * @returns {{method: string, path: string, body: object}}
 */
export function request_of(line, price) {
  const limit = limit_at(line, price);
  if (line.kind === 'stop_loss' || line.kind === 'take_profit') {
    const leg = { price_trigger: price, trigger_by: line.trigger_by, ...(limit === undefined ? {} : { price: limit }) };
    return { method: 'PUT', path: '/api/v1/trade/triggers', body: { position_id: line.position_id, [line.kind]: leg } };
  }
  const dormant = { price_trigger: price, ...(limit === undefined ? {} : { price: limit }) };
  const body = line.kind === 'limit' ? { price } : dormant;
  return { method: 'PATCH', path: `/api/v1/trade/order/${line.order_id}`, body };
}

/**
 * Returns in words what the chart shows, for those who do not see it.
 * @param {string} market
 * @param {string} interval
 * @param {string|undefined} price the newest
 * @param {Line[]} lines
 * @returns {string}
 */
export function summary_of(market, interval, price, lines) {
  const listed = lines.map((line) => `${line.words} at ${trim(line.price)}`).join('; ');
  const last = price === undefined ? 'no price yet' : `last price ${price}`;
  return `Chart of ${market}, candles of ${interval}, ${last}. ${listed ? `Lines: ${listed}.` : 'No lines.'}`;
}
