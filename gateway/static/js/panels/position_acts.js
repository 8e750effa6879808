// What can be done with open positions: the instructions, and the questions that stand before the grave ones.

import { act, send } from '../api.js';
import { confirm_dialog } from '../dialog.js';
import { absolute, coin, quantity } from '../format.js';
import { store } from '../store.js';
import { toast } from '../toasts.js';

const TRADE = '/api/v1/trade';

/** Returns whether a position is long. */
export function is_long(position) {
  return !String(position.qty).startsWith('-');
}

/** Returns a position in words: "long 2 SOL". */
export function position_words(position) {
  return `${is_long(position) ? 'long' : 'short'} ${quantity(absolute(position.qty))} ${coin(position.market)}`;
}

/** Closes a share of a position at market: 25, 50 or 100 percent. */
export function position_close(position, percent) {
  const share = percent === 100 ? {} : { percent };
  const words = percent === 100 ? 'Closed' : `Closed ${percent} % of`;
  const sent = send('POST', `${TRADE}/close`, { position_id: position.position_id, ...share });
  return act(`${words} ${position_words(position)}`, sent);
}

/** Turns a net position into its opposite, after a question. */
export async function position_reverse(position) {
  const size = `${quantity(absolute(position.qty))} ${coin(position.market)}`;
  const agreed = await confirm_dialog({
    title: `Reverse ${position_words(position)}?`,
    text: `Closes it and opens ${is_long(position) ? 'short' : 'long'} ${size}, both at market, in one instruction.`,
    yes: 'Reverse',
    danger: true,
  });
  if (!agreed) return null;
  return act(
    `Reversed ${position_words(position)}`,
    send('POST', `${TRADE}/reverse`, { position_id: position.position_id }),
  );
}

/** Closes every position of the account in force, or of one market, after one question. */
export async function positions_close_all(market = '') {
  const all = Object.values(store.get().positions).filter((each) => !market || each.market === market);
  if (!all.length) {
    toast({ kind: 'info', title: 'Nothing to close', text: 'There is no open position.', key: 'close-all' });
    return null;
  }
  const named = all.slice(0, 6).map(position_words).join(', ');
  const count = all.length === 1 ? 'the one open position' : `all ${all.length} open positions`;
  const agreed = await confirm_dialog({
    title: `Close ${count}?`,
    text: `${named}${all.length > 6 ? ' …' : ''}: closed at market, in one instruction.`,
    yes: 'Close all',
    danger: true,
    always: true,
  });
  if (!agreed) return null;
  return act('Closed all positions', send('POST', `${TRADE}/close-all`, market ? { market } : {}));
}

/** Moves free money into a position's margin; a negative amount moves it back. Throws ApiError. */
export function margin_send(position, amount) {
  return send('POST', `${TRADE}/margin`, { position_id: position.position_id, amount });
}

/** Sets a position's take-profit and stop-loss; null removes, a missing key leaves as it is. Throws ApiError. */
export function triggers_send(position, changes) {
  return send('PUT', `${TRADE}/triggers`, { position_id: position.position_id, ...changes });
}
