// What the forms in dialogs share: a refusal stands in the form itself, because a dialog covers the toasts.

import { html, useState } from '../html.js';
import { act, ApiError } from '../api.js';
import { is_decimal } from '../format.js';
import { explain } from '../words.js';
import { useBusy } from './act_button.js';

/**
 * Returns whether a form's instruction is under way, by which refusal the last one ended, and what sends one:
 * submit(words, send) shows a toast with the words and returns the body, or null after a refusal.
 * @returns {{busy: boolean, refusal: ApiError|null, submit: (words: string, send: () => Promise<any>) => Promise<any>}}
 */
export function useFormSend() {
  const [busy, run] = useBusy();
  const [refusal, put] = useState(null);

  function submit(words, send) {
    return run(async () => {
      put(null);
      try {
        return await act(words, Promise.resolve(await send()));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        put(error);
        return null;
      }
    });
  }

  return { busy, refusal, submit };
}

/** A refusal in words, inside the form that it answers. */
export function Refusal({ refusal }) {
  if (!refusal) return null;
  const { title, text, detail } = explain(refusal);
  return html`<p class="refusal" role="alert" data-test="form-refusal" data-code=${refusal.code}>
    <b>✕ ${title}.</b> ${text} ${detail && html`<span class="below">${detail}</span>`}
  </p>`;
}

/** Returns whether a text is an amount of money above zero. */
export function amount_fits(text) {
  return is_decimal(text) && !text.startsWith('-') && /[1-9]/.test(text);
}

/** A field for an amount of money. */
export function AmountField({ test, amount, put, fits }) {
  return html`<label class="field">
    <span class="field-name">Amount, USDC</span>
    <input
      type="text"
      inputmode="decimal"
      autocomplete="off"
      class="input number"
      value=${amount}
      data-test=${test}
      aria-invalid=${amount && !fits ? 'true' : undefined}
      onInput=${(event) => put(event.target.value.trim())}
    />
  </label>`;
}
