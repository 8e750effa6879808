// The small forms of a position: take-profit and stop-loss, and its margin.

import { html, useState } from '../html.js';
import { dialog_open } from '../dialog.js';
import { is_decimal, money, price, trim } from '../format.js';
import { useStore } from '../store.js';
import { AmountField, Refusal, amount_fits, useFormSend } from './form_send.js';
import { is_long, margin_send, position_words, triggers_send } from './position_acts.js';

const WATCHED = { quote: 'quote', mark: 'mark price', index: 'index price' };

/** Opens the form for a position's take-profit and stop-loss. */
export function triggers_open(position) {
  dialog_open({
    title: `Take-profit and stop-loss: ${position_words(position)}`,
    close: 'Cancel',
    body: (close) => html`<${TriggersForm} position_id=${position.position_id} close=${close} />`,
  });
}

/** Opens the form for a position's margin. */
export function margin_open(position) {
  dialog_open({
    title: `Margin: ${position_words(position)}`,
    close: 'Cancel',
    body: (close) => html`<${MarginForm} position_id=${position.position_id} close=${close} />`,
  });
}

/** Returns what a field of the form asks for: nothing new is undefined, an empty field null. */
export function trigger_change(before, field) {
  const text = trim(field.price);
  if (!text) return before ? null : undefined;
  const same = before && trim(before.price_trigger) === text && before.trigger_by === field.by;
  if (same) return undefined;
  return { price_trigger: text, trigger_by: field.by, ...(before?.price && { price: before.price }) };
}

/** The form of take-profit and stop-loss. */
function TriggersForm({ position_id, close }) {
  const position = useStore((state) => state.positions[position_id]);
  const mark = useStore((state) => state.tickers[position?.market]?.mark);
  const { busy, refusal, submit: form_send } = useFormSend();
  const [begun] = useState(position);
  const [fields, put] = useState(() => ({
    take_profit: field_of(position?.take_profit),
    stop_loss: field_of(position?.stop_loss),
  }));
  if (!position) return html`<p>This position is closed.</p>`;
  const changes = {};
  for (const name of ['take_profit', 'stop_loss']) {
    const change = trigger_change(begun?.[name], fields[name]);
    if (change !== undefined) changes[name] = change;
  }
  const wrong = Object.values(fields).some((field) => field.price && !is_decimal(field.price));
  const edit = (name, patch) => put({ ...fields, [name]: { ...fields[name], ...patch } });

  async function submit(event) {
    event.preventDefault();
    if (wrong || !Object.keys(changes).length) return;
    const words = `Changed take-profit and stop-loss of ${position_words(position)}`;
    if (await form_send(words, () => triggers_send(position, changes))) close();
  }

  const way = is_long(position) ? ['above', 'below'] : ['below', 'above'];
  return html`<form class="form" onSubmit=${submit} data-test="triggers-form">
    <p class="dim">Mark ${price(mark)} · entry ${price(position.price_entry)}. An empty field removes it.</p>
    <${TriggerField}
      name="take_profit"
      title=${`Take-profit (${way[0]})`}
      field=${fields.take_profit}
      edit=${edit}
    />
    <${TriggerField}
      name="stop_loss"
      title=${`Stop-loss (${way[1]})`}
      field=${fields.stop_loss}
      edit=${edit}
    />
    <${Refusal} refusal=${refusal} />
    <button
      class="btn btn-accent"
      type="submit"
      data-test="triggers-save"
      aria-busy=${busy ? 'true' : undefined}
      disabled=${busy || wrong || !Object.keys(changes).length}
    >
      Save
    </button>
  </form>`;
}

/** Returns what a field begins with. */
function field_of(trigger) {
  return { price: trigger ? trim(trigger.price_trigger) : '', by: trigger?.trigger_by ?? 'quote' };
}

/** A trigger price and which price is watched. */
function TriggerField({ name, title, field, edit }) {
  const wrong = field.price && !is_decimal(field.price);
  return html`<fieldset class="form-row">
    <label class="field">
      <span class="field-name">${title}</span>
      <input
        type="text"
        inputmode="decimal"
        autocomplete="off"
        class="input number"
        value=${field.price}
        data-test=${name}
        aria-invalid=${wrong ? 'true' : undefined}
        onInput=${(event) => edit(name, { price: event.target.value.trim() })}
      />
    </label>
    <label class="field">
      <span class="field-name">by</span>
      <select
        class="input"
        value=${field.by}
        data-test=${`${name}-by`}
        onChange=${(event) => edit(name, { by: event.target.value })}
      >
        ${Object.entries(WATCHED).map(([by, words]) => html`<option key=${by} value=${by}>${words}</option>`)}
      </select>
    </label>
    <button
      type="button"
      class="btn btn-quiet"
      data-test=${`${name}-clear`}
      disabled=${!field.price}
      onClick=${() => edit(name, { price: '' })}
    >
      Clear
    </button>
  </fieldset>`;
}

/** The form of an isolated position's margin. */
function MarginForm({ position_id, close }) {
  const position = useStore((state) => state.positions[position_id]);
  const transferable = useStore((state) => state.valuation?.account.transferable);
  const [amount, put] = useState('');
  const { busy, refusal, submit: form_send } = useFormSend();
  if (!position) return html`<p>This position is closed.</p>`;
  const fits = amount_fits(amount);

  async function move(event, sign) {
    event.preventDefault();
    if (!fits) return;
    const words = sign
      ? `Took margin out of ${position_words(position)}`
      : `Added margin to ${position_words(position)}`;
    if (await form_send(words, () => margin_send(position, `${sign}${amount}`))) close();
  }

  return html`<form class="form" onSubmit=${(event) => move(event, '')} data-test="margin-form">
    <p class="dim">
      Margin now ${money(position.margin)} USDC, at most ${money(transferable)} can be added. More margin moves the
      liquidation price away.
    </p>
    <${AmountField} test="margin-amount" amount=${amount} put=${put} fits=${fits} />
    <${Refusal} refusal=${refusal} />
    <div class="form-row">
      <button
        class="btn btn-accent"
        type="submit"
        data-test="margin-add"
        disabled=${busy || !fits}
        aria-busy=${busy ? 'true' : undefined}
      >
        Add
      </button>
      <button
        class="btn"
        type="button"
        data-test="margin-remove"
        disabled=${busy || !fits}
        onClick=${(event) => move(event, '-')}
      >
        Take out
      </button>
    </div>
  </form>`;
}
