// The ticket's size: a quantity of the coin, an amount of USD, or a share of what the account is good for.

import { coin, money, quantity } from '../format.js';
import { html } from '../html.js';
import { reduces } from './ticket_form.js';
import { Field } from './ticket_field.js';
import { number_read } from './ticket_numbers.js';

const STOPS = [25, 50, 75, 100];

/**
 * The size field with its unit, the slider and its stops.
 * @param {{form: object, meant: object, market: string, answer: object|null, put: (patch: object) => void}} props
 */
export function SizeFields({ form, meant, market, answer, put }) {
  const { unit, text } = form.size;
  const name = coin(market);
  const share = reduces(form) ? 'of the position' : 'of the most you can open';
  const percent = unit === 'percent' ? percent_of(text) : 0;
  const put_percent = (value) => put({ size: { unit: 'percent', text: String(value) } });
  return html`<div class="ticket-size">
    <${Field}
      name="size"
      label="Size"
      value=${text}
      required
      placeholder=${unit === 'percent' ? '1–100' : '0'}
      put=${(typed) => put({ size: { unit, text: typed } })}
      error=${meant.errors.size}
      note=${meant.notes.size ?? size_words(unit, answer, name)}
      unit=${html`<${Unit} unit=${unit} name=${name} put=${(next) => put({ size: converted(form.size, next, answer) })} />`}
    />
    <input
      class="range"
      type="range"
      min="0"
      max="100"
      step="1"
      value=${percent}
      style=${{ '--range-fill': `${percent}%` }}
      data-test="ticket-size-slider"
      aria-label=${`Size in percent ${share}`}
      aria-valuetext=${percent ? `${percent} percent ${share}` : 'not by percent'}
      onInput=${(event) => put_percent(Math.max(1, Number(event.currentTarget.value)))}
    />
    <div class="ticket-stops">
      ${STOPS.map(
        (stop) => html`<button
          key=${stop}
          type="button"
          class="btn btn-small"
          data-test=${`ticket-size-${stop}`}
          aria-pressed=${unit === 'percent' && percent === stop ? 'true' : 'false'}
          aria-label=${`${stop} percent ${share}`}
          onClick=${() => put_percent(stop)}
        >
          ${stop} %
        </button>`,
      )}
    </div>
  </div>`;
}

/** The unit of the size. */
function Unit({ unit, name, put }) {
  const choices = [
    ['coin', name],
    ['usd', 'USD'],
    ['percent', '%'],
  ];
  return html`<select
    class="select ticket-unit-choice"
    aria-label="Unit of the size"
    data-test="ticket-unit"
    onChange=${(event) => put(event.currentTarget.value)}
  >
    ${choices.map(
      ([value, words]) => html`<option key=${value} value=${value} selected=${value === unit}>${words}</option>`,
    )}
  </select>`;
}

/** Returns the slider's place for what was typed. */
function percent_of(text) {
  const value = Number(number_read(text).text);
  return value >= 0 && value <= 100 ? Math.trunc(value) : 0;
}

/** Returns what a size comes to, in words. */
function size_words(unit, answer, name) {
  if (!answer) return '';
  const qty = answer.size?.qty;
  const worth = answer.notional ? `${money(answer.notional)} USDC` : '';
  if (unit === 'coin') return worth && `worth ${worth}`;
  if (!qty) return '';
  const most = answer.size.qty_max ? ` of at most ${quantity(answer.size.qty_max)}` : '';
  return [`${quantity(qty)} ${name}${most}`, worth].filter(Boolean).join(' · ');
}

/** Returns the size in another unit, as far as the calculator has said what it comes to; else empty. */
function converted(size, unit, answer) {
  if (unit === size.unit) return size;
  if (unit === 'coin') return { unit, text: answer?.size?.qty ?? '' };
  if (unit === 'usd' && answer?.notional) return { unit, text: money(answer.notional).replaceAll(',', '') };
  return { unit, text: '' };
}
