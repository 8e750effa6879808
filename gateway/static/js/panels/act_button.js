// A button that sends one instruction: busy and not to be pressed again until it is answered.

import { html, useEffect, useRef, useState } from '../html.js';

/**
 * Returns whether something is under way, and what begins it; a second beginning meanwhile does nothing.
 * @returns {[boolean, (work: () => Promise<any>) => Promise<any>]}
 */
export function useBusy() {
  const [busy, put] = useState(false);
  const held = useRef({ busy: false, there: true });
  useEffect(() => () => (held.current.there = false), []);
  async function run(work) {
    if (held.current.busy) return null;
    held.current.busy = true;
    put(true);
    try {
      return await work();
    } finally {
      held.current.busy = false;
      if (held.current.there) put(false);
    }
  }
  return [busy, run];
}

/**
 * A button; `press` returns a promise that ends when the instruction is answered.
 * @param {{test: string, press: () => Promise<any>, label?: string, title?: string, style?: string, disabled?: boolean,
 *   submit?: boolean, children?: any}} props
 */
export function ActButton({ test, press, label, title, style = '', disabled = false, children }) {
  const [busy, run] = useBusy();
  return html`<button
    type="button"
    class=${`btn ${style}`}
    data-test=${test}
    aria-label=${label}
    title=${title}
    aria-busy=${busy ? 'true' : undefined}
    disabled=${disabled || busy}
    onClick=${() => run(press)}
  >
    ${children}
  </button>`;
}
