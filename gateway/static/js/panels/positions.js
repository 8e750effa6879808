// Open positions, net ones and tickets: what they are, what they are worth now, and what can be done with them.

import { html, useMemo } from '../html.js';
import { absolute, arrow, coin, money, percent, price, quantity, signed, trend } from '../format.js';
import { deferred } from '../lazy.js';
import { useStore } from '../store.js';
import { ActButton } from './act_button.js';
import { is_long, position_close, position_reverse, position_words, positions_close_all } from './position_acts.js';
import { Empty, Table } from './table.js';

const FIGURES = [
  ...['price_mark', 'notional', 'pnl_unrealised', 'pnl_percent', 'equity', 'margin_maintenance'],
  ...['price_liquidation_estimate', 'adl_rank'],
];
const RANK_WORDS = [
  '',
  'last in the queue',
  'late in the queue',
  'in the middle of the queue',
  'early in the queue',
  'first in the queue',
];

const triggers_open = deferred(() => import('./position_forms.js'), 'triggers_open');
const margin_open = deferred(() => import('./position_forms.js'), 'margin_open');

/** Returns a position with the figures of now: what it is from its events, what it is worth from the valuation. */
export function position_row(position, valued) {
  const row = { ...position, mode: position.mode ?? 'isolated' };
  for (const name of FIGURES) if (valued?.[name] !== undefined) row[name] = valued[name];
  return row;
}

/** [percent, what the button says, in words] */
const SHARES = [
  [25, '¼', 'a quarter'],
  [50, '½', 'half'],
  [100, 'All', 'all'],
];
const COLUMNS = [
  {
    key: 'market',
    title: 'Market',
    sort: (row) => row.market,
    cell: (row) => html`<${Market} row=${row} />`,
    wide: true,
  },
  {
    key: 'qty',
    title: 'Size',
    kind: 'decimal',
    right: true,
    sort: (row) => row.notional,
    cell: size_cell,
    hint: 'Sorted by value',
  },
  {
    key: 'entry',
    title: 'Entry',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price_entry,
    cell: (row) => price(row.price_entry, row.tick),
  },
  {
    key: 'mark',
    live: true,
    title: 'Mark',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price_mark,
    cell: (row) => price(row.price_mark, row.tick),
  },
  {
    key: 'pnl',
    live: true,
    title: 'Unrealised PnL',
    kind: 'decimal',
    right: true,
    sort: (row) => row.pnl_unrealised,
    cell: pnl_cell,
  },
  {
    key: 'margin',
    title: 'Margin',
    kind: 'decimal',
    right: true,
    sort: (row) => row.margin,
    cell: (row) => html`<${Margin} row=${row} />`,
  },
  {
    key: 'liquidation',
    live: true,
    title: 'Liquidation',
    kind: 'decimal',
    right: true,
    sort: liquidation_of,
    cell: liquidation_cell,
  },
  {
    key: 'adl',
    live: true,
    title: 'ADL',
    kind: 'number',
    sort: (row) => row.adl_rank,
    cell: (row) => html`<${Rank} rank=${row.adl_rank} />`,
    hint: 'Place in the queue of auto-deleveraging: who takes the other side of a liquidation that nobody else takes',
  },
  {
    key: 'funding',
    title: 'Funding',
    kind: 'decimal',
    right: true,
    sort: (row) => row.funding,
    cell: funding_cell,
    hint: 'Received (+) or paid (−) since it was opened',
  },
  { key: 'triggers', title: 'TP / SL', cell: (row) => html`<${Triggers} row=${row} />` },
  { key: 'acts', title: 'Close', cell: (row) => html`<${Acts} row=${row} />`, wide: true },
];

/** The tab of open positions. */
export function Positions() {
  const positions = useStore((state) => state.positions);
  const valuation = useStore((state) => state.valuation);
  const markets = useStore((state) => state.markets);
  const stale = useStore(markets_stale);
  const rows = useMemo(() => {
    const names = stale.split('\n');
    return Object.values(positions).map((position) => ({
      ...position_row(position, valuation?.positions[position.position_id]),
      tick: markets[position.market]?.tick,
      stale: names.includes(position.market),
    }));
  }, [positions, valuation, markets, stale]);
  if (!rows.length) {
    return html`<${Empty} name="positions">
      No open position. Choose a size in the ticket and press Buy or Sell; the position then stands here with its profit
      and loss, and can be closed.
    <//>`;
  }
  return html`<div class="tab-tools">
      <span class="dim">${rows.length === 1 ? '1 position' : `${rows.length} positions`}</span>
      <${ActButton}
        test="close-all"
        style="btn-danger btn-small"
        title="Closes every position at market (x)"
        press=${() => positions_close_all()}
      >
        Close all
      <//>
    </div>
    <${Table}
      name="positions"
      label="Open positions"
      columns=${COLUMNS}
      rows=${rows}
      id_of=${(row) => String(row.position_id)}
      row_class=${(row) => (row.stale ? 'stale' : '')}
    />`;
}

/** Returns the markets with a position whose figures nobody vouches for now, as one text: ticks draw nothing here. */
function markets_stale({ positions, tickers, connection }) {
  const names = new Set(Object.values(positions).map((position) => position.market));
  const live = connection.state === 'live';
  return [...names].filter((name) => !live || tickers[name]?.fresh === false).join('\n');
}

