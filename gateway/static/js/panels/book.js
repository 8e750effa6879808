// What can be traded against: the outside quote and users' orders by price, and what was traded last.

import { get } from '../api.js';
import { absolute, compare, plus, price, quantity, time, time_full } from '../format.js';
import { html, useEffect, useState } from '../html.js';
import { seq_of } from '../reducers.js';
import { store, useStore } from '../store.js';
import { market_place, on } from '../stream.js';

const LEVELS = 12; // shown a side
const TRADES = 40;
const AGAIN_MS = 3000;
const LIQUIDITY = {
  quote: 'the quote fills any size',
  quote_sized: 'the quote fills its own size',
  book: 'users alone trade',
};

/** The book of the selected market with its newest trades. */
export function Book() {
  const market = useStore((state) => state.market);
  return html`<section class="book" aria-label="Book and trades">
    <${Depth} market=${market} />
    <${Trades} market=${market} />
  </section>`;
}

/** Both sides of the book around the spread. */
function Depth({ market }) {
  const depth = useStore((state) => state.depth);
  const tick = useStore((state) => state.markets[market]?.tick);
  const liquidity = useStore((state) => state.markets[market]?.liquidity ?? 'quote');
  const asks = side_rows(depth, 'ask', liquidity);
  const bids = side_rows(depth, 'bid', liquidity);
  const most = Math.max(Number(asks.at(-1)?.sum ?? 0), Number(bids.at(-1)?.sum ?? 0));
  const first = bids[0] ?? asks[0];
  const row = (each) => html`<${Level} row=${each} tick=${tick} most=${most} stop=${each === first} />`;
  return html`<div class="book-depth" role="table" aria-label="Order book" onClick=${wish} onKeyDown=${walk}>
    <div role="rowgroup"><div role="row" class="book-row book-heads">
      <span role="columnheader">Price</span>
      <span role="columnheader">Quantity</span>
      <span role="columnheader">Sum</span>
    </div></div>
    <div role="rowgroup" class="book-asks" aria-label="Asks">${[...asks].reverse().map(row)}</div>
    <div role="rowgroup" class="book-middle">
      <div role="row"><${Middle} quote=${depth?.quote} tick=${tick} liquidity=${liquidity} /></div>
    </div>
    <div role="rowgroup" class="book-bids" aria-label="Bids">${bids.map(row)}</div>
    ${depth?.truncated && html`<p class="dim">More orders than can be shown.</p>`}
  </div>`;
}

/**
 * Returns the rows of one side, the best price first: users' orders with their sums, and the outside quote among them.
 * @param {object|null} depth
 * @param {'bid'|'ask'} side
 * @param {'quote'|'quote_sized'|'book'} liquidity
 */
export function side_rows(depth, side, liquidity) {
  if (!depth) return [];
  const rows = [];
  let sum = '0';
  const quote = depth.quote?.[side];
  const quote_qty = liquidity === 'quote' ? null : depth.quote?.[`${side}_qty`];
  let owed = quote ? { side, price: quote, qty: quote_qty, quote: true } : null; // the outside quote, not placed yet
  for (const [level, qty] of depth[`${side}s`].slice(0, LEVELS)) {
    const better = owed && (side === 'bid' ? compare(quote, level) >= 0 : compare(quote, level) <= 0);
    if (better) rows.push({ ...owed, sum });
    if (better) owed = null;
    sum = plus(sum, qty);
    rows.push({ side, price: level, qty, sum, quote: false });
  }
  if (owed) rows.push({ ...owed, sum });
  return rows;
}

/** One price of the book. */
function Level({ row, tick, most, stop }) {
  const share = most > 0 ? Math.round((Number(row.sum) / most) * 100) : 0;
  const shown = price(row.price, tick);
  const words = `${shown}, ${row.side}${row.quote ? ' of the quote' : ''}: into the ticket`;
  const qty = row.qty === null ? 'any size' : quantity(row.qty);
  return html`<div
    role="row"
    class=${`book-row is-${row.side} ${row.quote ? 'is-quote' : ''}`}
    data-test=${`book-${row.quote ? 'quote-' : ''}${row.side}`}
    data-price=${row.price}
    data-qty=${row.qty}
  >
    <span role="cell">
      <button type="button" class="book-price number live" tabindex=${stop ? 0 : -1} aria-label=${words}>
        ${shown}
      </button>
    </span>
    <span role="cell" class="number">${qty}</span>
    <span role="cell" class="number">${row.quote ? html`<span class="badge">quote</span>` : quantity(row.sum)}</span>
    <span class="book-bar" aria-hidden="true" style=${{ transform: `scaleX(${row.quote ? 0 : share / 100})` }}></span>
  </div>`;
}

