// Each market in a row: prices with their age and a light, whose feed it is, and what the house holds against its users.

import { html } from '../html.js';
import { absolute, duration, money, price, quantity, signed, trend } from '../format.js';
import { Direction, Figure, Light, Panel, Table } from './parts.js';

const AGE_LATE_MS = 3_000; // a quiet feed, long before the price counts as stale
const HEADS = [{ text: 'Market' }, { text: 'Price' }, { text: 'Age', kind: 'number' }, { text: 'Mark', kind: 'number' },
  { text: 'Bid', kind: 'number' }, { text: 'Ask', kind: 'number' }, { text: 'Feed' }, { text: 'Open interest', kind: 'number' },
  { text: 'House' }, { text: 'House qty', kind: 'number' }, { text: 'House notional', kind: 'number' },
  { text: 'House result', kind: 'number' }];

/** All markets; what the house holds is as old as the leading engine's figures. */
export function Markets({ facts, dim }) {
  const stale = facts.markets.filter(({ fresh }) => !fresh).length;
  const open = facts.markets.length;
  const note = stale ? `${stale} of ${open} stale: no order is taken there` : `all ${open} fresh`;
  return html`
    <${Panel} name="house" title="Markets and the house" note=${open ? note : ''} dim=${dim}>
      <${Table} label="Markets and the house" heads=${HEADS}>
        ${facts.markets.map((market) => html`
          <${MarketRow} key=${market.market} ...${market} house=${facts.house[market.market]} />
        `)}
      <//>
      ${open === 0 && html`<p class="ops-none">No market is listed.</p>`}
      <${Funds} funds=${facts.funds} />
    <//>
  `;
}

const FUNDS = [['insurance', 'Insurance fund'], ['fees', 'Fees collected'], ['house', 'House’s money']];

function Funds({ funds }) {
  const known = FUNDS.filter(([name]) => funds[name]);
  return known.length > 0 && html`
    <dl class="ops-figures ops-funds">
      ${known.map(([name, title]) => html`
        <${Figure} key=${name} name=${title} value=${money(funds[name])} title=${`${funds[name]} USDC`} />
      `)}
    </dl>
  `;
}

function MarketRow({ market, state, fresh, source, simulated, mark, bid, ask, tick, quote_age_ms, open_interest, house }) {
  const light = light_of(fresh, quote_age_ms, state);
  return html`
    <tr data-test="market" data-market=${market} data-fresh=${String(Boolean(fresh))}>
      <th scope="row">${market}</th>
      <td><${Light} ...${light} /></td>
      <td class="number">${Number.isFinite(quote_age_ms) ? duration_short(quote_age_ms) : '–'}</td>
      <td class="number">${price(mark, tick)}</td>
      <td class="number">${price(bid, tick)}</td>
      <td class="number">${price(ask, tick)}</td>
      <td>${source || '–'}${simulated && source !== 'simulated' ? html` <span class="badge">simulated</span>` : ''}</td>
      <td class="number">${open_interest ? quantity(open_interest) : '–'}</td>
      <td>${house?.qty ? html`<${Direction} qty=${house.qty} />` : '–'}</td>
      <td class="number">${house?.qty ? quantity(absolute(house.qty)) : '–'}</td>
      <td class="number">${house?.notional ? money(absolute(house.notional)) : '–'}</td>
      <td class=${`number ${trend(house?.pnl_unrealised)}`}>${signed(house?.pnl_unrealised)}</td>
    </tr>
  `;
}

function light_of(fresh, age_ms, state) {
  if (state && state !== 'open') return { state: 'bad', word: String(state).replaceAll('_', ' ') };
  if (!fresh) return { state: 'bad', word: 'stale' };
  if (!Number.isFinite(age_ms)) return { state: 'unknown', word: 'age unknown' };
  return age_ms > AGE_LATE_MS ? { state: 'late', word: 'quiet' } : { state: 'ok', word: 'fresh' };
}

/**
 * Returns an age that may be below a second: tenths of a second up to ten seconds, then as `duration` says it.
 * @param {number} age_ms
 * @returns {string}
 */
export function duration_short(age_ms) {
  return age_ms < 10_000 ? `${(Math.max(0, age_ms) / 1_000).toFixed(1)} s` : duration(age_ms);
}
