// Changing a live order in place: its price, its trigger, its size; Enter sends, Escape leaves it as it was.

import { html, useLayoutEffect, useRef, useState } from '../html.js';
import { act, send } from '../api.js';
import { coin, is_decimal, quantity, trim } from '../format.js';
import { useBusy } from './act_button.js';

const WORDS = { price: 'Price', price_trigger: 'Trigger', qty: 'Size' };

/** Returns which of price, price_trigger and qty the venue lets an order change. */
export function amendable(order) {
  if (order.status === 'attached' || order.status === 'delayed' || order.kind === 'trailing_stop') return [];
  const dormant = order.status === 'trigger';
  const of_position = dormant && order.position_id !== undefined;
  const names = [];
  if (order.price !== undefined) names.push('price');
  if (dormant && order.price_trigger !== undefined) names.push('price_trigger');
  if (order.qty !== undefined && order.oco_order_id === undefined && !of_position) names.push('qty');
  return names;
}

/** Returns what a form changes: only what differs from what it began with, whatever became of the order meanwhile. */
export function amend_body(begun, fields) {
  const changed = Object.entries(fields).filter(([name, text]) => text !== trim(begun[name]));
  return Object.fromEntries(changed);
}

/** The form that takes the place of an order's price while it is changed. */
export function Amend({ order, done }) {
  const names = amendable(order);
  const [begun] = useState(order);
  const [fields, put] = useState(() => Object.fromEntries(names.map((name) => [name, trim(order[name])])));
  const [busy, run] = useBusy();
  const box = useRef(null);
  useLayoutEffect(() => box.current.querySelector('input').select(), []);
  const body = amend_body(begun, fields);
  const wrong = names.some((name) => !is_decimal(fields[name]) || fields[name].startsWith('-'));

  async function submit(event) {
    event.preventDefault();
    if (wrong) return;
    if (!Object.keys(body).length) return done();
    const words = `Changed ${order.side} ${order.qty ? quantity(order.qty) : ''} ${coin(order.market)}`;
    if (await run(() => act(words, send('PATCH', `/api/v1/trade/order/${order.order_id}`, body)))) done();
  }

  function leave(event) {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    event.stopPropagation();
    done();
  }

  return html`<form ref=${box} class="amend" onSubmit=${submit} onKeyDown=${leave} data-test="order-amend">
    ${names.map(
      (name) =>
        html`<label key=${name} class="field">
          <span class="field-name">${WORDS[name]}</span>
          <input
            type="text"
            inputmode="decimal"
            autocomplete="off"
            class="input number"
            value=${fields[name]}
            data-test=${`amend-${name}`}
            aria-invalid=${is_decimal(fields[name]) ? undefined : 'true'}
            onInput=${(event) => put({ ...fields, [name]: event.target.value.trim() })}
          />
        </label>`,
    )}
    <button
      class="btn btn-small btn-accent"
      type="submit"
      data-test="amend-save"
      disabled=${busy || wrong}
      aria-busy=${busy ? 'true' : undefined}
    >
      Save
    </button>
    <button class="btn btn-small btn-quiet" type="button" data-test="amend-leave" onClick=${done}>Leave</button>
  </form>`;
}
