// Leverage and margin mode of the net position in the market: set as soon as the slider is let go.

import { act, send } from '../api.js';
import { coin } from '../format.js';
import { html, useEffect, useRef, useState } from '../html.js';
import { shallow, useStore } from '../store.js';
import { explain } from '../words.js';
import { Choice } from './ticket_field.js';

const LEVERAGE_DEFAULT = 10; // where an account has set none
const LET_GO_MS = 350; // arrow keys move the slider step by step: only where it comes to rest counts

/**
 * Returns the leverage of the net position in a market and its bounds, as the account has set them.
 * @param {any} state @param {string} market
 * @returns {{leverage: number, most: number, market_most: number, guard: number|null, mode: string}}
 */
export function leverage_of(state, market) {
  const market_most = state.markets[market]?.leverage_max ?? 1;
  const guard = state.account.guards?.leverage_max ?? null;
  const most = guard === null ? market_most : Math.min(market_most, guard);
  const leverage = Math.min(state.account.leverages?.[market] || LEVERAGE_DEFAULT, most);
  return { leverage, most, market_most, guard, mode: state.account.modes?.[market] ?? 'isolated' };
}

/**
 * The slider of the leverage and the switch between isolated and cross; of a separate ticket the leverage is the
 * ticket's own and is only kept in the form.
 * @param {{market: string, ticket: boolean, own: number, put_own: (leverage: number) => void}} props
 */
export function Leverage({ market, ticket, own, put_own }) {
  const set = useStore((state) => leverage_of(state, market), shallow);
  const [refusal, put_refusal] = useState('');
  useEffect(() => put_refusal(''), [market, ticket]);
  const leverage = ticket ? Math.min(own || set.leverage, set.most) : set.leverage;
  async function set_leverage(wanted) {
    put_refusal('');
    if (ticket) return put_own(wanted);
    const words = `Leverage of ${coin(market)} is ${wanted}×`;
    return act(words, told(send('POST', '/api/v1/trade/leverage', { market, leverage: wanted }), put_refusal));
  }
  return html`<div class="ticket-leverage">
    <${Mode} market=${market} mode=${set.mode} ticket=${ticket} put_refusal=${put_refusal} />
    <${Slider} key=${`${market} ${ticket}`} leverage=${leverage} most=${set.most} put=${set_leverage} wrong=${put_refusal} />
    <p id="ticket-leverage-told" class=${refusal ? 'ticket-wrong' : 'ticket-note'} data-test="ticket-leverage-told" role="status">
      ${refusal || bounds_words(set)}
    </p>
  </div>`;
}

/** Returns a promise like this one; why it was refused is told in words beside. */
function told(promise, put_refusal) {
  return promise.catch((error) => {
    const { title, text } = explain(error);
    put_refusal(`${title}. ${text}`);
    throw error;
  });
}

/** Returns in words how far the leverage may go. */
function bounds_words({ market_most, guard }) {
  if (guard !== null && guard < market_most) return `Your guard allows ${guard}×, the market ${market_most}×.`;
  return `Up to ${market_most}× here.`;
}

/** The slider and its number; what is typed must be a whole number in range, or nothing is set. */
function Slider({ leverage, most, put, wrong }) {
  const [draft, put_draft] = useState(null);
  const timer = useRef(null);
  useEffect(() => () => clearTimeout(timer.current), []);
  const shown = draft ?? leverage;
  function let_go(wanted, pause_ms) {
    clearTimeout(timer.current);
    put_draft(wanted);
    timer.current = setTimeout(async () => {
      if (wanted !== leverage) await put(wanted);
      put_draft(null);
    }, pause_ms);
  }
  function typed(input) {
    const text = input.value.trim();
    const wanted = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    if (wanted >= 1 && wanted <= most) return let_go(wanted, 0);
    wrong(`Leverage is a whole number from 1 to ${most}; it is still ${leverage}×.`);
    input.value = String(leverage);
    put_draft(null);
  }
  return html`<div class="ticket-leverage-row">
    <label class="field-name" for="ticket-leverage">Leverage</label>
    <input
      class="range"
      type="range"
      min="1"
      max=${most}
      step="1"
      value=${shown}
      style=${{ '--range-fill': `${((shown - 1) / Math.max(1, most - 1)) * 100}%` }}
      data-test="ticket-leverage-slider"
      aria-label="Leverage"
      aria-valuetext=${`${shown} times`}
      aria-describedby="ticket-leverage-told"
      onInput=${(event) => (clearTimeout(timer.current), put_draft(Number(event.currentTarget.value)))}
      onChange=${(event) => let_go(Number(event.currentTarget.value), LET_GO_MS)}
    />
    <div class="input-wrap">
      <input
        id="ticket-leverage"
        class="input"
        type="text"
        inputmode="numeric"
        autocomplete="off"
        value=${String(shown)}
        data-test="ticket-leverage"
        aria-describedby="ticket-leverage-told"
        onChange=${(event) => typed(event.currentTarget)}
        onKeyDown=${(event) => {
          if (event.key !== 'Enter') return;
          event.preventDefault(); // sets the leverage; it does not send the order
          typed(event.currentTarget);
        }}
      />
      <span class="unit" aria-hidden="true">×</span>
    </div>
  </div>`;
}

/** Isolated or cross; a separate ticket is always isolated. */
function Mode({ market, mode, ticket, put_refusal }) {
  const [wanted, put_wanted] = useState(null);
  async function set_mode(next) {
    if (next === mode || wanted) return;
    put_refusal('');
    put_wanted(next);
    await act(`${coin(market)} is now ${next}`, told(send('POST', '/api/v1/trade/mode', { market, mode: next }), put_refusal));
    put_wanted(null);
  }
  const why = ticket ? 'A separate ticket always stands alone with its own margin.' : '';
  return html`<${Choice}
    name="mode"
    label="Margin mode"
    value=${ticket ? 'isolated' : (wanted ?? mode)}
    put=${set_mode}
    choices=${[
      { value: 'isolated', words: 'Isolated', title: 'The position stands alone with its margin' },
      { value: 'cross', words: 'Cross', why, title: 'The position stands with your others on the whole account' },
    ]}
  />`;
}
