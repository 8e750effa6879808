// How good the figures on the screen are: fresh, stale because no quotes come, or lost because the gateway is away.

import { now_ms } from './clock.js';
import { duration } from './format.js';
import { useEffect, useRef, useState } from './html.js';
import { store } from './store.js';

const STEP_MS = 1000;
const GRACE_MS = 1500; // a ticker may be this late before the page itself calls a price old

/**
 * Returns how good a market's figures are.
 * @param {any} state @param {string} market @param {number} at_ms the venue's time
 * @returns {{state: 'fresh'|'stale'|'lost'|'none', age_ms: number|null, sentence: string}}
 */
export function feed_of(state, market, at_ms) {
  const ticker = state.tickers[market];
  const age_ms = ticker?.quote_us ? Math.max(0, at_ms - ticker.quote_us / 1000) : null;
  if (state.connection.state !== 'live') {
    return { state: 'lost', age_ms, sentence: connection_words(state.connection) };
  }
  if (!ticker) return { state: 'none', age_ms, sentence: 'No price yet.' };
  const limit_ms = (state.markets[market]?.price_age_max_ms ?? 10_000) + GRACE_MS;
  if (ticker.fresh && (age_ms === null || age_ms <= limit_ms)) return { state: 'fresh', age_ms, sentence: '' };
  const since = age_ms === null ? 'No price yet' : `No fresh price since ${duration(age_ms)}`;
  return { state: 'stale', age_ms, sentence: `${since}: orders are refused until quotes come again.` };
}

/** Returns in words how the connection stands. */
export function connection_words(connection) {
  const tries = connection.attempts > 0 ? ` (${connection.attempts})` : '';
  switch (connection.state) {
    case 'live':
      return 'Live';
    case 'lost':
      return `Connection lost, trying again${tries}…`;
    case 'signed_out':
      return 'Signed out.';
    default:
      return `Connecting${tries}…`;
  }
}

/** Returns how good a market's figures are, for greying and for the sentence; drawn anew only when that changed. */
export function useFeed(market) {
  const look = () => feed_of(store.get(), market, now_ms());
  const [, draw] = useState(0);
  const held = useRef(null);
  held.current = look();
  useEffect(() => {
    function step() {
      const { state, sentence } = look();
      if (state !== held.current.state || sentence !== held.current.sentence) draw((count) => count + 1);
    }
    const timer = setInterval(step, STEP_MS);
    const end = store.subscribe(step);
    return () => {
      clearInterval(timer);
      end();
    };
  }, [market]);
  return held.current;
}
