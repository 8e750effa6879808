// When the calculator is asked: after a pause in typing, again while prices move, never more often than it can bear.

export const PAUSE_MS = 150; // after the last change of a field
export const SPACING_MS = 250; // between two questions
export const AGAIN_MS = 2000; // while prices move

const TIMERS = {
  now: () => performance.now(),
  later: (act, ms) => setTimeout(act, ms),
  cancel: (timer) => clearTimeout(timer),
};

/**
 * Returns what asks for one ticket. `tell` gets {key, answer, error, waiting, at_ms} whenever that changes:
 * `key` names the question that answer and error belong to.
 * @param {{ask: (question: object, signal: AbortSignal) => Promise<object>, tell: (shown: object) => void,
 *   timers?: typeof TIMERS}} parts
 */
export function asking_new({ ask, tell, timers = TIMERS }) {
  let wanted = null; // {key, question}
  let shown = { key: '', answer: null, error: null, waiting: false, at_ms: 0 };
  let moved = false;
  let timer = null;
  let flight = null; // AbortController
  let asked_ms = -Infinity;

  function put(patch) {
    shown = { ...shown, ...patch };
    tell(shown);
  }

  function plan(at_ms) {
    timers.cancel(timer);
    timer = timers.later(run, Math.max(at_ms, asked_ms + SPACING_MS) - timers.now());
  }

  async function run() {
    const { key, question } = wanted;
    const mine = new AbortController();
    flight = mine;
    moved = false;
    asked_ms = timers.now();
    const result = await ask(question, mine.signal).then(
      (answer) => ({ answer, error: null }),
      (error) => ({ answer: null, error }),
    );
    if (flight !== mine) return;
    flight = null;
    put({ key, ...result, waiting: false, at_ms: timers.now() });
    if (moved) plan(asked_ms + AGAIN_MS);
  }

  function halt() {
    timers.cancel(timer);
    flight?.abort();
    flight = null;
  }

  return {
    /**
     * Asks another question, or none; the one before is given up. `beside` names what the answer depends on that the
     * question does not say, such as the account and its leverage.
     */
    want(question, beside = '') {
      const key = question ? JSON.stringify(question) : '';
      if (key === (wanted?.key ?? '') && (beside === wanted?.beside || !question)) return;
      const other = beside !== wanted?.beside;
      halt();
      moved = false;
      wanted = question ? { key, question, beside } : null;
      if (!wanted) return put({ key: '', answer: null, error: null, waiting: false });
      put({ waiting: true, ...(other && { key: '' }) });
      plan(timers.now() + PAUSE_MS);
    },

    /** Asks the same again soon, because prices have moved. */
    stir() {
      if (!wanted || moved) return;
      moved = true;
      if (!flight && !shown.waiting) plan(asked_ms + AGAIN_MS);
    },

    /** Ends it. */
    stop() {
      halt();
      wanted = null;
    },
  };
}
