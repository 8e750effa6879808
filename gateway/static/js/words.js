// Codes as people say them: refusals with what to do (from the gateway's own table), kinds, states and reasons.

import { store } from './store.js';

const KINDS = {
  market: 'Market',
  limit: 'Limit',
  stop_market: 'Stop market',
  stop_limit: 'Stop limit',
  take_profit_market: 'Take-profit market',
  take_profit_limit: 'Take-profit limit',
  trailing_stop: 'Trailing stop',
  liquidation: 'Liquidation',
  adl: 'Auto-deleveraging',
  settlement: 'Settlement',
};
const STATUSES = {
  resting: 'Resting',
  trigger: 'Waits for its trigger',
  attached: 'Waits for its entry',
  delayed: 'Delayed',
};
const REASONS = {
  filled: 'Filled',
  cancelled: 'Cancelled',
  ioc_unfilled: 'Rest not filled at the limit',
  slippage_exceeded: 'Rest beyond the worst price',
  liquidity_exhausted: 'Nothing more on offer',
  self_trade: 'Met an order of your own',
  margin_insufficient: 'Free money no longer covered it',
  would_be_liquidated: 'Its fill would have been liquidated at once',
  margin_insufficient_at_fill: 'Margin did not cover the fill',
  leverage_above_tier_at_fill: 'Leverage too high for the size',
  open_interest_above_max_at_fill: 'Open interest is at its limit',
  trigger_failed: 'Refused as it woke',
  delay_failed: 'Refused after its delay',
  oco: 'The other leg took over',
  expired: 'Expired',
  deadman: 'Dead-man switch',
  reset: 'Account reset',
  liquidation: 'Liquidation',
  adl: 'Auto-deleveraging',
  loss_lock: 'Daily loss limit',
  market_reduce_only: 'Market became reduce-only',
  market_settled: 'Market was settled',
  position_closed: 'Its position ended',
  position_reduced: 'No room on its position',
  replaced: 'Replaced',
  trigger_removed: 'Removed',
  parent_closed: 'Its entry never opened',
  take_profit: 'Take-profit',
  stop_loss: 'Stop-loss',
  flipped: 'Reversed',
};
const LEDGER = {
  deposit: 'Starting balance',
  margin: 'Margin',
  pnl: 'Profit or loss',
  fee: 'Fee',
  liquidation_fee: 'Liquidation fee',
  deficit: 'Deficit covered',
  funding: 'Funding',
  credit: 'Credit',
  reset: 'Reset',
  transfer: 'Transfer',
};
// Refusals that are the page's own: nobody answered, so no table has them.
const OWN = {
  UNKNOWN: ['Not known whether it was done', 'No answer came. The page asks on and tells; do not send it anew.'],
  UNREACHABLE: ['No answer', 'The gateway did not answer. Check the connection and try again.'],
  UNREADABLE: ['An answer that cannot be read', 'Try again.'],
};
const UNSPOKEN = new Set(['env', 'first_seq', 'op', 'key']); // particulars that say nothing to a person

/** Returns a code's name in words: "PRICE_NOT_ON_TICK" becomes "Price not on tick". */
export function code_words(code) {
  const text = String(code ?? '').replaceAll('_', ' ').toLowerCase();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Returns an order kind in words. */
export function kind_words(kind) {
  return KINDS[kind] ?? code_words(kind);
}

/** Returns the status of a live order in words. */
export function status_words(status) {
  return STATUSES[status] ?? code_words(status);
}

/** Returns in words why an order or a position ended. */
export function reason_words(reason) {
  return REASONS[reason] ?? code_words(reason);
}

/** Returns the reason of a ledger row in words. */
export function ledger_words(reason) {
  return LEDGER[reason] ?? code_words(reason);
}

/**
 * Returns a refusal as people read it: what was refused, what to do, and the particulars.
 * @param {{code: string, error?: string, detail?: object, retry?: string, retry_after_s?: number|null}} error
 * @returns {{title: string, text: string, detail: string}}
 */
export function explain(error) {
  const detail = detail_words(error.detail);
  if (OWN[error.code]) return { title: OWN[error.code][0], text: OWN[error.code][1], detail };
  const row = store.get().errors[error.code];
  const sentence = row?.sentence ?? error.error ?? '';
  const again = (row?.retry ?? error.retry) === 'now' && !/again/.test(sentence) ? 'Try again.' : '';
  const wait = error.code === 'RATE_LIMITED' && error.retry_after_s ? `That is ${error.retry_after_s} s.` : again;
  const text = [sentence, wait].filter(Boolean).join(' ');
  return { title: code_words(error.code), text, detail };
}

/** Returns the particulars of a refusal in one line; what says nothing to a person is left out. */
export function detail_words(detail) {
  const pairs = Object.entries(detail ?? {}).filter(([name]) => !UNSPOKEN.has(name));
  return pairs.map(([name, value]) => `${name.replaceAll('_', ' ')}: ${value_words(value)}`).join(' · ');
}

/** Returns one particular as text. */
function value_words(value) {
  if (Array.isArray(value)) return value.map(value_words).join(', ');
  if (value && typeof value === 'object') return JSON.stringify(value);
  return String(value);
}

/** Reads the gateway's table of refusals into the store, once. */
export async function errors_load(get) {
  if (Object.keys(store.get().errors).length) return;
  const rows = (await get('/api/v1/errors')).items;
  const errors = Object.fromEntries(rows.map((row) => [row.code, { sentence: row.error, retry: row.retry }]));
  store.set({ errors });
}
