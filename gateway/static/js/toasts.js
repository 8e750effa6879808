// Short messages in a corner: what was done, what was refused and why; read out, dismissible, four at most.

import { html, useEffect, useRef } from './html.js';
import { register } from './keyboard.js';
import { store, useStore } from './store.js';
import { explain } from './words.js';

const SHOWN_MAX = 4;
const LIFE_MS = { ok: 5000, info: 7000, warn: 15_000, refused: 12_000 };
const SIGNS = { ok: '✓', info: 'i', warn: '!', refused: '✕' };
const SPOKEN = { ok: 'Done', info: 'Note', warn: 'Warning', refused: 'Refused' };
let number = 0;

/**
 * Shows a toast; one of the same key takes the place of the older.
 * @param {{kind: 'ok'|'info'|'warn'|'refused', title: string, text?: string, detail?: string, key?: string,
 *   sticky?: boolean}} toast
 * @returns {number} its id
 */
export function toast(toast) {
  number += 1;
  const shown = { text: '', detail: '', sticky: false, ...toast, id: number };
  const others = store.get().toasts.filter((each) => !shown.key || each.key !== shown.key);
  store.set({ toasts: [...others, shown].slice(-SHOWN_MAX) });
  return number;
}

/** Takes a toast away. */
export function toast_end(id) {
  store.update((state) => ({ toasts: state.toasts.filter((each) => each.id !== id) }));
}

/** Shows that an instruction was accepted, unless its events have said more already. */
export function toast_ok(title, body) {
  if (!title) return;
  const key = body?.order_id ? order_key(body.order_id) : undefined;
  if (key && store.get().toasts.some((each) => each.key === key)) return;
  toast({ kind: 'ok', title, key });
}

/** Shows a refusal in words with what to do; that nobody knows what became of it stays until that is known. */
export function toast_refused(error, key = `refused:${error.code}`) {
  const shown = explain(error);
  if (error.code === 'UNKNOWN') {
    toast({ ...shown, kind: 'warn', detail: '', key: unknown_key(error.detail.key), sticky: true });
  } else {
    toast({ ...shown, kind: 'refused', key });
  }
}

/** Returns by which key the toasts of an instruction without an answer replace each other. */
export function unknown_key(key) {
  return `unknown:${key}`;
}

/** Returns by which key the toasts of one order replace each other. */
export function order_key(order_id) {
  return `order:${order_id}`;
}

/** The toasts, in a region that screen readers follow. */
export function Toasts() {
  const toasts = useStore((state) => state.toasts);
  useEffect(
    () => register('Escape', 'Dismisses the newest message', () => toast_end(store.get().toasts.at(-1)?.id)),
    [],
  );
  return html`<section class="toasts" aria-label="Messages" aria-live="polite" aria-relevant="additions">
    ${toasts.map((each) => html`<${Toast} key=${each.id} toast=${each} />`)}
  </section>`;
}

/** One toast; it stays while it is pointed at or has the focus. */
function Toast({ toast: { id, kind, title, text, detail, sticky } }) {
  const held = useRef(false);
  useEffect(() => {
    if (sticky) return undefined;
    let left_ms = LIFE_MS[kind];
    const timer = setInterval(() => {
      if (!held.current) left_ms -= 250;
      if (left_ms <= 0) toast_end(id);
    }, 250);
    return () => clearInterval(timer);
  }, []);
  const hold = () => (held.current = true);
  const release = () => (held.current = false);
  return html`<article
    class="toast"
    data-test="toast"
    data-kind=${kind}
    onPointerEnter=${hold}
    onPointerLeave=${release}
    onFocusIn=${hold}
    onFocusOut=${release}
  >
    <span class="toast-sign" aria-hidden="true">${SIGNS[kind]}</span>
    <div class="grow">
      <p class="toast-title"><span class="visually-hidden">${SPOKEN[kind]}: </span>${title}</p>
      ${text && html`<p>${text}</p>`} ${detail && html`<p class="toast-detail">${detail}</p>`}
    </div>
    <button type="button" class="btn btn-quiet btn-icon" aria-label="Dismiss" onClick=${() => toast_end(id)}>
      ✕
    </button>
  </article>`;
}
