// How the connection and the feed stand, for everybody to see: a light with its word, and sentences of warning.

import { html } from './html.js';
import { connection_words, useFeed } from './feed.js';
import { shallow, useStore } from './store.js';

const NAMES = { live: 'Live', connecting: 'Connecting', lost: 'Lost', signed_out: 'Signed out' };

/** The light of the connection, with its word. */
export function ConnectionLight() {
  const connection = useStore((state) => state.connection);
  return html`<span
    class="link-state"
    role="img"
    aria-label=${`Connection: ${connection_words(connection)}`}
    title=${connection_words(connection)}
    data-test="connection"
    data-state=${connection.state}
  >
    <span class="dot" data-state=${connection.state}></span><span class="link-word">${NAMES[connection.state]}</span>
  </span>`;
}

/** Says plainly that prices are made up, wherever they are. */
export function SimulatedChip() {
  const simulated = useStore((state) => Object.values(state.tickers).some((ticker) => ticker.simulated));
  return (
    simulated &&
    html`<span class="chip chip-warn" data-test="simulated" title="The prices are invented here: not a real market."
      >Simulated prices</span
    >`
  );
}

/** The sentences that stand above everything when something is not well. */
export function Banners() {
  const market = useStore((state) => state.market);
  const connection = useStore((state) => state.connection, shallow);
  const { frozen, locked_until_ms } = useStore((state) => state.account);
  const state_of_market = useStore((state) => state.tickers[market]?.state ?? state.markets[market]?.state);
  const troubles = useStore((state) => troubles_of(state.ready), shallow);
  const feed = useFeed(market);
  const shown = [];
  // What a screen reader hears is said once, not with every second that passes.
  if (connection.state === 'lost') {
    shown.push(['bad', connection_words(connection), connection.message, 'Connection lost.']);
  }
  if (feed.state === 'stale') shown.push(['warn', feed.sentence, '', 'The prices are stale: orders are refused.']);
  if (state_of_market === 'halted') shown.push(['warn', 'The market is halted: nothing is placed or filled.']);
  if (state_of_market === 'reduce_only') shown.push(['warn', 'The market is reduce-only: positions may only shrink.']);
  if (frozen) shown.push(['bad', 'This account is frozen: ask the operator.']);
  if (locked_until_ms) shown.push(['warn', 'The daily loss limit is reached: only closing until the UTC day ends.']);
  if (connection.state === 'live') troubles.forEach((trouble) => shown.push(['warn', trouble]));
  return html`<section class="banners" aria-label="Warnings">
    <p class="visually-hidden" role="status">${shown.map(([, words, , spoken]) => spoken ?? words).join(' ')}</p>
    ${shown.map(
      ([kind, words, more]) => html`<p class=${`banner banner-${kind}`} data-test="banner">${words} ${more}</p>`,
    )}
  </section>`;
}

/** Returns what of the venue's readiness concerns somebody who trades. */
function troubles_of(ready) {
  if (!ready) return [];
  const found = [];
  if (ready.status !== 'ready') {
    found.push(`The venue takes no instructions now: ${Object.values(ready.missing).join('; ')}.`);
  }
  if (ready.degraded.includes('postgres')) {
    found.push('Histories and signing in have to wait; trading goes on.');
  } else if (ready.degraded.includes('history')) {
    found.push(`Histories are late: ${ready.detail.history}.`);
  }
  return found;
}
