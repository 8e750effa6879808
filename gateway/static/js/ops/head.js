// The head of the operator's page: which venue, whether it takes instructions, how it grows, how old all of this is.

import { html } from '../html.js';
import { duration } from '../format.js';
import { theme_toggle } from '../theme.js';
import { keys_show, useKey } from '../keyboard.js';
import { failure_title, failure_words } from './gate.js';
import { Light } from './parts.js';

const COUNTS = [['accounts', 'accounts'], ['positions', 'positions'], ['orders', 'orders'], ['triggers', 'triggers']];

/** Shown above everything, and all there is while nothing is known. */
export function Head({ look, facts, age_ms, now_ms, again }) {
  useKey('t', 'Dark or light', theme_toggle);
  return html`
    <header class="ops-head">
      <a class="visually-hidden ops-skip" href="#ops-main">To the figures</a>
      <h1><span class="ops-brand">Tidemark</span> operator</h1>
      ${facts && html`
        <span class="mono ops-venue" title="The venue's name">${facts.venue}</span>
        <${Verdict} facts=${facts} old=${look.standing === 'failing'} />
        <${Counts} engine=${facts.engine} />
      `}
      <span class="ops-push"></span>
      <${Freshness} look=${look} age_ms=${age_ms} now_ms=${now_ms} known=${facts !== null} again=${again} />
      <nav class="ops-nav" aria-label="Elsewhere">
        <a href="/">Trade</a>
        <button type="button" class="btn btn-small" data-test="theme" onClick=${theme_toggle}>Theme</button>
        <button type="button" class="btn btn-small" onClick=${keys_show} aria-label="List of keys">?</button>
      </nav>
    </header>
  `;
}

function Verdict({ facts, old }) {
  if (old) return html`<${Light} state="unknown" word="state not known" />`;
  const stopped = facts.missing.length > 0 || !facts.ready;
  if (stopped) return html`<${Light} state="bad" word="takes no instructions" />`;
  if (facts.degraded.length) return html`<${Light} state="late" word="ready, degraded" />`;
  return html`<${Light} state="ok" word="ready" />`;
}

function Counts({ engine }) {
  if (!engine) return null;
  const known = COUNTS.filter(([name]) => Number.isSafeInteger(engine[name]));
  return html`
    <ul class="ops-counts" aria-label="How much there is">
      ${known.map(([name, word]) => html`<li key=${name}><strong>${engine[name].toLocaleString('en')}</strong> ${word}</li>`)}
    </ul>
  `;
}

function Freshness({ look, age_ms, now_ms, known, again }) {
  if (look.standing === 'told') return html`<span class="ops-fresh" data-test="connection" data-state="live">● live, each second</span>`;
  if (look.standing === 'resting') {
    return html`<span class="ops-fresh muted" data-test="connection" data-state="resting">‖ rests while hidden</span>`;
  }
  if (look.standing !== 'failing' || !known) return null;
  const wait_ms = Math.max(0, (look.next_ms ?? now_ms) - now_ms);
  return html`
    <span class="ops-fresh ops-lost" data-test="connection" data-state="lost">
      <span role="alert" title=${failure_words(look.error)}>■ ${failure_title(look.error)}</span>
      <span>Figures are ${duration(age_ms)} old; asked ${look.failures}×, again in ${duration(wait_ms)}.</span>
      <button type="button" class="btn btn-small" onClick=${again}>Ask now</button>
    </span>
  `;
}
