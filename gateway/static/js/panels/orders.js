// Live orders: resting, waiting for a trigger, waiting for their entry, delayed; changed in place, cancelled.

import { html, useState } from '../html.js';
import { act, send } from '../api.js';
import { confirm_dialog } from '../dialog.js';
import { absolute, coin, price, quantity, time, time_full } from '../format.js';
import { store, useStore } from '../store.js';
import { toast } from '../toasts.js';
import { kind_words, status_words } from '../words.js';
import { ActButton } from './act_button.js';
import { MarketChoice, Side } from './history_parts.js';
import { Amend, amendable } from './order_amend.js';
import { Empty, Table } from './table.js';

const TRADE = '/api/v1/trade';

/** Returns an order in words: "buy 2 SOL". */
export function order_words(order) {
  const qty = order.qty ? `${quantity(order.qty)} ` : order.close_percent ? `${order.close_percent} % of ` : '';
  return `${order.side} ${qty}${coin(order.market)}`;
}

/** Cancels one order. */
export function order_cancel(order) {
  return act(`Cancelled ${order_words(order)}`, send('DELETE', `${TRADE}/order/${order.order_id}`));
}

/** Cancels all orders of the account in force, or those of one market, after a question. */
export async function orders_cancel(market) {
  const all = Object.values(store.get().orders).filter((order) => !market || order.market === market);
  if (!all.length) {
    toast({ kind: 'info', title: 'Nothing to cancel', key: 'cancel-all' });
    return null;
  }
  const where = market ? ` in ${coin(market)}` : '';
  const agreed = await confirm_dialog({
    title: `Cancel ${all.length === 1 ? 'the one order' : `all ${all.length} orders`}${where}?`,
    text: 'Take-profits and stop-losses of open positions are among them.',
    yes: 'Cancel orders',
    no: 'Keep them',
    danger: true,
  });
  if (!agreed) return null;
  const query = market ? `?market=${encodeURIComponent(market)}` : '';
  return act(`Cancelled the orders${where}`, send('DELETE', `${TRADE}/orders${query}`));
}

/** The tab of live orders. */
export function Orders() {
  const orders = useStore((state) => state.orders);
  const markets = useStore((state) => state.markets);
  const [market, put_market] = useState('');
  const [edited, put_edited] = useState(0);
  const all = Object.values(orders);
  const rows = all
    .filter((order) => !market || order.market === market)
    .map((order) => ({
      ...order,
      tick: markets[order.market]?.tick,
      edited: order.order_id === edited,
      edit: put_edited,
    }))
    .sort((one, other) => other.placed_us - one.placed_us || other.order_id - one.order_id);
  return html`<div class="tab-tools">
      <${MarketChoice} name="orders" value=${market} choose=${put_market} />
      <${ActButton}
        test="cancel-all"
        style="btn-danger btn-small"
        disabled=${!rows.length}
        press=${() => orders_cancel(market)}
      >
        Cancel all${market ? ` in ${coin(market)}` : ''}
      <//>
    </div>
    ${
      rows.length
        ? html`<${Table}
            name="orders"
            label="Live orders"
            columns=${COLUMNS}
            rows=${rows}
            id_of=${(row) => String(row.order_id)}
          />`
        : html`<${Empty} name="orders">
            ${
              all.length
                ? 'No order in this market.'
                : 'No order waits. Limit orders and stops stand here until they fill or are cancelled.'
            }
          <//>`
    }`;
}

const COLUMNS = [
  {
    key: 'time',
    title: 'Placed',
    kind: 'number',
    sort: (row) => row.placed_us,
    cell: (row) => html`<time title=${time_full(row.placed_us)}>${time(row.placed_us)}</time>`,
  },
  {
    key: 'market',
    title: 'Market',
    sort: (row) => row.market,
    cell: (row) =>
      html`<a href=${`#/trade/${row.market}`} class="market-link" title=${row.market}>${coin(row.market)}</a>`,
  },
  { key: 'side', title: 'Side', sort: (row) => row.side, cell: (row) => html`<${Side} side=${row.side} />` },
  { key: 'kind', title: 'Order', sort: (row) => row.kind, cell: kind_cell, wide: true },
  {
    key: 'price',
    title: 'Price',
    kind: 'decimal',
    right: true,
    sort: (row) => row.price_trigger ?? row.price,
    cell: price_cell,
    wide: true,
  },
  { key: 'qty', title: 'Filled / size', kind: 'decimal', right: true, sort: (row) => row.qty, cell: qty_cell },
  {
    key: 'status',
    title: 'Status',
    sort: (row) => row.status,
    cell: (row) => html`<span data-test="order-status">${status_words(row.status)}</span>`,
  },
  { key: 'acts', title: '', cell: (row) => html`<${Acts} row=${row} />`, wide: true },
];

function kind_cell(row) {
  const marks = [
    row.tif && row.tif !== 'GTC' && row.tif,
    row.expires_ms && `until ${time(row.expires_ms * 1000)}`,
    row.post_only && 'post-only',
    row.reduce_only && 'reduce-only',
    row.oco_order_id && 'OCO',
    row.position_id && row.kind !== 'limit' && `of position ${row.position_id}`,
  ].filter(Boolean);
  return html`<span>${kind_words(row.kind)}</span>
    ${marks.length > 0 && html`<span class="below">${marks.join(' · ')}</span>`}`;
}

function price_cell(row) {
  if (row.edited) return html`<${Amend} key=${row.order_id} order=${row} done=${() => row.edit(0)} />`;
  const limit = row.price ? price(row.price, row.tick) : 'market';
  const trail = row.trail_ticks ? `${row.trail_ticks} ticks` : row.trail_ppm ? `${row.trail_ppm / 10_000} %` : '';
  const below = [
    row.price_trigger && `trigger (${row.trigger_by}), then ${limit}`,
    trail && `trails by ${trail}${row.price_peak ? ` from ${price(row.price_peak, row.tick)}` : ''}`,
  ].filter(Boolean);
  return html`<span data-test="order-price">${row.price_trigger ? price(row.price_trigger, row.tick) : limit}</span>
    ${below.map((words) => html`<span key=${words} class="below">${words}</span>`)}`;
}

function qty_cell(row) {
  const size = row.qty ? quantity(absolute(row.qty)) : row.close_percent ? `${row.close_percent} %` : 'all';
  return html`<span data-test="order-qty">${quantity(row.qty_filled)} / ${size}</span>${' '}
    <span class="unit">${row.qty ? coin(row.market) : ''}</span>`;
}

/** What can be done with an order. */
function Acts({ row }) {
  const words = order_words(row);
  const fixed = row.edited || !amendable(row).length;
  return html`<div class="acts">
    <button
      type="button"
      class="btn btn-small"
      data-test="order-edit"
      aria-label=${`Change ${words}`}
      disabled=${fixed}
      title=${amendable(row).length ? 'Change it in place' : 'It cannot be changed: cancel it and place another'}
      onClick=${() => row.edit(row.order_id)}
    >
      Change
    </button>
    <${ActButton} test="order-cancel" style="btn-small" label=${`Cancel ${words}`} press=${() => order_cancel(row)}
      >Cancel<//>
  </div>`;
}
