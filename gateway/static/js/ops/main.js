// The operator's page: asks the gateway each second how the venue is, and shows it; the figures grey when it does not say.

import { html, render, useEffect, useRef, useState } from '../html.js';
import * as api from '../api.js';
import { Dialogs } from '../dialog.js';
import { keyboard_start, useKey } from '../keyboard.js';
import { theme_start } from '../theme.js';
import { Events } from './events.js';
import { Gate } from './gate.js';
import { Head } from './head.js';
import { Ladder } from './ladder.js';
import { Lines } from './lines.js';
import { Markets } from './markets.js';
import { Nearest } from './nearest.js';
import { poll, world_of_page } from './polling.js';
import { Processes, Readers } from './processes.js';
import { rates_empty, rates_with } from './rates.js';
import { facts_of } from './shape.js';
import { Signs } from './signs.js';
import { Troubles } from './troubles.js';

const OPS = '/api/v1/ops';
const OLD_MS = 3_000; // an answer that is older than this is shown greyed

/**
 * Returns the page's state after one look: the facts last told are kept, so that they can be shown greyed.
 * @param {object} before
 * @param {object} look as polling.js tells it
 * @returns {object}
 */
export function seen(before, look) {
  if (look.standing === 'signed_out' || look.standing === 'role_missing') return { look, facts: null, rates: rates_empty() };
  if (look.standing !== 'told') return { ...before, look };
  const facts = facts_of(look.body);
  return { look, facts, told_ms: look.asked_ms, rates: rates_with(before.rates, facts) };
}

function Ops() {
  const [state, set_state] = useState({ look: { standing: 'asking', failures: 0 }, facts: null, rates: rates_empty() });
  const polled = useRef(null);
  const world = useRef(world_of_page());
  const [now_ms, set_now] = useState(() => world.current.monotonic_ms());
  const again = () => polled.current?.now();
  useEffect(() => {
    const ask = (signal) => api.get(OPS, { signal });
    polled.current = poll(ask, (look) => set_state((before) => seen(before, look)), world.current);
    return () => polled.current.stop();
  }, []);
  const failing = state.look.standing === 'failing';
  useEffect(() => {
    if (!failing) return undefined;
    const timer = setInterval(() => set_now(world.current.monotonic_ms()), 500);
    return () => clearInterval(timer);
  }, [failing]);
  useKey('r', 'Ask the gateway now', again);
  const { facts, look } = state;
  const age_ms = failing && facts ? Math.max(0, now_ms - state.told_ms) : 0;
  return html`
    <div class="ops" data-screen="ops" data-standing=${look.standing}>
      <${Head} look=${look} facts=${facts} age_ms=${age_ms} now_ms=${now_ms} again=${again} />
      <main id="ops-main" tabindex="-1">
        ${facts ? html`<${Figures} facts=${facts} rates=${state.rates} dim=${age_ms > OLD_MS} />`
          : html`<${Gate} look=${look} again=${again} />`}
      </main>
      <${Dialogs} />
    </div>
  `;
}

function Figures({ facts, rates, dim }) {
  const engine_dim = dim || facts.engine_silent;
  return html`
    <div class="ops-figures-all" aria-busy=${String(dim)}>
      <${Troubles} facts=${facts} old=${dim} />
      <${Signs} facts=${facts} old=${dim} />
      ${facts.engine_silent && html`<${EngineSilent} age_ms=${facts.engine_age_ms} />`}
      <div class="ops-grid">
        <${Processes} facts=${facts} dim=${dim} />
        <${Readers} facts=${facts} dim=${dim} />
        <${Lines} rates=${rates} dim=${dim} />
        <${Markets} facts=${facts} dim=${dim} />
        <${Nearest} facts=${facts} dim=${engine_dim} />
        <${Ladder} facts=${facts} dim=${engine_dim} />
        <${Events} facts=${facts} dim=${dim} />
      </div>
    </div>
  `;
}

function EngineSilent({ age_ms }) {
  const since = age_ms === null ? 'is not heard' : `said nothing for ${Math.round(age_ms / 1_000)} s`;
  const are = age_ms === null ? 'not known' : 'as old';
  return html`<p class="ops-warning" role="status">
    ◐ The leading engine ${since}: invariants, accounts near liquidation, ladder and house are ${are}.
  </p>`;
}

theme_start();
keyboard_start();
render(html`<${Ops} />`, document.getElementById('app'));
