// What the page knows of the venue before anything moves: its markets, its codes, and every five seconds its readiness.

import { get } from './api.js';
import { store } from './store.js';
import { on } from './stream.js';
import { toast } from './toasts.js';
import { errors_load } from './words.js';

const READY_EACH_MS = 5000;
const ERRORS_AFTER_MS = 3000;

/** Reads the markets into the store, and the table of refusals when there is time; throws ApiError. */
export async function venue_read() {
  const { items } = await get('/api/v1/market');
  setTimeout(() => errors_load(get).catch(() => {}), ERRORS_AFTER_MS);
  const markets = Object.fromEntries(items.map((row) => [row.market, row]));
  const market_names = [...items].sort((one, other) => one.id - other.id).map((row) => row.market);
  store.set({ markets: { ...markets, ...store.get().markets }, market_names });
  return market_names;
}

/** Looks at the gateway's readiness again and again while the tab is seen. */
export function ready_start() {
  async function look() {
    if (!document.hidden) store.set({ ready: await ready_read() });
  }
  look();
  setInterval(look, READY_EACH_MS);
}

/** Tells after a reconnection when the gateway serves another version of this page than the one that runs. */
export function updates_start() {
  let tag = null;
  on.live(async () => {
    const answer = await fetch('/', { method: 'HEAD' }).catch(() => null);
    const now = answer?.headers.get('ETag') ?? null;
    if (tag && now && now !== tag) {
      toast({ kind: 'info', title: 'The venue was updated', text: 'Load the page anew.', key: 'update', sticky: true });
    }
    tag = now ?? tag;
  });
}

/** Returns what /ready says, null when nobody answers; 503 is an answer too. */
async function ready_read() {
  try {
    const answer = await fetch('/ready', { signal: AbortSignal.timeout(READY_EACH_MS - 500) });
    const { status, missing, degraded, detail } = await answer.json();
    return { status, missing: missing ?? {}, degraded: degraded ?? [], detail: detail ?? {} };
  } catch {
    return null;
  }
}
