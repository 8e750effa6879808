// What a press of the ticket's button sends, and what is said of the answer.

import { act, ApiError, ask, send } from '../api.js';
import { coin, price, quantity } from '../format.js';
import { kind_words, reason_words } from '../words.js';
import { is_zero, less, total_of } from './ticket_numbers.js';

const PREVIEW = '/api/v1/trade/preview';
const DONE = { buy: 'Bought', sell: 'Sold' };
// Of all that fits, by attempt: where the price runs away faster than one can ask, a little is left out.
const LESS_THOUSANDTHS = [0, 1, 5];
const FRESH_MS = 3000; // what stands on the button is sent; older than this it is asked for anew

/** Returns the question to the calculator about what the fields mean. */
export function question_of({ op, body, size }) {
  return size ? { op, body, size } : { op, body };
}

/** Returns the calculator's answer to a question; throws ApiError. */
export function preview_ask(question, signal) {
  return ask(PREVIEW, question, { signal });
}

/**
 * Returns the answer after sending what the fields mean, once; null after a refusal, which a toast has told.
 * A size in money or percent is sent as the quantity that the calculator said it comes to.
 * @param {object} meant as form_read returns it
 * @param {{key: string, answer: object|null, at_ms: number}} shown what the calculator said last
 * @param {string} idempotency_key of this press @param {string} lot the step of quantities
 */
export async function ticket_send(meant, shown, idempotency_key, lot) {
  const words = ({ body, answer }) => outcome_words(body, answer);
  return act(words, sent(meant, shown, idempotency_key, lot));
}

/**
 * Returns {body, answer, order_id} of what was sent; throws ApiError. A share of all that fits is taken anew when the
 * price has moved under it meanwhile: the venue refused the first, so nothing can be done twice.
 */
async function sent(meant, shown, key, lot) {
  for (const [attempt, thousandths] of LESS_THOUSANDTHS.entries()) {
    const body = { ...meant.body };
    if (meant.size) body.qty = less(await qty_of(meant, attempt ? null : shown), thousandths, lot);
    try {
      const answer = await send('POST', meant.path, body, { key: attempt ? `${key}-${attempt + 1}` : key });
      return { body, answer, order_id: answer.order_id };
    } catch (error) {
      const moved = meant.size?.percent && error.code === 'MARGIN_INSUFFICIENT';
      if (!moved || attempt === LESS_THOUSANDTHS.length - 1) throw error;
    }
  }
  return null;
}

/** Returns the quantity that a stated size comes to; throws ApiError when there is none. */
async function qty_of(meant, shown) {
  const question = question_of(meant);
  const known = shown?.key === JSON.stringify(question) && performance.now() - shown.at_ms < FRESH_MS;
  const answer = known && shown.answer ? shown.answer : await preview_ask(question);
  const qty = answer.size?.qty;
  if (qty && !is_zero(qty)) return qty;
  // An order that would be accepted and of which nothing would fill has ended with a reason that is a code's name too.
  const code = answer.result === 'OK' ? (answer.status ?? 'qty_out_of_range').toUpperCase() : answer.result;
  throw new ApiError({ code, error: answer.error }, 200);
}

/**
 * Returns in words what came of an order by its answer: filled, resting, waiting, ended.
 * @param {object} body as it was sent @param {object} answer
 */
export function outcome_words(body, answer) {
  const name = coin(body.market);
  const mine = (row) => row.order_id === answer.order_id;
  const ended = (answer.closed_orders ?? []).find(mine);
  const live = (answer.orders ?? []).find(mine);
  const fills = (answer.fills ?? []).filter(mine);
  const filled = ended?.qty_filled ?? total_of(fills.map((fill) => fill.qty));
  const average = ended?.price_average ?? fills.at(-1)?.price;
  const done = average ? `${DONE[body.side]} ${quantity(filled)} ${name} at ${price(average)}` : '';
  if (live) return [done, live_words(body, live, name)].filter(Boolean).join('; ');
  if (ended && ended.reason !== 'filled') {
    const why = reason_words(ended.reason).toLowerCase();
    return done ? `${done}; the rest ended: ${why}` : `Nothing was filled: ${why}`;
  }
  return done || 'Accepted';
}

/** Returns in words what a live order waits for. */
function live_words(body, live, name) {
  const what = `to ${body.side} ${live.qty ? `${quantity(live.qty)} ` : ''}${name}`;
  if (live.status === 'resting') return `Order ${what} rests at ${price(live.price)}`;
  if (live.status === 'delayed') return `Order ${what} is on its way: the market delays takers`;
  return `${kind_words(live.kind)} ${what} waits${live.price_trigger ? ` for ${price(live.price_trigger)}` : ''}`;
}
