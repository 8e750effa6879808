// Who is signed in, and which accounts are theirs: read from the gateway, kept in the store, ended here.

import { ApiError, get, send } from './api.js';
import { act_for, connection_signed_out, stop } from './stream.js';
import { store } from './store.js';

const NEWS = 'tidemark.session';
const ACTING = 'tidemark.acting';
const channel = 'BroadcastChannel' in window ? new BroadcastChannel(NEWS) : null;

/**
 * Reads who is signed in into the store; throws ApiError unless that is known.
 * @returns {Promise<boolean>} whether somebody is
 */
export async function session_read() {
  try {
    const [account, expires_us] = await Promise.all([own_account(), expiry()]);
    const account_id = account.account_id;
    const accounts = accounts_of(account);
    const chosen = store.get().acting ?? acting_kept();
    const acting = accounts.some((each) => each.account_id === chosen) ? chosen : account_id;
    store.set({ session: { account_id, expires_us, role: account.role }, acting, accounts, farewell: null });
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return false;
    throw error;
  }
}

/** Acts for another account of the session, in this tab after a reload too. */
export function acting_choose(account_id) {
  act_for(account_id);
  try {
    sessionStorage.setItem(ACTING, String(account_id));
  } catch {
    // Without storage a reload begins with the session's own account.
  }
}

/** Returns which account this tab acted for before it was loaded anew, null when that is not known. */
function acting_kept() {
  try {
    return Number(sessionStorage.getItem(ACTING)) || null;
  } catch {
    return null;
  }
}

/** Reads the session's accounts anew: after one was opened. */
export async function accounts_read() {
  store.set({ accounts: accounts_of(await own_account()) });
}

/** Signs out here; the page then shows the sign-in screen. Throws ApiError when that could not be written. */
export async function sign_out() {
  await send('DELETE', '/api/v1/auth/logout');
  session_end();
}

/** Forgets the session and everything that it showed; `farewell` says why, where they did not want it. */
export function session_end(farewell = '') {
  stop();
  connection_signed_out();
  store.get().dialog?.done(false);
  store.set({ session: null, acting: null, accounts: [], dialog: null, farewell });
  channel?.postMessage('out');
}

/** Tells the other tabs of this browser that somebody signed in. */
export function session_tell() {
  channel?.postMessage('in');
}

/** Calls back when another tab of this browser signed in or out; returns what ends that. */
export function session_heard(heard) {
  const listen = (event) => heard(event.data);
  channel?.addEventListener('message', listen);
  return () => channel?.removeEventListener('message', listen);
}

/** Returns when the session runs out; 0 while that cannot be read, which keeps nobody from trading. */
async function expiry() {
  try {
    return (await get('/api/v1/auth/sessions')).items.find((each) => each.current)?.expires_us ?? 0;
  } catch (error) {
    if (error.status === 401) throw error;
    return 0;
  }
}

/** Returns the body of the session's own account, whichever account is in force. */
function own_account() {
  const { session } = store.get();
  return get(session ? `/api/v1/account?account=${session.account_id}` : '/api/v1/account');
}

/** Returns the main account and its sub-accounts. */
function accounts_of({ account_id, subaccounts }) {
  return [{ account_id, sub: 0 }, ...(subaccounts ?? [])];
}