/** The market of a position, its direction in words and sign, and how it is margined. */
function Market({ row }) {
  const [side, sign, words] = is_long(row) ? ['up', '▲', 'Long'] : ['down', '▼', 'Short'];
  const kind = row.kind === 'ticket' ? 'Ticket' : 'Net';
  return html`<div class="position-market">
    <a href=${`#/trade/${row.market}`} class="market-link" title=${row.market}>${coin(row.market)}</a>
    <span class=${`side ${side}`} data-test="position-side"><span aria-hidden="true">${sign}</span> ${words}</span>
    <span class="dim" title=${`Position ${row.position_id}`}
      >${kind} · ${row.mode}${row.leverage ? ` · ${row.leverage}×` : ''}</span
    >
    ${row.margin_call && html`<span class="badge badge-warn" title="Liquidation is near">! margin call</span>`}
  </div>`;
}

function size_cell(row) {
  return html`<span data-test="position-qty">${quantity(absolute(row.qty))}</span>${' '}
    <span class="unit">${coin(row.market)}</span>
    <span class="below" title=${`Worth ${row.notional} USDC at the mark`}>${money(row.notional)}</span>`;
}

function pnl_cell(row) {
  return html`<span class=${trend(row.pnl_unrealised)} data-test="position-pnl" title=${row.pnl_unrealised}>
    <span aria-hidden="true">${arrow(row.pnl_unrealised)}</span> ${signed(row.pnl_unrealised)}
    ${row.pnl_percent !== undefined && html`<span class="below">${percent(row.pnl_percent)}</span>`}
  </span>`;
}

/** A position's own margin and the way to change it; a cross one has none. */
function Margin({ row }) {
  if (row.mode === 'cross') return html`<span title="Backed by the whole account">cross</span>`;
  return html`<span class="margin">
      <button
        type="button"
        class="btn btn-quiet btn-icon"
        data-test="position-margin"
        title="Add or take out margin"
        aria-label=${`Add or take out margin of ${position_words(row)}`}
        onClick=${() => margin_open(row)}
      >
        ±
      </button>
      <span title=${row.margin}>${money(row.margin)}</span>
    </span>
    <span class="below" title="Maintenance margin: at an equity of this the position is liquidated"
      >needs ${money(row.margin_maintenance)}</span
    >`;
}

/** Returns the price at which a position is liquidated; of a cross one as far as it can be told. */
function liquidation_of(row) {
  return row.price_liquidation ?? row.price_liquidation_estimate;
}

function liquidation_cell(row) {
  const at = liquidation_of(row);
  if (at === undefined) return html`<span title="No price would liquidate it">none</span>`;
  const words = row.price_liquidation === undefined ? 'If no other price moved' : 'The mark at which it is liquidated';
  return html`<span class="liquidation" title=${words}
    >${row.price_liquidation === undefined ? '≈ ' : ''}${price(at, row.tick)}</span
  >`;
}

function funding_cell(row) {
  const words = { up: 'received', down: 'paid', flat: '' }[trend(row.funding)];
  return html`<span title=${row.funding}>${signed(row.funding, 4)} <span class="below">${words}</span></span>`;
}

/** The rank in the queue of auto-deleveraging as five bars, and in words. */
function Rank({ rank }) {
  if (!rank) return html`<span title="Liquidations here go to the venue: nobody is deleveraged">–</span>`;
  const words = `${rank} of 5, ${RANK_WORDS[rank]}`;
  return html`<span class="rank" role="img" aria-label=${`ADL ${words}`} title=${words} data-test="position-adl">
    ${[1, 2, 3, 4, 5].map((bar) => html`<i key=${bar} class=${bar <= rank ? 'rank-on' : ''}></i>`)}
  </span>`;
}

/** A position's take-profit and stop-loss, and the way to change them. */
function Triggers({ row }) {
  const { take_profit, stop_loss } = row;
  const one = (trigger) => (trigger ? price(trigger.price_trigger, row.tick) : '–');
  return html`<button
    type="button"
    class="btn btn-quiet triggers"
    data-test="position-triggers"
    title=${`Change take-profit and stop-loss of ${position_words(row)}`}
    onClick=${() => triggers_open(row)}
  >
    <span class="triggers-both">
      <span>TP <b data-test="position-tp">${one(take_profit)}</b></span>
      <span>SL <b data-test="position-sl">${one(stop_loss)}</b></span>
    </span>
    <span aria-hidden="true">✎</span>
  </button>`;
}

/** What can be done with a position at once. */
function Acts({ row }) {
  const words = position_words(row);
  return html`<div class="acts">
    <span class="seg" role="group" aria-label=${`Close ${words} at market`}>
      ${SHARES.map(
        ([percent_closed, sign, share]) => html`<${ActButton}
          key=${sign}
          test=${`position-close-${percent_closed}`}
          style="btn-small"
          label=${`Close ${share} of ${words}`}
          press=${() => position_close(row, percent_closed)}
        >${sign}<//>`,
      )}
    </span>
    ${row.kind === 'net' && html`<${Reverse} row=${row} words=${words} />`}
  </div>`;
}

/** Turns a net position around. */
function Reverse({ row, words }) {
  return html`<${ActButton}
    test="position-reverse"
    style="btn-small"
    label=${`Reverse ${words}`}
    title="Closes it and opens as much the other way"
    press=${() => position_reverse(row)}
  >Reverse<//>`;
}
