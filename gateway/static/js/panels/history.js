// What is over: closed positions, and closed orders.

import { html, useState } from '../html.js';
import { coin, duration, money, quantity, signed, trend } from '../format.js';
import { code_words, kind_words, reason_words } from '../words.js';
import { pnl_cell } from './fills.js';
import { Choice, MARKET, MarketChoice, price_of, Side, TIME } from './history_parts.js';
import { PastTable } from './past_table.js';

const POSITIONS = [
  TIME,
  MARKET,
  { key: 'direction', title: 'Direction', sort: (row) => row.direction, cell: direction_cell },
  {
    key: 'qty',
    title: 'Size',
    kind: 'decimal',
    right: true,
    sort: (row) => row.qty,
    cell: (row) => html`${quantity(row.qty)} <span class="unit">${coin(row.market)}</span>`,
  },
  {
    key: 'entry',
    title: 'Entry',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price_entry,
    cell: (row) => price_of(row, row.price_entry),
  },
  {
    key: 'exit',
    title: 'Exit',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price_exit,
    cell: (row) => price_of(row, row.price_exit),
  },
  {
    key: 'pnl',
    title: 'PnL',
    kind: 'decimal',
    right: true,
    sort: (row) => row.pnl_realised,
    cell: pnl_cell,
    hint: 'Before fees and funding',
  },
  {
    key: 'fees',
    title: 'Fees',
    kind: 'decimal',
    right: true,
    sort: (row) => row.fees,
    cell: (row) => html`<span title=${row.fees}>${money(row.fees, 4)}</span>`,
  },
  {
    key: 'funding',
    title: 'Funding',
    kind: 'decimal',
    right: true,
    sort: (row) => row.funding,
    cell: (row) => html`<span class=${trend(row.funding)} title=${row.funding}>${signed(row.funding, 4)}</span>`,
  },
  {
    key: 'reason',
    title: 'Ended by',
    sort: (row) => row.reason,
    cell: (row) => html`<span data-test="closed-position-reason">${end_words(row.reason)}</span>`,
  },
  {
    key: 'held',
    title: 'Held',
    kind: 'number',
    right: true,
    sort: (row) => row.closed_us - row.opened_us,
    cell: (row) => duration((row.closed_us - row.opened_us) / 1000),
  },
];
const ORDERS = [
  TIME,
  MARKET,
  { key: 'side', title: 'Side', sort: (row) => row.side, cell: (row) => html`<${Side} side=${row.side} />` },
  { key: 'kind', title: 'Order', sort: (row) => row.kind, cell: order_cell },
  {
    key: 'price',
    title: 'Price',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price ?? row.price_trigger,
    cell: price_cell,
  },
  {
    key: 'qty',
    title: 'Filled / size',
    kind: 'decimal',
    right: true,
    sort: (row) => row.qty_filled,
    cell: filled_cell,
  },
  {
    key: 'average',
    title: 'Average',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price_average,
    cell: (row) => price_of(row, row.price_average),
  },
  {
    key: 'fee',
    title: 'Fee',
    kind: 'decimal',
    right: true,
    sort: (row) => row.fee,
    cell: (row) => html`<span title=${row.fee}>${money(row.fee, 4)}</span>`,
  },
  { key: 'pnl', title: 'Realised PnL', kind: 'decimal', right: true, sort: (row) => row.pnl_realised, cell: pnl_cell },
  { key: 'reason', title: 'Ended by', sort: (row) => row.reason, cell: reason_cell },
];
const KINDS = [
  ['positions', 'Closed positions'],
  ['orders', 'Closed orders'],
];

/** The tab of what is over. */
export function History() {
  const [kind, choose_kind] = useState('positions');
  const [market, choose] = useState('');
  const empty =
    kind === 'positions'
      ? 'No position was closed yet. One that ends, by you or by its TP or SL, stands here with what it brought.'
      : 'No order ended yet. Orders that filled, expired or were cancelled stand here, with the reason.';
  return html`<${PastTable}
    key=${kind}
    name=${kind}
    test=${`closed-${kind}`}
    label=${kind === 'positions' ? 'Closed positions' : 'Closed orders'}
    columns=${kind === 'positions' ? POSITIONS : ORDERS}
    query=${{ market }}
    empty=${empty}
  >
    <${Choice} name="history-kind" label="What" value=${kind} choose=${choose_kind} options=${KINDS} />
    <${MarketChoice} name="history" value=${market} choose=${choose} />
  <//>`;
}

/** Returns in words what ended a position: an order that filled is the owner's own doing. */
function end_words(reason) {
  return reason === 'filled' ? 'Closed' : reason_words(reason);
}

function direction_cell(row) {
  const [style, sign, words] = row.direction === 'long' ? ['up', '▲', 'Long'] : ['down', '▼', 'Short'];
  return html`<span class=${`side ${style}`}><span aria-hidden="true">${sign}</span> ${words}</span>
    <span class="below">${row.kind}</span>`;
}

function order_cell(row) {
  return html`${kind_words(row.kind)} ${row.tif && row.tif !== 'GTC' && html`<span class="below">${row.tif}</span>`}`;
}

function price_cell(row) {
  return html`${row.price ? price_of(row, row.price) : 'market'}
  ${row.price_trigger && html`<span class="below">trigger ${price_of(row, row.price_trigger)}</span>`}`;
}

function filled_cell(row) {
  const size = row.qty ? quantity(row.qty) : row.close_percent ? `${row.close_percent} %` : 'all';
  return html`${quantity(row.qty_filled)} / ${size} <span class="unit">${coin(row.market)}</span>`;
}

function reason_cell(row) {
  const result = row.result && row.result !== 'OK' ? code_words(row.result) : '';
  return html`<span data-test="closed-order-reason">${reason_words(row.reason)}</span>
    ${result && html`<span class="below">${result}</span>`}`;
}
