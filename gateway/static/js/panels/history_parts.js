// What the account's tables share: small cells, columns and filters.

import { html } from '../html.js';
import { coin, price, time, time_full } from '../format.js';
import { store, useStore } from '../store.js';

/** A side in words and sign. */
export function Side({ side }) {
  const [style, sign, words] = side === 'buy' ? ['up', '▲', 'Buy'] : ['down', '▼', 'Sell'];
  return html`<span class=${`side ${style}`}><span aria-hidden="true">${sign}</span> ${words}</span>`;
}

/** Returns a price of an item with the decimals of its market. */
export function price_of(row, text) {
  return price(text, store.get().markets[row.market]?.tick);
}

/** The column of an item's time. */
export const TIME = {
  key: 'time',
  title: 'Time',
  kind: 'number',
  sort: (row) => row.time_us,
  cell: (row) => html`<time title=${time_full(row.time_us)}>${time(row.time_us)}</time>`,
};

/** The column of an item's market. */
export const MARKET = {
  key: 'market',
  title: 'Market',
  sort: (row) => row.market,
  cell: (row) => html`<span title=${row.market}>${coin(row.market)}</span>`,
};

/** A choice of one market, or all. */
export function MarketChoice({ name, value, choose }) {
  const names = useStore((state) => state.market_names);
  return html`<${Choice}
    name=${name}
    label="Market"
    all="All markets"
    value=${value}
    choose=${choose}
    options=${names.map((each) => [each, coin(each)])}
  />`;
}

/** A choice of one word, or all. */
export function Choice({ name, label, all, value, choose, options }) {
  return html`<label>
    <span class="visually-hidden">${label}</span>
    <select
      class="input choice"
      value=${value}
      data-test=${`${name}-filter`}
      onChange=${(event) => choose(event.target.value)}
    >
      ${all && html`<option value="">${all}</option>`}
      ${options.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}
    </select>
  </label>`;
}
