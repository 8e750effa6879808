// The account's tabs below the chart: what is open, what happened, and how the balance went.

import { html, useRef, useState } from '../html.js';
import { useKey } from '../keyboard.js';
import { lazy } from '../lazy.js';
import { useStore } from '../store.js';
import { Orders } from './orders.js';
import { positions_close_all } from './position_acts.js';
import { Positions } from './positions.js';

/** [name, words, panel, what its label counts]; what is not shown first is loaded when it is. */
const TABS = [
  ['positions', 'Positions', Positions, (state) => Object.keys(state.positions).length],
  ['orders', 'Orders', Orders, (state) => Object.keys(state.orders).length],
  ['fills', 'Fills', lazy(() => import('./fills.js'), 'Fills'), null],
  ['funding', 'Funding', lazy(() => import('./funding.js'), 'Funding'), null],
  ['history', 'History', lazy(() => import('./history.js'), 'History'), null],
  ['ledger', 'Ledger', lazy(() => import('./ledger.js'), 'Ledger'), null],
  ['equity', 'Equity', lazy(() => import('./equity.js'), 'Equity'), null],
];

/** The tabs and the one that is chosen; keys 1 to 7 choose, x closes everything. */
export function Tabs() {
  const [chosen, choose] = useState('positions');
  const acting = useStore((state) => state.acting);
  const list = useRef(null);
  useKey('x', 'Closes all positions, after one question', () => positions_close_all());
  const [, , Panel] = TABS.find(([name]) => name === chosen);

  function move(event) {
    const at = TABS.findIndex(([name]) => name === chosen);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const [name] = TABS[(to + TABS.length) % TABS.length];
    choose(name);
    list.current.querySelector(`#tab-${name}`).focus();
  }

  return html`<section class="account-tabs" aria-label="Positions, orders and history">
    <div class="tabs" role="tablist" aria-label="Account" ref=${list} onKeyDown=${move}>
      ${TABS.map(
        ([name, words, , count], index) =>
          html`<${Tab}
            key=${name}
            name=${name}
            words=${words}
            count=${count}
            digit=${String(index + 1)}
            chosen=${chosen === name}
            choose=${choose}
          />`,
      )}
    </div>
    <div
      class="tab-panel"
      role="tabpanel"
      id="tab-panel"
      aria-labelledby=${`tab-${chosen}`}
      tabindex="0"
      data-test=${`panel-${chosen}`}
    >
      <${Panel} key=${`${chosen}:${acting}`} />
    </div>
  </section>`;
}

/** One tab's label with how much there is. */
function Tab({ name, words, count, digit, chosen, choose }) {
  const number = useStore((state) => (count ? count(state) : 0));
  useKey(digit, `Tab ${words}`, () => choose(name));
  return html`<button
    type="button"
    role="tab"
    id=${`tab-${name}`}
    data-test=${`tab-${name}`}
    aria-selected=${chosen}
    aria-controls="tab-panel"
    tabindex=${chosen ? 0 : -1}
    title=${`${words} (${digit})`}
    onClick=${() => choose(name)}
  >
    ${words}${number > 0 && html` <span class="badge" data-test=${`count-${name}`}>${number}</span>`}
  </button>`;
}
