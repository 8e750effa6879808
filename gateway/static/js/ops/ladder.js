// Where positions would be liquidated near the price: shorts above the mark, longs below it, a bar for each price step.

import { html, useState } from '../html.js';
import { price, quantity } from '../format.js';
import { Panel } from './parts.js';

const STEPS_SHOWN = 6;

/** One small ladder a market. */
export function Ladder({ facts, dim }) {
  const quoted = Object.fromEntries(facts.markets.map((market) => [market.market, market]));
  const names = Object.keys(facts.ladder).sort();
  return html`
    <${Panel} name="ladder" title="Liquidation ladder" note="quantity that would be closed by force, by price of the mark"
      dim=${dim}>
      <div class="ops-ladders">
        ${names.map((name) => html`
          <${MarketLadder} key=${name} market=${name} mark=${quoted[name]?.mark} tick=${quoted[name]?.tick}
            ...${facts.ladder[name]} />
        `)}
      </div>
      ${names.length === 0 && html`<p class="ops-none">The leading engine has not said where liquidations lie.</p>`}
    <//>
  `;
}

function MarketLadder({ market, mark, tick, step, longs = [], shorts = [] }) {
  const [all, show_all] = useState(false);
  const shown = all ? Infinity : STEPS_SHOWN;
  const hidden = Math.max(0, longs.length - STEPS_SHOWN) + Math.max(0, shorts.length - STEPS_SHOWN);
  const largest = largest_of([...longs, ...shorts]);
  const above = shorts.slice(0, shown).reverse();
  return html`
    <table class="ops-ladder" data-test="ladder-market" data-market=${market}>
      <caption>${market} ${step && html`<span class="muted">in steps of ${price(step)}</span>`}</caption>
      <thead class="visually-hidden">
        <tr><th scope="col">Mark</th><th scope="col">Quantity, as a bar</th><th scope="col">Quantity</th>
          <th scope="col">Positions</th></tr>
      </thead>
      <tbody>
        ${above.map((step) => html`<${Step} key=${`s${step[0]}`} step=${step} side="short" largest=${largest} />`)}
        <tr class="ops-ladder-mark">
          <th scope="row">${price(mark, tick)}</th>
          <td colspan="3">${longs.length + shorts.length ? 'mark' : 'mark: nobody is near'}</td>
        </tr>
        ${longs.slice(0, shown).map((step) => html`
          <${Step} key=${`l${step[0]}`} step=${step} side="long" largest=${largest} />
        `)}
      </tbody>
      ${hidden > 0 && html`
        <tfoot><tr><td colspan="4">
          <button type="button" class="btn btn-small" aria-expanded=${String(all)} onClick=${() => show_all(!all)}>
            ${all ? 'Fewer steps' : `${hidden} more steps`}
          </button>
        </td></tr></tfoot>
      `}
    </table>
  `;
}

function Step({ step: [at, qty, count], side, largest }) {
  const share = largest > 0 ? Number(qty) / largest : 0; // the length of a bar, nothing else
  const sign = side === 'short' ? '▼' : '▲';
  return html`
    <tr data-test="step" data-side=${side} data-price=${at}>
      <th scope="row">${price(at)}</th>
      <td>
        <svg class=${`ops-step ${side}`} viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">
          <rect x="0" y="1" width=${Math.max(1, Math.min(100, share * 100))} height="8" />
        </svg>
      </td>
      <td class="number"><span class=${side === 'short' ? 'down' : 'up'} title=${`${side} positions`}>${sign}</span> ${quantity(qty)}</td>
      <td class="number" title="positions at this price">${count}×</td>
    </tr>
  `;
}

/**
 * Returns the largest quantity among steps, for the scale of their bars.
 * @param {[string, string, number][]} steps
 * @returns {number}
 */
export function largest_of(steps) {
  return steps.reduce((most, [, qty]) => Math.max(most, Number(qty) || 0), 0);
}
