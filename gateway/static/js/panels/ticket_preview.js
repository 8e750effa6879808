// What the order would do, said before it is sent: the calculator's figures as they came, and what they leave open.

import { money, price, quantity, signed, trend } from '../format.js';
import { html, useEffect, useRef, useState } from '../html.js';
import { store } from '../store.js';
import { explain, reason_words } from '../words.js';
import { asking_new } from './ticket_asking.js';
import { preview_ask } from './ticket_send.js';

const ESTIMATES = {
  book: 'users’ orders fill this market: others may come first',
  quote_sized: 'the quote has a size: others may take it first',
  users_orders: 'other users’ orders stand where it would fill',
  cross: 'other markets’ marks are moments apart',
  orders_untold: 'orders of yours that wait are left out',
  loss_limit: 'whether it locks your account for the day is not foreseen',
  price_assumed: 'as if the market had come to its price',
};
const ROUNDED = {
  qty: 'Quantity',
  price: 'Average price',
  fee: 'Fee',
  margin_initial: 'Initial margin',
  price_liquidation: 'Liquidation price',
  price_break_even: 'Break-even price',
};
const DIRECTIONS = { up: 'up', down: 'down', half_up: 'to the nearest' };
const STATUSES = { filled: 'Fills at once', resting: 'Rests in the book', trigger: 'Waits for its trigger', delayed: 'Waits for the next quote' };

/**
 * Returns what the calculator says of a question, kept up to date while prices and the account move.
 * @param {object|null} question null: nothing to ask
 * @param {string} beside what the answer depends on besides: account, leverage, mode
 * @param {string} market whose prices count
 * @returns {{key: string, answer: object|null, error: Error|null, waiting: boolean, at_ms: number}}
 */
export function usePreview(question, beside, market) {
  const [shown, tell] = useState({ key: '', answer: null, error: null, waiting: false, at_ms: 0 });
  const asking = useRef(null);
  useEffect(() => {
    asking.current = asking_new({ ask: preview_ask, tell });
    return () => asking.current.stop();
  }, []);
  useEffect(() => asking.current.want(question, beside));
  useEffect(() => {
    const known = (state) => [state.tickers[market], state.account, state.positions, state.orders];
    let before = known(store.get());
    return store.subscribe((state) => {
      const now = known(state);
      if (document.hidden || now.every((part, index) => part === before[index])) return;
      before = now;
      asking.current.stir();
    });
  }, [market]);
  return shown;
}

/**
 * The figures of the calculator, or why the venue would refuse, in words.
 * @param {{shown: ReturnType<typeof usePreview>, asked: boolean, current: boolean, tick: string}} props current: it is about
 *   these fields
 */
export function PreviewView({ shown, asked, current, tick }) {
  const { answer, error, waiting } = shown;
  const refused = asked && answer && answer.result !== 'OK';
  return html`<section
    class="ticket-preview"
    aria-label="What the order would do"
    aria-busy=${waiting ? 'true' : 'false'}
    data-test="ticket-preview"
    data-result=${asked ? (answer?.result ?? '') : ''}
    data-current=${current ? 'true' : 'false'}
  >
    <div id="ticket-refusal" data-test="ticket-refusal" role="status">
      ${refused && html`<${Refusal} answer=${answer} />`}
      ${asked && !answer && error && html`<p class="ticket-estimate">${unanswered(error)}</p>`}
    </div>
    <${Figures} answer=${asked && !refused ? answer : null} tick=${tick} />
  </section>`;
}

/** Why the venue would refuse, and what to do. */
function Refusal({ answer }) {
  const { text } = explain({ code: answer.result, error: answer.error });
  return html`<p class="ticket-refusal"><strong>The venue would refuse this now.</strong> ${text}</p>`;
}

/** Returns in words why there are no figures. */
function unanswered(error) {
  const { text } = explain(error);
  return text || 'The calculator does not answer; orders can still be sent.';
}

