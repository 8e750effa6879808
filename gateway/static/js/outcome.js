// What became of an instruction whose answer never came: asked again and again until the venue knows, then told.

import { now_ms } from './clock.js';
import { time } from './format.js';
import { toast, toast_refused, unknown_key } from './toasts.js';

const EACH_MS = 2000;
const FOR_MS = 150_000; // the venue's memory of requests, and some more
const CERTAIN_MS = 7000; // so long after the last sending "not accepted" holds for that one too
const ENDED = new Set([400, 401, 403, 404, 410]);

/**
 * Tells in a toast what became of an instruction, once that is known.
 * @param {(path: string) => Promise<any>} get
 * @param {{key: string, account: number|null, sent_ms: number, ended_ms: number}} sending the id, and when it was sent
 *   last, in the venue's time
 */
export async function outcome_follow(get, { key, account, sent_ms, ended_ms }) {
  const whose = account ? `&account=${account}` : '';
  const path = `/api/v1/requests/${key}?ts=${Math.floor(sent_ms) * 1000}${whose}`;
  const until_ms = performance.now() + FOR_MS;
  let status = '';
  let body = {};
  while (performance.now() < until_ms) {
    await new Promise((resolve) => setTimeout(resolve, EACH_MS));
    try {
      body = await get(path);
      ({ status } = body);
    } catch (error) {
      if (ENDED.has(error.status)) break;
      continue;
    }
    const certain = status !== 'NOT_ACCEPTED' || now_ms() > ended_ms + CERTAIN_MS;
    if (status !== 'UNKNOWN' && certain) break;
    status = '';
  }
  outcome_tell(status, body, unknown_key(key), time(sent_ms * 1000));
}

/** Shows what became of it, in the place of the toast that said that nobody knew. */
function outcome_tell(status, body, key, at) {
  const text = `The instruction of ${at}.`;
  if (status === 'ACCEPTED') {
    toast({ kind: 'ok', title: 'It was carried out after all', text, key });
  } else if (status === 'REFUSED') {
    toast_refused({ code: body.result, detail: { 'sent at': at } }, key);
  } else if (status === 'NOT_ACCEPTED') {
    const more = `${text} Send it again if you still want it.`;
    toast({ kind: 'info', title: 'It was not carried out, and never will be', text: more, key, sticky: true });
  } else {
    const more = `${text} Look at orders, positions and history.`;
    toast({ kind: 'warn', title: 'Nobody can say any more whether it was done', text: more, key, sticky: true });
  }
}
