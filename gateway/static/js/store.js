// The page's state: one plain object, changed by shallow merge, told to listeners at most once a frame.

import { useLayoutEffect, useRef, useState } from './html.js';

const HIDDEN_MS = 250;

/** Returns the state that a page begins with; every decimal in it is text as the gateway sent it. */
export function state_new() {
  return {
    connection: { state: 'connecting', since_ms: Date.now(), attempts: 0, message: '' },
    session: null, // {account_id, expires_us}
    farewell: null, // why nobody is signed in any more, '' when they wanted it
    acting: null, // account id in force: the session's own or one of its sub-accounts
    accounts: [], // [{account_id, sub}] the main account (sub 0) and its sub-accounts
    venue: null, // {venue, rules, env}
    markets: {},
    market_names: [],
    market: null,
    tickers: {},
    depth: null,
    trades: [],
    candle_live: null,
    account: {},
    positions: {},
    orders: {},
    valuation: null, // {account, positions: {position_id: …}}
    fills_recent: [],
    toasts: [],
    dialog: null,
    clock_offset_ms: 0,
    errors: {},
    ready: null,
    settings: { theme: 'auto', confirm: true, density: 'normal', market: '' },
    scheme: 'dark',
    ticket_wish: null,
    part: 'chart', // which part a phone shows
  };
}

/**
 * Returns a store around a state.
 * @param {object} initial
 * @returns {{get: () => any, set: (patch: object) => void, update: (fn: (state: any) => object) => void,
 *   subscribe: (fn: (state: any) => void) => () => void}}
 */
export function store_new(initial) {
  let state = initial;
  let frame = 0;
  let timer = 0;
  const listeners = new Set();

  function tell() {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = timer = 0;
    for (const listener of [...listeners]) {
      try {
        if (listeners.has(listener)) listener(state);
      } catch (error) {
        reportError(error); // one panel's fault stays its own
      }
    }
  }

  function owe() {
    if (timer) return;
    // A hidden or covered tab gets no frames: the timer is its only beat.
    timer = setTimeout(tell, HIDDEN_MS);
    if (!document.hidden) frame = requestAnimationFrame(tell);
  }

  function set(patch) {
    if (!patch) return;
    state = { ...state, ...patch };
    owe();
  }

  return {
    get: () => state,
    set,
    update: (change) => set(change(state)),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The one state of this page. */
export const store = store_new(state_new());

/**
 * Returns what a selector picks of the state; the component is drawn anew only when that changed.
 * @template T
 * @param {(state: any) => T} selector
 * @param {(before: T, after: T) => boolean} equal
 * @returns {T}
 */
export function useStore(selector, equal = Object.is) {
  const [, draw] = useState(0);
  const held = useRef(null);
  const picked = selector(store.get());
  const value = held.current && equal(held.current.value, picked) ? held.current.value : picked;
  held.current = { selector, equal, value };
  useLayoutEffect(() => {
    function look() {
      const now = held.current;
      if (!now.equal(now.value, now.selector(store.get()))) draw((count) => count + 1);
    }
    look();
    return store.subscribe(look);
  }, []);
  return value;
}

/** Returns whether two objects or lists hold the same values under the same keys: for useStore. */
export function shallow(before, after) {
  if (Object.is(before, after)) return true;
  if (!before || !after || typeof before !== 'object' || typeof after !== 'object') return false;
  const keys = Object.keys(before);
  return keys.length === Object.keys(after).length && keys.every((key) => Object.is(before[key], after[key]));
}