/** The rows of figures; without an answer they stand empty, so that nothing jumps. */
function Figures({ answer, tick }) {
  const rows = rows_of(answer ?? {}, tick);
  return html`<dl class="kv ticket-figures">
      ${rows.map(
        ([name, words, value, title, style]) => html`<div key=${name}>
          <dt>${words}</dt>
          <dd class=${style ?? ''} data-test=${`ticket-shows-${name}`} title=${title}>${value ?? '–'}</dd>
        </div>`,
      )}
    </dl>
    ${answer && html`<${Besides} answer=${answer} />`}`;
}

/** Returns [name, words, value, full text, style] of each figure; those that always stand come first. */
function rows_of(answer, tick) {
  const at = (text) => text && price(text, tick);
  const usdc = (text) => (text === undefined ? undefined : `${money(text)} USDC`);
  const liquidation = answer.price_liquidation ?? answer.price_liquidation_estimate;
  const shared = answer.position_after?.mode === 'cross' && trend(answer.margin) === 'flat';
  const estimated = answer.price_liquidation === undefined && liquidation !== undefined;
  const rows = [
    ['price', answer.price_assumed ? 'Price assumed' : 'Price', at(answer.price)],
    ['notional', 'Order value', usdc(answer.notional), answer.notional],
    ['margin', 'Margin', shared ? 'shared (cross)' : usdc(answer.margin), answer.margin],
    ['fee', 'Fee', usdc(answer.fee), answer.fee],
    ['liquidation', estimated ? 'Liquidation, estimated' : 'Liquidation', at(liquidation)],
    ['break-even', 'Break-even', at(answer.price_break_even)],
  ];
  if (answer.pnl_realised && trend(answer.pnl_realised) !== 'flat') {
    rows.push(result_row('realised', 'Realises', answer.pnl_realised));
  }
  for (const [name, words] of [['take_profit', 'Take-profit'], ['stop_loss', 'Stop-loss']]) {
    const end = answer[name];
    if (end) rows.push(result_row(name.replace('_', '-'), `${words} at ${at(end.price)}`, end.pnl));
  }
  if (answer.risk_reward) rows.push(['risk-reward', 'Risk : reward', `1 : ${answer.risk_reward}`]);
  if (answer.balance_after) rows.push(['free-after', 'Free afterwards', usdc(answer.balance_after.free), answer.balance_after.free]);
  return rows;
}

/** Returns the row of a result, signed. */
function result_row(name, words, amount) {
  return [name, words, `${signed(amount)} USDC`, amount, trend(amount)];
}

/** What is said besides the figures: what becomes of the order, warnings, what was rounded, why it may differ. */
function Besides({ answer }) {
  const late = answer.stop_loss?.beyond_liquidation;
  const reasons = (answer.estimate_reasons ?? []).map((reason) => ESTIMATES[reason] ?? reason);
  const rounded = [...(answer.rounding ?? []), ...(answer.size?.rounding ? [{ ...answer.size.rounding, what: 'qty' }] : [])];
  return html`
    ${late && html`<p class="ticket-warning">The position is liquidated before its stop-loss is reached.</p>`}
    <p class="ticket-estimate" data-test="ticket-status">
      ${STATUSES[answer.status] ?? reason_words(answer.status)}${reasons.length > 0 && ` · estimate: ${reasons.join('; ')}`}
    </p>
    ${rounded.length > 0 &&
    html`<details class="ticket-rounding">
      <summary data-test="ticket-rounding">Rounded: ${rounded.length}</summary>
      <ul>
        ${rounded.map(
          (row) => html`<li key=${row.what}>
            ${ROUNDED[row.what] ?? row.what}: ${quantity(row.exact)} → ${quantity(row.rounded)}
            (${DIRECTIONS[row.direction]}, steps of ${quantity(row.unit)})
          </li>`,
        )}
      </ul>
    </details>`}
  `;
}
