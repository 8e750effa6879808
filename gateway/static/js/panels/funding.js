// What the account's positions paid or received for funding.

import { html, useState } from '../html.js';
import { rate, signed, trend } from '../format.js';
import { MARKET, MarketChoice, price_of, TIME } from './history_parts.js';
import { PastTable } from './past_table.js';

const COLUMNS = [
  TIME,
  MARKET,
  {
    key: 'position',
    title: 'Position',
    kind: 'number',
    right: true,
    sort: (row) => row.position_id,
    cell: (row) => row.position_id,
  },
  {
    key: 'rate',
    title: 'Rate',
    kind: 'decimal',
    right: true,
    sort: (row) => row.rate,
    cell: (row) => html`<span title=${row.rate}>${rate(row.rate)}</span>`,
  },
  {
    key: 'mark',
    title: 'Mark',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price_mark,
    cell: (row) => price_of(row, row.price_mark),
  },
  { key: 'amount', title: 'Amount', kind: 'decimal', right: true, sort: (row) => row.amount, cell: amount_cell },
];

/** The tab of funding payments. */
export function Funding() {
  const [market, choose] = useState('');
  return html`<${PastTable}
    name="funding"
    label="Funding payments"
    columns=${COLUMNS}
    query=${{ market }}
    empty="No funding yet. Positions that are open when it is due pay or receive it; the market bar counts down."
  >
    <${MarketChoice} name="funding" value=${market} choose=${choose} />
  <//>`;
}

function amount_cell(row) {
  const words = { up: 'received', down: 'paid', flat: '' }[trend(row.amount)];
  return html`<span class=${trend(row.amount)} title=${row.amount}>${signed(row.amount, 6)}</span>
    <span class="below">${words}</span>`;
}
