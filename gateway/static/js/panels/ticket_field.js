// The ticket's inputs: each with its label, and what is wrong or was rounded tied to it.

import { html } from '../html.js';

/**
 * One number field. `put` gets what is typed; `step` is called with +1 or -1 by the arrow keys where it is given.
 * @param {{name: string, label: string, value: string, put: (text: string) => void, error?: string, note?: string,
 *   unit?: any, placeholder?: string, step?: (count: number) => void, required?: boolean, children?: any}} props
 */
export function Field({ name, label, value, put, error, note, unit, placeholder = '', step, required, children }) {
  const id = `ticket-${name}`;
  const told = `${id}-told`;
  function key(event) {
    const count = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!count || !step || !value.trim()) return;
    event.preventDefault();
    step(event.shiftKey ? count * 10 : count);
  }
  return html`<div class="field ticket-field" data-wrong=${error ? 'true' : undefined}>
    <label class="field-name" for=${id}>${label}</label>
    <div class="input-wrap">
      <input
        id=${id}
        class="input"
        type="text"
        inputmode="decimal"
        autocomplete="off"
        spellcheck=${false}
        data-test=${id}
        placeholder=${placeholder}
        value=${value}
        aria-describedby=${told}
        aria-invalid=${error ? 'true' : 'false'}
        aria-required=${required ? 'true' : undefined}
        onInput=${(event) => put(event.currentTarget.value)}
        onKeyDown=${key}
      />
      ${typeof unit === 'string' ? html`<span class="unit" aria-hidden="true">${unit}</span>` : unit} ${children}
    </div>
    <p id=${told} class=${error ? 'ticket-wrong' : 'ticket-note'} data-test=${told}>${error || note || ''}</p>
  </div>`;
}

/**
 * A choice of one of a few, as buttons.
 * @param {{name: string, label: string, value: string, put: (value: string) => void,
 *   choices: Array<{value: string, words: any, style?: string, why?: string, title?: string}>}} props
 */
export function Choice({ name, label, value, put, choices }) {
  return html`<div class="seg" role="group" aria-label=${label}>
    ${choices.map(
      (choice) => html`<button
        key=${choice.value}
        type="button"
        class=${choice.style ?? ''}
        title=${choice.why || choice.title}
        aria-pressed=${choice.value === value ? 'true' : 'false'}
        disabled=${Boolean(choice.why)}
        data-test=${`ticket-${name}-${choice.value}`}
        onClick=${() => put(choice.value)}
      >
        ${choice.words}
      </button>`,
    )}
  </div>`;
}

/** A yes or no with its words; `why` says why it cannot be chosen. */
export function Check({ name, label, value, put, why = '', title }) {
  const id = `ticket-${name}`;
  return html`<label class="check" for=${id} title=${why || title}>
    <input
      id=${id}
      type="checkbox"
      checked=${value && !why}
      disabled=${Boolean(why)}
      data-test=${id}
      onChange=${(event) => put(event.currentTarget.checked)}
    />
    <span>${label}</span>
  </label>`;
}

/** A choice from a list. */
export function Select({ name, label, value, put, choices, disabled = false, style = '' }) {
  const id = `ticket-${name}`;
  return html`<div class=${`field ticket-field ${style}`}>
    <label class="field-name" for=${id}>${label}</label>
    <select
      id=${id}
      class="select"
      data-test=${id}
      disabled=${disabled}
      onChange=${(event) => put(event.currentTarget.value)}
    >
      ${choices.map(
        (choice) => html`<option key=${choice.value} value=${choice.value} selected=${choice.value === value}>
          ${choice.words}
        </option>`,
      )}
    </select>
  </div>`;
}
