// The list of markets: opened by its button or by `/`, narrowed by typing, chosen with arrows and Enter or a click.

import { arrow, percent, price, trend } from '../format.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from '../html.js';
import { useKey } from '../keyboard.js';
import { useStore } from '../store.js';
import { market_words } from './market_words.js';

const LIST = 'market-list';

/** The name of the selected market, which opens the list of all. */
export function MarketPicker() {
  const market = useStore((state) => state.market);
  const [open, put] = useState(false);
  const button = useRef(null);
  useKey('/', 'Choose a market', () => put(true));

  /** Closes the list; the focus goes back to the button unless it went elsewhere by itself. */
  function close(refocus = true) {
    put(false);
    if (refocus) button.current.focus();
  }

  function choose(name) {
    close();
    if (name !== market) location.hash = `#/trade/${name}`;
  }

  return html`<div class="market-picker">
    <button
      ref=${button}
      type="button"
      class="market-name"
      data-test="market-name"
      aria-haspopup="listbox"
      aria-expanded=${open}
      title="Choose a market (/)"
      onClick=${() => put(!open)}
    >
      <b>${market_words(market)}</b> <span class="dim">Perp</span> <span aria-hidden="true">▾</span>
      <span class="visually-hidden">, choose another market</span>
    </button>
    ${open && html`<${MarketList} market=${market} choose=${choose} close=${close} />`}
  </div>`;
}

/** The open list. */
function MarketList({ market, choose, close }) {
  const names = useStore((state) => state.market_names);
  const [text, typed] = useState('');
  const [marked, mark] = useState(market);
  const box = useRef(null);
  const input = useRef(null);
  const wanted = text.trim().toUpperCase().replaceAll(/[-/ ]/g, '_');
  const found = names.filter((name) => name.includes(wanted));
  const active = found.includes(marked) ? marked : found[0];
  useLayoutEffect(() => input.current.focus(), []);
  useLayoutEffect(() => {
    box.current.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' });
  }, [active]);
  useOutside(box, () => close(false));

  function key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length > 0) mark(found[(found.indexOf(active) + step + found.length) % found.length]);
    else if (event.key === 'Home' && !text) mark(found[0]);
    else if (event.key === 'End' && !text) mark(found.at(-1));
    else if (event.key === 'Enter') active && choose(active);
    else if (event.key === 'Escape') close();
    else if (event.key === 'Tab') return close(false);
    else return undefined;
    event.preventDefault();
    event.stopPropagation();
    return undefined;
  }

  return html`<div class="market-popup" ref=${box} onKeyDown=${key}>
    <input
      ref=${input}
      type="search"
      class="input"
      data-test="market-find"
      role="combobox"
      aria-label="Find a market"
      aria-expanded="true"
      aria-controls=${LIST}
      aria-autocomplete="list"
      aria-activedescendant=${active ? `market-${active}` : undefined}
      placeholder="Find a market"
      autocomplete="off"
      spellcheck=${false}
      value=${text}
      onInput=${(event) => typed(event.currentTarget.value)}
    />
    <ul id=${LIST} role="listbox" aria-label="Markets">
      ${found.map((name) => html`<${Row} key=${name} name=${name} active=${name === active} choose=${choose} />`)}
    </ul>
    ${found.length === 0 && html`<p class="dim" role="status">No market is called so.</p>`}
  </div>`;
}

/** One market with its price and its change over a day. */
function Row({ name, active, choose }) {
  const mark = useStore((state) => price(state.tickers[name]?.mark, state.markets[name]?.tick));
  const change = useStore((state) => state.tickers[name]?.change_24h);
  const old = useStore((state) => state.tickers[name]?.fresh === false);
  const shown = change === undefined ? '–' : `${arrow(change)} ${percent(change)}`;
  return html`<li
    id=${`market-${name}`}
    data-test="market-option"
    data-market=${name}
    role="option"
    aria-selected=${active}
    class=${old ? 'is-old' : ''}
    onClick=${() => choose(name)}
  >
    <b>${market_words(name)}</b>
    <span class="number live">${mark}</span>
    <span class=${`number live ${change === undefined ? 'dim' : trend(change)}`}>${old ? 'stale' : shown}</span>
  </li>`;
}

/** Calls back when something outside an element is pressed. */
function useOutside(box, leave) {
  useEffect(() => {
    const look = (event) => {
      const picker = box.current?.parentElement;
      if (picker && !picker.contains(event.target)) leave();
    };
    document.addEventListener('pointerdown', look);
    return () => document.removeEventListener('pointerdown', look);
  }, []);
}
