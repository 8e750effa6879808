// The invariants as signs that can be read across a room: what must hold, whether it does, and since which entry.

import { html } from '../html.js';
import { money } from '../format.js';
import { entries_between, is_zero } from './shape.js';

/**
 * Returns the invariants of one look: {name, state: ok|broken|trouble|unknown, words, figure}; trouble passes by itself.
 * @param {object} facts as shape.js makes them
 * @param {boolean} old whether nobody vouches for the facts any more: what held then is not known to hold now
 * @returns {{name: string, state: string, figure: string, words: string}[]}
 */
export function invariants_of(facts, old = false) {
  const signs = [money_sign(facts), hashes_sign(facts), history_sign(facts), archive_sign(facts), fsync_sign(facts)];
  return signs.map((sign) => (old && sign.state === 'ok' ? { ...sign, state: 'unknown', words: `held when last told: ${sign.words}` } : sign));
}

function money_sign({ engine, engine_silent }) {
  const name = 'Σ money';
  const zero = is_zero(engine?.money_sum);
  if (zero === null) return { name, state: 'unknown', figure: '–', words: 'not reckoned yet by the leading engine' };
  if (!zero) {
    const words = `money came from nowhere or went nowhere, seen at entry ${engine.money_seq}; stop and keep the folder`;
    return { name, state: 'broken', figure: engine.money_sum, words };
  }
  const behind = entries_between(engine.money_seq, engine.seq);
  const since = behind ? `, ${behind.toLocaleString('en')} entries ago` : '';
  const words = `deposits less withdrawals equal all that is held: entry ${engine.money_seq}${since}`;
  return { name, state: engine_silent ? 'unknown' : 'ok', figure: '0', words: engine_silent ? `was 0; ${words}` : words };
}

function hashes_sign({ processes, degraded }) {
  const name = 'Checkpoints';
  const counts = processes.map(({ mismatches }) => mismatches).filter((count) => count !== null);
  const wrong = counts.reduce((most, count) => Math.max(most, count), 0);
  if (wrong > 0 || degraded.some(([part]) => part === 'divergence')) {
    const words = 'an engine derived another state than its checkpoint; keep the folder, then replay --verify';
    return { name, state: 'broken', figure: `${wrong} differ`, words };
  }
  if (counts.length === 0) return { name, state: 'unknown', figure: '–', words: 'no engine says how its checkpoints went' };
  const words = 'every checkpoint that was met had the hash of the own state';
  return { name, state: 'ok', figure: 'agree', words };
}

function history_sign({ processes }) {
  const name = 'History';
  const counts = processes.map(({ rejects }) => rejects).filter((count) => count !== null);
  if (counts.length === 0) return { name, state: 'unknown', figure: '–', words: 'no persister says what it took' };
  const rejected = Math.max(...counts);
  if (rejected > 0) {
    const words = 'events that Postgres did not take; the persister’s log names them';
    return { name, state: 'broken', figure: `${rejected} rejected`, words };
  }
  return { name, state: 'ok', figure: 'whole', words: 'Postgres took every event that it was told' };
}

function archive_sign({ readers, degraded }) {
  const name = 'Archive';
  const trouble = degraded.find(([part]) => part === 'archive');
  if (readers.archive_error || trouble) {
    return { name, state: 'trouble', figure: 'stopped', words: readers.archive_error || trouble[1] };
  }
  if (!readers.archive_seq) return { name, state: 'unknown', figure: '–', words: 'no archive says where it is' };
  return { name, state: 'ok', figure: 'written', words: `the log is on its disk up to entry ${readers.archive_seq}` };
}

function fsync_sign({ degraded, missing, looked }) {
  const name = 'Durability';
  if (!looked || [...missing, ...degraded].some(([part]) => part === 'redis')) {
    return { name, state: 'unknown', figure: '–', words: 'Redis was not asked' };
  }
  const trouble = degraded.find(([part]) => part === 'fsync');
  if (trouble) return { name, state: 'trouble', figure: 'at risk', words: trouble[1] };
  return { name, state: 'ok', figure: 'fsync', words: 'Redis acknowledges what is on its disk, and nothing else' };
}

/** The invariants; a broken one is announced at once. */
export function Signs({ facts, old }) {
  const signs = invariants_of(facts, old);
  const broken = signs.filter(({ state }) => state === 'broken');
  return html`
    <section class="ops-signs" aria-label="Invariants">
      ${signs.map((sign) => html`<${Sign} key=${sign.name} ...${sign} />`)}
      <p class="visually-hidden" role="alert">
        ${broken.map(({ name, figure, words }) => `${name} is broken: ${figure}. ${words}. `).join('')}
      </p>
    </section>
  `;
}

function Sign({ name, state, figure, words }) {
  const verdict = { ok: '✓ holds', broken: '✕ BROKEN', trouble: '◐ in trouble', unknown: '? not known' }[state];
  const shown = /^[+-]?\d+\.\d+$/.test(figure) ? money(figure, 6) : figure;
  return html`
    <div class="ops-sign" data-test="invariant" data-name=${name} data-state=${state}>
      <span class="ops-sign-name">${name === 'Σ money' ? `Σ money ${state === 'broken' ? '≠' : '='} 0` : name}</span>
      <strong class="ops-sign-figure">${shown}</strong>
      <span class="ops-sign-verdict">${verdict}</span>
      <span class="ops-sign-words">${words}</span>
    </div>
  `;
}
