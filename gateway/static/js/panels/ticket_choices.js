// The ticket's choices of kind and of what is seldom changed, its keys, and what a click in book or chart fills in.

import { html, useEffect } from '../html.js';
import { useKey } from '../keyboard.js';
import { store, useStore } from '../store.js';
import { Choice, Field, Select } from './ticket_field.js';
import { KINDS, kind_of, tif_of } from './ticket_form.js';

const PLAIN = ['market', 'limit'];
const TIF_WORDS = {
  GTC: 'GTC: rests until cancelled',
  IOC: 'IOC: what fills now, the rest ends',
  FOK: 'FOK: all of it now, or nothing',
};
const TICKET_WHY = 'A separate ticket opens at the market.';
const PART_MS = 60;
let wished_ms = 0; // the wish that was filled in last

/**
 * The order kind: market, limit, or one of those that sleep.
 * @param {{form: object, put: (patch: object) => void}} props
 */
export function KindChoice({ form, put }) {
  const kind = kind_of(form);
  const dormant = PLAIN.includes(kind) ? '' : kind;
  const why = form.ticket ? TICKET_WHY : '';
  return html`<div class="ticket-kinds">
    <${Choice}
      name="kind"
      label="Order kind"
      value=${kind}
      put=${(next) => put({ kind: next })}
      choices=${[
        { value: 'market', words: KINDS.market.words, title: 'Key m' },
        { value: 'limit', words: KINDS.limit.words, title: why || 'Key l', why },
      ]}
    />
    <select
      class="select"
      aria-label="Stop, take-profit and trailing orders"
      data-test="ticket-kind"
      data-on=${dormant ? 'true' : undefined}
      disabled=${Boolean(why)}
      title=${why}
      onChange=${(event) => put({ kind: event.currentTarget.value || 'market' })}
    >
      <option value="" selected=${!dormant}>Stop, TP…</option>
      ${Object.entries(KINDS)
        .filter(([name]) => !PLAIN.includes(name))
        .map(([name, { words }]) => html`<option key=${name} value=${name} selected=${name === dormant}>${words}</option>`)}
    </select>
  </div>`;
}

/**
 * What is seldom changed: how long it lasts, how far it may slip, whether it is a position of its own.
 * @param {{form: object, meant: object, put: (patch: object) => void}} props
 */
export function Advanced({ form, meant, put }) {
  const { tifs, at_market } = KINDS[kind_of(form)];
  const posts = form.post_only && !at_market;
  return html`<details class="ticket-advanced">
    <summary data-test="ticket-advanced">Advanced</summary>
    <div class="ticket-advanced-body">
      <${Choice}
        name="position"
        label="Position"
        value=${form.ticket ? 'ticket' : 'net'}
        put=${(next) => put({ ticket: next === 'ticket' })}
        choices=${[
          { value: 'net', words: 'Net position', title: 'Adds to, shrinks or turns the one position in this market' },
          { value: 'ticket', words: 'Separate ticket', title: 'A position of its own, isolated, with its own leverage' },
        ]}
      />
      ${!form.ticket &&
      html`<${Select}
        name="tif"
        label="Time in force"
        value=${tif_of(form)}
        disabled=${posts}
        put=${(tif) => put({ tif })}
        choices=${tifs.map((tif) => ({ value: tif, words: TIF_WORDS[tif] }))}
      />`}
      ${at_market &&
      html`<${Field}
        name="slippage"
        label="Slippage at most"
        value=${form.slippage}
        placeholder="5, or your guard’s"
        unit="%"
        put=${(slippage) => put({ slippage })}
        error=${meant.errors.slippage}
        note=${meant.notes.slippage}
      />`}
    </div>
  </details>`;
}

/** Lets the ticket's keys act: side, kind, size and price. */
export function useTicketKeys(form, put) {
  useKey('b', 'Ticket: buy', () => put({ side: 'buy' }));
  useKey('s', 'Ticket: sell', () => put({ side: 'sell' }));
  useKey('m', 'Ticket: market order', () => put({ kind: 'market' }));
  useKey('l', 'Ticket: limit order', () => put({ kind: 'limit', ticket: false }));
  useKey('q', 'Ticket: to the size', () => shown_focus('size'));
  useKey('p', 'Ticket: to the price', () => {
    const [need] = KINDS[kind_of(form)].needs;
    if (!need) put({ kind: 'limit', ticket: false });
    shown_focus(need ?? 'price');
  });
}

/** Puts the cursor into a field before the next key is read, also into one that is only being drawn. */
function shown_focus(name) {
  store.set({ part: 'trade' });
  if (field_focus(name)) return;
  // What was changed is drawn in a microtask that waits already; a part of a phone's page comes with the next frames.
  Promise.resolve().then(() => field_focus(name) || setTimeout(() => field_focus(name), PART_MS));
}

/** Puts the cursor into a field and returns whether it is there. */
export function field_focus(name) {
  const field = document.getElementById(`ticket-${name}`);
  field?.focus();
  field?.select?.();
  return field !== null && document.activeElement === field;
}

/** Fills in what was clicked in the book or the chart: a price, and a side where one is named. */
export function useWish(form, put) {
  const wish = useStore((state) => state.ticket_wish);
  useEffect(() => {
    if (!wish || wish.at_ms <= wished_ms) return;
    wished_ms = wish.at_ms;
    put({ ...(wish.side && { side: wish.side }), ...(wish.price && wished_price(form, wish.price)) });
    store.set({ part: 'trade' });
  }, [wish]);
}

/** Returns where a clicked price goes: the limit, else the trigger; a market order becomes a limit. */
function wished_price(form, price) {
  const { needs } = KINDS[kind_of(form)];
  if (needs.includes('price')) return { price };
  if (needs.includes('trigger')) return { trigger: price };
  if (needs.includes('trail')) return { activation: price };
  return form.ticket ? {} : { kind: 'limit', price };
}
