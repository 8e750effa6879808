// Requests to the gateway: answers as they are, refusals as ApiError, instructions sent again under their id.

import { now_ms } from './clock.js';
import { outcome_follow } from './outcome.js';
import { store } from './store.js';
import { toast_ok, toast_refused } from './toasts.js';
import { uuidv7 } from './uuid.js';

const OF_ACCOUNT = /^\/api\/v1\/(account|trade|requests|keys)\b/;
const AGAIN_FOR_MS = 5000;
const AGAIN_PAUSE_MS = 250;
const ATTEMPT_MS = 4000;
const READ_MS = 15_000;
const CSV_ROWS_MAX = 50_000;

/** A refusal: `code`, `error`, `detail` and `retry` as in docs/api.md; `status` 0 when nobody answered. */
export class ApiError extends Error {
  constructor(body, status, retry_after_s = null) {
    super(body.error ?? body.code);
    this.code = body.code;
    this.error = body.error ?? '';
    this.detail = body.detail ?? {};
    this.retry = body.retry ?? 'later';
    this.request_id = body.request_id ?? null;
    this.status = status;
    this.retry_after_s = retry_after_s;
  }
}

/**
 * Returns the body of a read; throws ApiError.
 * @param {string} path @param {{signal?: AbortSignal}} options
 */
export async function get(path, { signal } = {}) {
  return (await attempt('GET', path_for(path), { signal, timeout_ms: READ_MS })).body;
}

/** Returns the body of a question that changes nothing though it has a body, such as a preview; throws ApiError. */
export async function ask(path, body, { signal } = {}) {
  return (await attempt('POST', path_for(path), { body, signal, timeout_ms: READ_MS })).body;
}

/**
 * Returns the body of the answer to an instruction; throws ApiError. When it is not known whether it was carried out
 * it is sent again under the same key, which is safe, for five seconds; then the code is UNKNOWN, and once it is known
 * what became of it a toast tells.
 * @param {string} method @param {string} path @param {object} [body] @param {{key?: string}} options
 */
export async function send(method, path, body, { key = uuidv7(now_ms()) } = {}) {
  const until_ms = performance.now() + AGAIN_FOR_MS;
  const account = store.get().acting;
  const where = path_for(path); // whatever account is shown meanwhile, it is sent for this one
  for (;;) {
    const sent_ms = now_ms();
    try {
      const answer = await attempt(method, where, { body, key, timeout_ms: ATTEMPT_MS });
      if (answer.status !== 202 || answer.body.status !== 'UNKNOWN') return answer.body;
    } catch (error) {
      if (!(error instanceof ApiError) || ![0, 502, 504].includes(error.status)) throw error;
    }
    if (performance.now() + AGAIN_PAUSE_MS > until_ms) {
      outcome_follow(get, { key, account, sent_ms, ended_ms: now_ms() });
      throw new ApiError({ code: 'UNKNOWN', detail: { key }, retry: 'later' }, 202);
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_PAUSE_MS));
  }
}

/**
 * Shows how an instruction went: a toast with these words, or with the refusal in words and what to do.
 * @template T
 * @param {string | ((body: T) => string)} words @param {Promise<T>} promise
 * @returns {Promise<T | null>} the body, or null after a refusal
 */
export async function act(words, promise) {
  const account = store.get().acting;
  try {
    const body = await promise;
    const title = typeof words === 'function' ? words(body) : words;
    toast_ok(account === store.get().acting ? title : `Account ${account}: ${title}`, body);
    return body;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toast_refused(error);
    return null;
  }
}

/**
 * Saves a history as a CSV file, all its pages; throws ApiError.
 * @param {string} path such as /api/v1/account/history/fills?market=… @param {string} name of the file
 */
export async function csv_save(path, name) {
  const rows = [];
  let cursor = null;
  do {
    const after = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
    const page = `${path}${path.includes('?') ? '&' : '?'}limit=5000${after}`;
    const { text, headers } = await attempt('GET', path_for(page), { accept: 'text/csv', timeout_ms: READ_MS });
    const lines = text.split('\r\n');
    rows.push(...(rows.length ? lines.slice(1) : lines).filter((line) => line));
    cursor = headers.get('Next-Cursor');
  } while (cursor && rows.length < CSV_ROWS_MAX);
  const url = URL.createObjectURL(new Blob([`${rows.join('\r\n')}\r\n`], { type: 'text/csv' }));
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return rows.length - 1;
}

/** Returns a path with the account in force, where that is not the session's own. */
export function path_for(path) {
  const { acting, session } = store.get();
  if (!acting || !session || acting === session.account_id) return path;
  if (!OF_ACCOUNT.test(path) || /[?&]account=/.test(path)) return path;
  return `${path}${path.includes('?') ? '&' : '?'}account=${acting}`;
}

/** Returns {status, body, text, headers} of one attempt; throws ApiError, with status 0 when nobody answered. */
async function attempt(method, path, { body, key, signal, accept = 'application/json', timeout_ms }) {
  const headers = { Accept: accept };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (key) headers['Idempotency-Key'] = key;
  const signals = [AbortSignal.timeout(timeout_ms), ...(signal ? [signal] : [])];
  let answer;
  let text;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any(signals),
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError({ code: 'UNREACHABLE', error: 'The gateway did not answer.', retry: 'now' }, 0);
  }
  return read(answer, text, accept);
}

/** Returns what an answer says; throws ApiError for a refusal. */
function read(answer, text, accept) {
  let body = {};
  if (accept !== 'text/csv' || !answer.ok) {
    try {
      body = JSON.parse(text);
    } catch {
      body = { code: 'UNREADABLE', error: 'The answer could not be read.', retry: 'now' };
      throw new ApiError(body, answer.ok ? 0 : answer.status);
    }
  }
  if (answer.ok) return { status: answer.status, body, text, headers: answer.headers };
  if (answer.status === 401 && body.code === 'UNAUTHENTICATED') store.set({ session: null });
  const retry_after = answer.headers.get('Retry-After');
  throw new ApiError(body, answer.status, retry_after === null ? null : Number(retry_after));
}
