// Asks for the operator's facts once a second: backs off when that fails, rests while the page is hidden.

export const EVERY_MS = 1_000;
export const PATIENCE_MS = 5_000; // an answer that takes longer counts as none
export const WAIT_MAX_MS = 15_000;
export const ROLE_WAIT_MS = 5_000; // the gateway looks at roles as often

/**
 * Returns how long to wait before the next question after so many failures in a row.
 * @param {number} failures
 * @param {number} chance 0 to 1, so that many pages do not ask at once
 * @returns {number} milliseconds
 */
export function wait_ms(failures, chance) {
  if (failures === 0) return EVERY_MS;
  const longest = Math.min(WAIT_MAX_MS, EVERY_MS * 2 ** Math.min(failures - 1, 10));
  return Math.round(longest * (0.75 + 0.25 * chance));
}

/**
 * Returns which screen an error asks for: `signed_out`, `role_missing`, or `failing` for what may pass by itself.
 * @param {{status?: number, code?: string}} error
 * @returns {'signed_out'|'role_missing'|'failing'}
 */
export function standing_of(error) {
  if (error?.status === 401) return 'signed_out';
  if (error?.code === 'ROLE_MISSING') return 'role_missing';
  return 'failing';
}

/**
 * Starts asking and returns the means to stop it, or to ask at once.
 *
 * `told` is called with {standing, body?, error?, failures, asked_ms, next_ms} after every answer and every change.
 * `world` holds what is outside: {monotonic_ms, chance, hidden, after, cancel, on_shown}, so that a test brings its own.
 * @param {(signal: AbortSignal) => Promise<object>} ask
 * @param {(look: object) => void} told
 * @param {object} world
 * @returns {{now: () => void, stop: () => void}}
 */
export function poll(ask, told, world) {
  let failures = 0;
  let timer = null;
  let under_way = null; // the controller of the question that was asked last
  let ended = false;

  function later(delay_ms) {
    world.cancel(timer);
    timer = world.after(delay_ms, once);
    return world.monotonic_ms() + delay_ms;
  }

  async function once() {
    if (ended || under_way !== null) return;
    if (world.hidden()) {
      told({ standing: 'resting', failures });
      return;
    }
    const question = new AbortController();
    under_way = question;
    const too_late = world.after(PATIENCE_MS, () => question.abort());
    const asked_ms = world.monotonic_ms();
    let found;
    try {
      const body = await ask(question.signal);
      failures = 0;
      found = { standing: 'told', body };
    } catch (error) {
      failures += 1;
      found = { standing: standing_of(error), error };
    }
    world.cancel(too_late);
    if (under_way !== question) return; // the page was hidden meanwhile: nobody waits for this answer
    under_way = null;
    if (ended) return;
    const took_ms = world.monotonic_ms() - asked_ms;
    const asked_to_ms = (found.error?.retry_after_s ?? 0) * 1_000;
    const role_ms = found.standing === 'role_missing' ? ROLE_WAIT_MS : 0;
    const delay_ms = Math.max(asked_to_ms, role_ms || wait_ms(failures, world.chance()));
    const next_ms = later(found.standing === 'told' ? Math.max(0, delay_ms - took_ms) : delay_ms);
    told({ ...found, failures, asked_ms, next_ms });
  }

  function rest() {
    world.cancel(timer);
    under_way?.abort();
    under_way = null;
  }

  function seen() {
    if (!world.hidden()) return now();
    rest();
    return told({ standing: 'resting', failures });
  }

  function now() {
    world.cancel(timer);
    once();
  }

  const forget_shown = world.on_shown(seen);
  once();
  return {
    now,
    stop() {
      ended = true;
      forget_shown();
      rest();
    },
  };
}

/**
 * Returns the world of a page in a browser.
 * @returns {object}
 */
export function world_of_page() {
  return {
    monotonic_ms: () => performance.now(),
    chance: () => Math.random(),
    hidden: () => document.visibilityState === 'hidden',
    after: (delay_ms, action) => setTimeout(action, delay_ms),
    cancel: (timer) => clearTimeout(timer),
    on_shown(action) {
      const events = [[document, 'visibilitychange'], [window, 'online'], [window, 'pageshow']];
      for (const [target, name] of events) target.addEventListener(name, action);
      return () => events.forEach(([target, name]) => target.removeEventListener(name, action));
    },
  };
}