/** Between the sides: the spread of the quote, and what fills orders in this market. */
function Middle({ quote, tick, liquidity }) {
  const spread = quote?.bid && quote?.ask ? price(absolute(plus(quote.ask, quote.bid, -1)), tick) : '–';
  return html`<span role="cell" class="book-spread">
    Spread <b class="number">${spread}</b> <span class="dim">${LIQUIDITY[liquidity]}</span>
  </span>`;
}

/** Puts the price that was clicked into the ticket. */
function wish(event) {
  const row = event.target.closest('[data-price]');
  if (row) store.set({ ticket_wish: { price: row.dataset.price, at_ms: Date.now() } });
}

/** Moves from price to price with the arrow keys. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.matches('.book-price')) return;
  const buttons = [...event.currentTarget.querySelectorAll('.book-price')];
  buttons[buttons.indexOf(event.target) + step]?.focus();
  event.preventDefault();
  event.stopPropagation();
}

/** What was traded last, the newest first. */
function Trades({ market }) {
  const told = useStore((state) => state.trades);
  const tick = useStore((state) => state.markets[market]?.tick);
  const { before, words } = useTradesBefore(market);
  const rows = trades_join(told, before, TRADES);
  return html`<div class="book-trades" tabindex="0" role="region" aria-label="Trades">
    <h2>Trades</h2>
    ${rows.length === 0 && html`<p class="dim">${words}</p>`}
    <table class="trades-table" aria-label="Newest trades">
      <thead class="visually-hidden">
        <tr><th scope="col">Price</th><th scope="col">Quantity</th><th scope="col">Time</th></tr>
      </thead>
      <tbody>${rows.map((row) => html`<${Trade} key=${row.at} row=${row} tick=${tick} />`)}</tbody>
    </table>
  </div>`;
}

/** One trade; the side is the taker's. */
function Trade({ row, tick }) {
  const bought = row.side === 'buy';
  return html`<tr class=${bought ? 'up' : 'down'} data-test="book-trade" data-at=${row.at}>
    <td class="number">
      <span role="img" aria-label=${bought ? 'Bought' : 'Sold'}>${bought ? '▲' : '▼'}</span>
      ${' '}${price(row.price, tick)}
    </td>
    <td class="number">${quantity(row.qty)}</td>
    <td class="number dim" title=${time_full(row.time_us)}>${time(row.time_us)}</td>
  </tr>`;
}

/**
 * Returns the trades from before the socket, and what stands in the place of none. They are read with each market, and
 * once the socket is live, so that none falls between; while they cannot be read, again.
 */
function useTradesBefore(market) {
  const [read, put] = useState({ before: [], words: '' });
  useEffect(() => {
    if (!market) return undefined;
    const leaving = new AbortController();
    let timer = 0;
    async function look({ at }) {
      clearTimeout(timer);
      const path = `/api/v1/market/${market}/trades?limit=${TRADES}&wait_seq=${seq_of(at)}`;
      try {
        put({ before: (await get(path, { signal: leaving.signal })).items, words: 'Nobody has traded yet.' });
      } catch {
        if (leaving.signal.aborted) return;
        put(({ before }) => ({ before, words: 'What was traded before cannot be read now.' }));
        timer = setTimeout(look, AGAIN_MS, { at });
      }
    }
    put({ before: [], words: '' });
    if (market_place()) look({ at: market_place() });
    const end = on.market_live(look);
    return () => {
      leaving.abort('left');
      clearTimeout(timer);
      end();
    };
  }, [market]);
  return read;
}

/**
 * Returns trades of two lists, the newest first, each once, at most so many.
 * @param {{at: string}[]} told
 * @param {{at: string}[]} before
 * @param {number} most
 */
export function trades_join(told, before, most) {
  const known = new Set(told.map((row) => row.at));
  return told.concat(before.filter((row) => !known.has(row.at))).slice(0, most);
}
