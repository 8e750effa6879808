// What the account's orders have filled.

import { html, useState } from '../html.js';
import { coin, money, quantity, signed, trend } from '../format.js';
import { MARKET, MarketChoice, price_of, Side, TIME } from './history_parts.js';
import { PastTable } from './past_table.js';

const COLUMNS = [
  TIME,
  MARKET,
  { key: 'side', title: 'Side', sort: (row) => row.side, cell: (row) => html`<${Side} side=${row.side} />` },
  {
    key: 'price',
    title: 'Price',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price,
    cell: (row) => price_of(row, row.price),
  },
  { key: 'qty', title: 'Size', kind: 'decimal', right: true, sort: (row) => row.qty, cell: qty_cell },
  {
    key: 'notional',
    title: 'Value',
    kind: 'decimal',
    right: true,
    sort: (row) => row.notional,
    cell: (row) => html`<span title=${row.notional}>${money(row.notional)}</span>`,
  },
  { key: 'fee', title: 'Fee', kind: 'decimal', right: true, sort: (row) => row.fee, cell: fee_cell },
  { key: 'pnl', title: 'Realised PnL', kind: 'decimal', right: true, sort: (row) => row.pnl_realised, cell: pnl_cell },
  {
    key: 'order',
    title: 'Order',
    kind: 'number',
    right: true,
    sort: (row) => row.order_id,
    cell: (row) => row.order_id,
  },
];

/** The tab of fills. */
export function Fills() {
  const [market, choose] = useState('');
  return html`<${PastTable}
    name="fills"
    label="Fills"
    columns=${COLUMNS}
    query=${{ market }}
    empty="No fill yet. Each execution of an order of yours stands here, with its price and its fee."
  >
    <${MarketChoice} name="fills" value=${market} choose=${choose} />
  <//>`;
}

function qty_cell(row) {
  return html`${quantity(row.qty)} <span class="unit">${coin(row.market)}</span>`;
}

function fee_cell(row) {
  return html`<span title=${row.fee}>${money(row.fee, 4)}</span>
    <span class="below">${row.maker ? 'maker' : 'taker'}</span>`;
}

/** Returns a realised result with its sign. */
export function pnl_cell(row) {
  return html`<span class=${trend(row.pnl_realised)} title=${row.pnl_realised}>${signed(row.pnl_realised)}</span>`;
}
