// The trading screen: which panel stands where, on a wide screen side by side, on a phone one part at a time.

import { Banners, ConnectionLight, SimulatedChip } from '../connection.js';
import { useFeed } from '../feed.js';
import { html, useEffect, useState } from '../html.js';
import { useKey } from '../keyboard.js';
import { AccountMenu, HelpMenu } from '../menu.js';
import { AccountSummary } from '../panels/account.js';
import { Book } from '../panels/book.js';
import { Chart } from '../panels/chart.js';
import { MarketBar } from '../panels/market_bar.js';
import { Tabs } from '../panels/tabs.js';
import { Ticket } from '../panels/ticket.js';
import { store, useStore } from '../store.js';
import { theme_toggle } from '../theme.js';

const NARROW = matchMedia('(max-width: 800px)');
const PARTS = [
  ['chart', 'Chart'],
  ['trade', 'Trade'],
  ['positions', 'Positions'],
  ['account', 'Account'],
];

/** The whole trading screen. */
export function TradeScreen() {
  const market = useStore((state) => state.market);
  const part = useStore((state) => state.part);
  const feed = useFeed(market);
  const narrow = useNarrow();
  useKey('t', 'Dark or light theme', theme_toggle);
  const hidden = (...parts) => narrow && !parts.includes(part);
  return html`<div class="screen" data-screen="trade" data-feed=${feed.state} data-part=${narrow ? part : undefined}>
    <header class="topbar">
      <p class="brand"><span class="brand-name">Tidemark</span> <span class="chip">Paper</span></p>
      <div class="topbar-market"><${MarketBar} /></div>
      <div class="topbar-end"><${SimulatedChip} /><${ConnectionLight} /><${HelpMenu} /><${AccountMenu} /></div>
    </header>
    <${Banners} />
    <main class="desk">
      <h1 class="visually-hidden">Trading ${market}</h1>
      <div class="panel area-chart" hidden=${hidden('chart')}><${Chart} /></div>
      <div class="panel area-book" hidden=${hidden('chart')}><${Book} /></div>
      <div class="area-side">
        <div class="panel" hidden=${hidden('trade')}><${Ticket} /></div>
        <div class="panel" hidden=${hidden('account')}><${AccountSummary} /></div>
      </div>
      <div class="panel area-tabs" hidden=${hidden('positions')}><${Tabs} /></div>
    </main>
    ${narrow && html`<${PartBar} part=${part} />`}
  </div>`;
}

/** Returns whether the screen is narrow, and draws anew when that changes. */
function useNarrow() {
  const [narrow, put] = useState(NARROW.matches);
  useEffect(() => {
    const look = () => put(NARROW.matches);
    NARROW.addEventListener('change', look);
    return () => NARROW.removeEventListener('change', look);
  }, []);
  return narrow;
}

/** The bar at the bottom of a phone: which part is shown. */
function PartBar({ part }) {
  const count = useStore((state) => Object.keys(state.positions).length);
  return html`<nav class="partbar" aria-label="Parts of the page">
    ${PARTS.map(
      ([name, words]) => html`<button
        type="button"
        key=${name}
        aria-current=${part === name ? 'page' : undefined}
        onClick=${() => part_show(name)}
      >
        ${words} ${name === 'positions' && count > 0 && html`<span class="badge">${count}</span>`}
      </button>`,
    )}
  </nav>`;
}

/** Shows a part of the page on a phone, from its top. */
function part_show(name) {
  store.set({ part: name });
  window.scrollTo(0, 0);
}
