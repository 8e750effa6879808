// Keys of the whole page: who registers one says what it does, and `?` shows them all.

import { html, useEffect, useRef } from './html.js';
import { dialog_open, dialog_shown } from './dialog.js';

const TYPED = new Set(['text', 'search', 'email', 'number', 'password', 'tel', 'url', 'date', 'datetime-local']);
const bindings = []; // the newest last; of several of one key the newest acts

/**
 * Lets a key act until the function that is returned is called.
 * @param {string} key as KeyboardEvent.key says it, such as "b", "?" or "Escape"
 * @param {string} words what it does, for the list
 * @param {(event: KeyboardEvent) => void} act
 */
export function register(key, words, act) {
  const binding = { key, words, act };
  bindings.push(binding);
  return () => {
    const index = bindings.indexOf(binding);
    if (index >= 0) bindings.splice(index, 1);
  };
}

/** Lets a key act while the component is there. */
export function useKey(key, words, act) {
  const held = useRef(act);
  held.current = act;
  useEffect(() => register(key, words, (event) => held.current(event)), [key, words]);
}

/** Returns whether an element takes what is typed. */
export function takes_text(element) {
  if (!(element instanceof HTMLElement)) return false;
  if (element.isContentEditable || element instanceof HTMLTextAreaElement) return true;
  if (element instanceof HTMLSelectElement) return true;
  return element instanceof HTMLInputElement && TYPED.has(element.type);
}

/** Listens from now on. */
export function keyboard_start() {
  register('?', 'This list of keys', keys_show);
  window.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (dialog_shown()) return;
    if (takes_text(event.target)) {
      if (event.key === 'Escape') event.target.blur(); // out of the field: the other keys act again
      return;
    }
    const binding = bindings.findLast((each) => each.key === event.key);
    if (!binding || event.repeat) return;
    event.preventDefault();
    binding.act(event);
  });
}

/** Shows which keys act now. */
export function keys_show() {
  const shown = new Map(bindings.filter((each) => each.words).map((each) => [each.key, each.words]));
  const rows = [...shown].map(([key, words]) => html`<tr><th scope="row"><kbd>${key}</kbd></th><td>${words}</td></tr>`);
  dialog_open({ title: 'Keys', body: html`<table class="keys"><tbody>${rows}</tbody></table>` });
}
