// The venue's time as the page knows it: its own clock and how far that is off, learnt from what arrives.

import { useEffect, useState } from './html.js';
import { store } from './store.js';

const AGAIN_MS = 60_000;
const JUMP_MS = 2000; // no line is so slow: this machine's clock was set
let learnt_ms = -Infinity;

/** Returns the venue's time of now, in milliseconds. */
export function now_ms() {
  return Date.now() + store.get().clock_offset_ms;
}

/** Learns from a message that states when the gateway sent it; the one that came fastest is believed for a minute. */
export function clock_learn(sent_ms) {
  const at_ms = Date.now();
  const offset_ms = Math.round(sent_ms - at_ms);
  const known = learnt_ms > -Infinity && at_ms - learnt_ms < AGAIN_MS;
  const slower_ms = store.get().clock_offset_ms - offset_ms;
  if (known && slower_ms >= 0 && slower_ms < JUMP_MS) return;
  learnt_ms = at_ms;
  store.set({ clock_offset_ms: offset_ms });
}

/** Returns the venue's time and draws the component anew each step. */
export function useNow(step_ms = 1000) {
  const [at_ms, put] = useState(now_ms());
  useEffect(() => {
    const timer = setInterval(() => put(now_ms()), step_ms);
    return () => clearInterval(timer);
  }, [step_ms]);
  return at_ms;
}
