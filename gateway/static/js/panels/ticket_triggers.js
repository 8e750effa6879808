// What wakes a dormant order, and the take-profit and stop-loss that go along with one that opens.

import { html } from '../html.js';
import { tick_step } from '../format.js';
import { KINDS, kind_of } from './ticket_form.js';
import { Field, Select } from './ticket_field.js';
import { number_read } from './ticket_numbers.js';

const WATCHED = [
  { value: 'quote', words: 'Quote (bid or ask)' },
  { value: 'mark', words: 'Mark' },
  { value: 'index', words: 'Index' },
];

/** Returns what steps a typed price by a tick. */
export function stepper(value, tick, put) {
  return (count) => {
    const { text } = number_read(value);
    if (text) put(tick_step(text, tick, count));
  };
}

/**
 * The fields of a stop, a take-profit or a trailing stop.
 * @param {{form: object, meant: object, tick: string, put: (patch: object) => void}} props
 */
export function TriggerFields({ form, meant, tick, put }) {
  const { needs } = KINDS[kind_of(form)];
  const dormant = needs.includes('trigger') || needs.includes('trail');
  if (!dormant) return null;
  const put_trigger = (trigger) => put({ trigger });
  const put_activation = (activation) => put({ activation });
  return html`
    ${needs.includes('trigger') &&
    html`<${Field}
      name="trigger"
      label="Trigger price"
      value=${form.trigger}
      required
      put=${put_trigger}
      step=${stepper(form.trigger, tick, put_trigger)}
      error=${meant.errors.trigger}
      note=${meant.notes.trigger ?? trigger_words(form)}
    />`}
    ${needs.includes('trail') &&
    html`<${Distance}
        name="trail"
        label="Trails by"
        value=${form.trail}
        required
        put=${(trail) => put({ trail })}
        meant=${meant}
      />
      <${Field}
        name="activation"
        label="Begins at (optional)"
        value=${form.activation}
        put=${put_activation}
        step=${stepper(form.activation, tick, put_activation)}
        error=${meant.errors.activation}
        note=${meant.notes.activation}
      />`}
    <${Watched} form=${form} put=${put} />
  `;
}

/**
 * Take-profit and stop-loss of what the order opens.
 * @param {{form: object, meant: object, tick: string, put: (patch: object) => void}} props
 */
export function BracketFields({ form, meant, tick, put }) {
  const { needs } = KINDS[kind_of(form)];
  return html`<div class="ticket-bracket" role="group" aria-label="Take-profit and stop-loss">
    <${Distance} name="take" label="Take-profit" value=${form.take} tick=${tick} put=${(take) => put({ take })} meant=${meant} />
    <${Distance} name="stop" label="Stop-loss" value=${form.stop} tick=${tick} put=${(stop) => put({ stop })} meant=${meant} />
    ${!needs.includes('trigger') && !needs.includes('trail') && html`<${Watched} form=${form} put=${put} />`}
  </div>`;
}

/** A field that is a price, or a distance in percent. */
function Distance({ name, label, value, put, meant, tick, required }) {
  const put_text = (text) => put({ ...value, text });
  const other = name === 'trail' ? 'Distance' : 'Price';
  const unit = html`<select
    class="select ticket-unit-choice"
    aria-label=${`${label}: ${other.toLowerCase()} or percent`}
    data-test=${`ticket-${name}-unit`}
    onChange=${(event) => put({ unit: event.currentTarget.value, text: '' })}
  >
    <option value="price" selected=${value.unit === 'price'}>${other}</option>
    <option value="percent" selected=${value.unit === 'percent'}>%</option>
  </select>`;
  return html`<${Field}
    name=${name}
    label=${label}
    value=${value.text}
    required=${required}
    placeholder=${value.unit === 'percent' ? 'percent away' : ''}
    put=${put_text}
    step=${value.unit === 'price' && tick ? stepper(value.text, tick, put_text) : undefined}
    error=${meant.errors[name]}
    note=${meant.notes[name]}
    unit=${unit}
  />`;
}

/** Which price is watched. */
function Watched({ form, put }) {
  return html`<${Select}
    name="trigger-by"
    label="Watches"
    style="ticket-field-row"
    value=${form.trigger_by}
    put=${(trigger_by) => put({ trigger_by })}
    choices=${WATCHED}
  />`;
}

/** Returns in words when the order wakes. */
function trigger_words({ kind, side }) {
  const up = kind.startsWith('stop') === (side === 'buy');
  return `Wakes when the price ${up ? 'rises' : 'falls'} to it.`;
}
