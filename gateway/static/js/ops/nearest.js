// The accounts nearest to liquidation, the nearest first, with how far the mark may still move against them.

import { html } from '../html.js';
import { absolute, price, quantity } from '../format.js';
import { Bar, Command, Direction, Panel, Table } from './parts.js';
import { percent_of_ppm } from './shape.js';

const NEAR_PPM = 10_000; // 1 %
const WATCHED_PPM = 50_000; // 5 %
const FULL_PPM = 500_000; // a bar of full length: further away nobody looks
const HEADS = [{ text: 'Distance', kind: 'number' }, { text: 'How far' }, { text: 'Account', kind: 'number' },
  { text: 'Market' }, { text: 'Side' }, { text: 'Qty', kind: 'number' }, { text: 'Mode' }, { text: 'Mark', kind: 'number' },
  { text: 'Liquidation', kind: 'number' }, { text: 'Why' }];

/** At most twenty rows; of a cross account the distance is what it may lose, as a share of its notional. */
export function Nearest({ facts, dim }) {
  const rows = facts.nearest ?? [];
  const ticks = Object.fromEntries(facts.markets.map(({ market, tick }) => [market, tick]));
  const note = 'by distance: of an isolated position the way to its liquidation price, of a cross account its health';
  return html`
    <${Panel} name="nearest" title="Nearest to liquidation" note=${note} dim=${dim}>
      ${rows.length > 0 && html`
        <${Table} label="Nearest to liquidation" heads=${HEADS} tall>
          ${rows.map((row) => html`<${NearRow} key=${key_of(row)} ...${row} tick=${ticks[row.market]} />`)}
        <//>
      `}
      ${rows.length === 0 && html`<p class="ops-none">
        ${facts.nearest === null ? 'The leading engine has not said who is near.' : 'No open position can be liquidated.'}
      </p>`}
    <//>
  `;
}

function key_of({ account, position_id, market }) {
  return `${account}/${position_id ?? ''}/${market ?? ''}`;
}

function NearRow({ account, market, position_id, mode, qty, price_mark, price_liquidation, distance_ppm, tick }) {
  const subject = position_id ? `position:${position_id}` : `account:${account}`;
  return html`
    <tr data-test="near" data-account=${account} data-distance-ppm=${distance_ppm}>
      <th scope="row" class="number">${distance_said(distance_ppm)}</th>
      <td class="ops-bar-cell"><${Bar} share=${share_of(distance_ppm)} kind=${kind_of(distance_ppm)} /></td>
      <td class="number">${account}</td>
      <td>${market ?? 'all'}</td>
      <td>${qty ? html`<${Direction} qty=${qty} />` : '–'}</td>
      <td class="number">${qty ? quantity(absolute(qty)) : '–'}</td>
      <td>${mode ?? '–'}</td>
      <td class="number">${price(price_mark, tick)}</td>
      <td class="number">${price(price_liquidation, tick)}</td>
      <td><${Command} line=${`./scripts/tidemark why ${subject}`} about=${`the command that tells why ${subject}`} /></td>
    </tr>
  `;
}

function distance_said(distance_ppm) {
  if (!Number.isSafeInteger(distance_ppm)) return '–';
  const sign = { near: '■ ', watched: '◐ ', far: '' }[kind_of(distance_ppm)];
  return `${sign}${percent_of_ppm(distance_ppm)} %`;
}

/**
 * Returns how near a distance is, in the word that names its colour.
 * @param {number} distance_ppm
 * @returns {'near'|'watched'|'far'}
 */
export function kind_of(distance_ppm) {
  if (distance_ppm <= NEAR_PPM) return 'near';
  return distance_ppm <= WATCHED_PPM ? 'watched' : 'far';
}

/**
 * Returns the length of a distance's bar, 0 to 1; the root spreads what is near, where it matters.
 * @param {number} distance_ppm
 * @returns {number}
 */
export function share_of(distance_ppm) {
  return Math.sqrt(Math.max(0, Math.min(distance_ppm, FULL_PPM)) / FULL_PPM);
}
