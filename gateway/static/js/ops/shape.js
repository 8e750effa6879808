// What GET /api/v1/ops answers, as the operator's page wants it; the only file that knows the body's names.

const ENGINE_SILENT_MS = 5_000; // the leading engine writes its figures every second

/**
 * Returns the facts of one answer: lists where lists belong, null for what the venue did not state.
 * @param {object} body
 * @returns {object}
 */
export function facts_of(body) {
  const processes = (body.processes ?? []).map(process_of);
  const engine = body.engine ?? null;
  const age_ms = engine === null ? null : engine.age_ms ?? age_of(body.time_us, engine.written_us);
  return {
    venue: body.venue ?? '',
    time_us: whole(body.time_us),
    tip_seq: body.tip_seq ?? null,
    ready: body.status === 'ready',
    missing: Object.entries(body.missing ?? {}),
    degraded: Object.entries(body.degraded ?? {}).filter(([part]) => !Object.hasOwn(body.missing ?? {}, part)),
    looked: body.degraded !== undefined && body.degraded.look === undefined, // whether the gateway has looked at anything
    engines_wanted: whole(body.engines_wanted),
    processes,
    readers: body.readers ?? {},
    markets: body.markets ?? [],
    engine,
    engine_age_ms: age_ms,
    engine_silent: age_ms === null || age_ms > ENGINE_SILENT_MS,
    nearest: engine === null ? null : body.nearest ?? null, // an empty list of an engine that said nothing means nothing
    ladder: body.ladder ?? {},
    house: body.house ?? {},
    funds: { ...body.funds, ...(body.insurance ? { insurance: body.insurance.balance } : {}) },
    events: body.events ?? [],
  };
}

/**
 * Returns one process as its row shows it; `mismatches` and `rejects` are null where a process counts none.
 * @param {object} beat
 * @returns {object}
 */
export function process_of(beat) {
  return {
    name: beat.name ?? beat.role ?? '',
    role: beat.role ?? '',
    who: beat.who ?? '',
    pid: beat.pid ?? null,
    since_us: whole(beat.since_us),
    seq: beat.seq ?? null,
    lag: whole(beat.lag),
    rules: beat.rules ?? null,
    build: beat.build ?? '',
    state: beat.status ?? '',
    mismatches: whole(beat.checkpoint_mismatches),
    rejects: whole(beat.history_rejects),
    promotions: whole(beat.promotions),
  };
}

/**
 * Returns how many entries one place lies behind another, null where either is unknown; never less than 0.
 * @param {string|number|null} place
 * @param {string|number|null} end
 * @returns {number|null}
 */
export function entries_between(place, end) {
  if (!/^\d+$/.test(String(place)) || !/^\d+$/.test(String(end))) return null;
  const between = BigInt(end) - BigInt(place);
  return between > 0n ? Number(between) : 0;
}

/**
 * Returns the seq of a place such as `41220-0`, null for none.
 * @param {string|null|undefined} place
 * @returns {string|null}
 */
export function seq_of(place) {
  const found = /^(\d+)(?:-\d+)*$/.exec(String(place ?? ''));
  return found ? found[1] : null;
}

/**
 * Returns whether a decimal text is zero, whatever its decimals; null for what is no decimal.
 * @param {string|null|undefined} text
 * @returns {boolean|null}
 */
export function is_zero(text) {
  if (!/^[+-]?\d+(\.\d+)?$/.test(String(text ?? ''))) return null;
  return !/[1-9]/.test(text);
}

/**
 * Returns the share that ppm are, as text with as many decimals as are there: 12345 is `1.2345`.
 * @param {number|string} ppm
 * @returns {string}
 */
export function percent_of_ppm(ppm) {
  const value = BigInt(ppm);
  const size = value < 0n ? -value : value;
  const decimals = String(size % 10_000n).padStart(4, '0').slice(0, 2);
  return `${value < 0n ? '−' : ''}${size / 10_000n}.${decimals}`;
}

function whole(value) {
  return Number.isSafeInteger(value) ? value : null;
}

function age_of(now_us, then_us) {
  return whole(now_us) === null || whole(then_us) === null ? null : Math.max(0, Math.round((now_us - then_us) / 1_000));
}
