// The last five minutes of this page's looks: rates, lag and the engine's pause; bounded, gone with the page.

import { entries_between } from './shape.js';

export const LOOKS_MAX = 300;
const GAP_US = 5_000_000; // between two looks that lie further apart no rate is reckoned
const SECOND_US = 1_000_000;

/** Returns an empty memory of looks. */
export function rates_empty() {
  return { time_s: [], entries: [], lag: [], pause_ms: [], before: null };
}

/**
 * Returns the memory with one more look; a figure that is not known is null, which the lines leave out.
 * @param {object} rates
 * @param {object} facts as shape.js makes them
 * @returns {object}
 */
export function rates_with(rates, facts) {
  if (facts.time_us === null) return rates;
  const { before } = rates;
  const span_us = before === null ? 0 : facts.time_us - before.time_us;
  if (before !== null && span_us <= 0 && span_us > -GAP_US) return rates; // the same second, told by another gateway
  const broken = before !== null && (span_us < 0 || span_us > GAP_US);
  const kept = broken ? rates_added(rates, (before.time_us + SECOND_US) / SECOND_US, null, null, null) : rates;
  const engine = facts.engine_silent ? null : facts.engine;
  const entries = broken ? null : entries_a_second(before, engine);
  const lags = facts.processes.map((process) => process.lag).filter((lag) => lag !== null);
  const pause_us = engine?.snapshot_pause_us;
  return {
    ...rates_added(
      span_us < 0 ? rates_empty() : kept, // the gateway's clock was put back: a line cannot run backwards
      facts.time_us / SECOND_US,
      entries,
      lags.length ? Math.max(...lags) : null,
      Number.isFinite(pause_us) ? pause_us / 1_000 : null,
    ),
    before: { time_us: facts.time_us, engine, entries },
  };
}

// Returns how fast the log grew between two statements of the engine; of one that is told again what it was.
function entries_a_second(before, engine) {
  if (!before?.engine || !engine) return null;
  const span_us = engine.written_us - before.engine.written_us;
  if (span_us === 0) return before.entries;
  const backwards = entries_between(engine.seq, before.engine.seq) !== 0;
  return span_us < 0 || backwards ? null : (entries_between(before.engine.seq, engine.seq) * SECOND_US) / span_us;
}

function rates_added(rates, time_s, entries, lag, pause_ms) {
  const with_last = (list, value) => [...list.slice(-(LOOKS_MAX - 1)), value];
  return {
    ...rates,
    time_s: with_last(rates.time_s, time_s),
    entries: with_last(rates.entries, entries),
    lag: with_last(rates.lag, lag),
    pause_ms: with_last(rates.pause_ms, pause_ms),
  };
}

/**
 * Returns the newest and the largest known figure of a line, null without any.
 * @param {(number|null)[]} values
 * @returns {{last: number|null, most: number|null}}
 */
export function extremes(values) {
  const known = values.filter((value) => value !== null);
  return { last: values.at(-1) ?? null, most: known.length ? Math.max(...known) : null };
}
