// Every movement of the account's money.

import { html, useState } from '../html.js';
import { arrow, money, signed, trend } from '../format.js';
import { ledger_words } from '../words.js';
import { Choice, TIME } from './history_parts.js';
import { PastTable } from './past_table.js';

const REASONS = [
  'pnl',
  'fee',
  'funding',
  'margin',
  'transfer',
  'deposit',
  'reset',
  'credit',
  'liquidation_fee',
  'deficit',
];
const COUNTERS = { external: 'outside', house: 'the house', fees: 'fees', insurance: 'insurance fund' };
const COLUMNS = [
  TIME,
  { key: 'reason', title: 'Reason', sort: (row) => row.reason, cell: (row) => ledger_words(row.reason) },
  { key: 'counter', title: 'With', sort: (row) => row.counter, cell: (row) => counter_words(row.counter) },
  { key: 'amount', title: 'Amount', kind: 'decimal', right: true, sort: (row) => row.amount, cell: amount_cell },
  {
    key: 'free',
    title: 'Free after',
    kind: 'decimal',
    right: true,
    sort: (row) => row.free_after,
    cell: (row) => html`<span title=${row.free_after}>${money(row.free_after, 6)}</span>`,
  },
  {
    key: 'seq',
    title: 'Entry',
    kind: 'number',
    right: true,
    sort: (row) => Number(row.seq),
    cell: (row) => row.seq,
    hint: 'Number of the log entry that moved it',
  },
];

/** Returns in words with whom money was exchanged. */
export function counter_words(counter) {
  const [what, number] = String(counter).split(':');
  return number ? `${what} ${number}` : (COUNTERS[what] ?? what);
}

/** The tab of the ledger. */
export function Ledger() {
  const [reason, choose] = useState('');
  return html`<${PastTable}
    name="ledger"
    label="Ledger"
    columns=${COLUMNS}
    query=${{ reason }}
    empty="No movement of money yet. Deposits, fees, results and funding stand here, with what was free after each."
  >
    <${Choice}
      name="ledger"
      label="Reason"
      all="All reasons"
      value=${reason}
      choose=${choose}
      options=${REASONS.map((each) => [each, ledger_words(each)])}
    />
  <//>`;
}

function amount_cell(row) {
  return html`<span class=${trend(row.amount)} title=${row.amount}
    ><span aria-hidden="true">${arrow(row.amount)}</span> ${signed(row.amount, 6)}</span
  >`;
}
