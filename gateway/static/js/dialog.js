// Dialogs of the page: a question with yes and no, or something to read; one at a time, Escape closes it.

import { html, useLayoutEffect, useRef } from './html.js';
import { store, useStore } from './store.js';

let number = 0;

/** Returns whether a dialog is open. */
export function dialog_shown() {
  return document.querySelector('dialog[open]') !== null;
}

/**
 * Shows something to read, or a form, until it is closed; one that is open closes first.
 * @param {{title: string, body: any, close?: string, on_close?: () => void}} asked `body` may be a function
 * @returns {() => void} closes it
 */
export function dialog_open({ title, body, close = 'Close', on_close = () => {} }) {
  return put({ title, body, buttons: [{ words: close, value: false }], done: on_close });
}

/**
 * Returns whether the user agrees; true at once where the settings ask for no confirmation, unless it always is asked.
 * @param {{title: string, text?: any, yes?: string, no?: string, danger?: boolean, always?: boolean}} asked
 * @returns {Promise<boolean>}
 */
export function confirm_dialog({ title, text = '', yes = 'Yes', no = 'Cancel', danger = false, always = false }) {
  if (!always && !store.get().settings.confirm) return Promise.resolve(true);
  return new Promise((resolve) => {
    const buttons = [
      { words: no, value: false },
      { words: yes, value: true, style: danger ? 'btn-danger' : 'btn-accent', first: true },
    ];
    put({ title, body: text, buttons, done: resolve });
  });
}

/** Opens a dialog; returns what closes it. */
function put(dialog) {
  store.get().dialog?.done(false);
  number += 1;
  const shown = { ...dialog, number };
  store.set({ dialog: shown });
  return () => close(shown, false);
}

/** Closes a dialog, if it is still the one that is open, with an answer. */
function close(dialog, answer) {
  if (store.get().dialog?.number !== dialog.number) return;
  store.set({ dialog: null });
  dialog.done(answer);
}

/** The dialog that is open. */
export function Dialogs() {
  const dialog = useStore((state) => state.dialog);
  return dialog && html`<${Shown} key=${dialog.number} dialog=${dialog} />`;
}

/** One dialog, modal from the moment it is drawn. */
function Shown({ dialog }) {
  const box = useRef(null);
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    (box.current.querySelector('[data-first], input, select') ?? box.current.querySelector('button')).focus();
    return () => before instanceof HTMLElement && before.isConnected && before.focus();
  }, []);
  const end = (answer) => close(dialog, answer);
  const body = typeof dialog.body === 'function' ? dialog.body(() => end(false)) : dialog.body;
  const title = `dialog-${dialog.number}`;
  return html`<dialog
    ref=${box}
    class="dialog"
    aria-labelledby=${title}
    onCancel=${(event) => (event.preventDefault(), end(false))}
    onClose=${() => end(false)}
    onPointerDown=${(event) => event.target === box.current && end(false)}
  >
    <div class="dialog-box">
      <h2 id=${title}>${dialog.title}</h2>
      <div class="dialog-body">${body}</div>
      <div class="dialog-foot">
        ${dialog.buttons.map(
          (button) => html`<button
            type="button"
            class=${`btn ${button.style ?? ''}`}
            data-first=${button.first ? '' : undefined}
            onClick=${() => end(button.value)}
          >
            ${button.words}
          </button>`,
        )}
      </div>
    </div>
  </dialog>`;
}
