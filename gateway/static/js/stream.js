// What the venue tells, taken into the store: each event exactly once and in order, whatever becomes of the socket.

import { get } from './api.js';
import { clock_learn } from './clock.js';
import { is_after, later } from './places.js';
import {
  markets_after,
  markets_of,
  row_of,
  seq_of,
  standing_after,
  standing_new,
  standing_of_snapshot,
} from './reducers.js';
import { LastingSocket } from './socket.js';
import { store } from './store.js';

const PRIVATE = ['account', 'orders', 'positions', 'fills', 'funding', 'ledger'];
const OF_MARKET = ['candles', 'trades', 'depth'];
const RECENT_MAX = 100;
const TRADES_MAX = 50;
const AGAIN_MS = 1000;
const KINDS = [
  ...['fill', 'closed_order', 'closed_position', 'order_changed', 'position_changed', 'ledger', 'funding', 'adl'],
  ...['margin_call', 'liquidation', 'trigger_fired', 'deficit', 'account_changed', 'account_market_changed'],
  ...['account_guards_changed', 'account_opened', 'market_changed', 'trade', 'candle'],
];
const OTHERS = ['event', 'snapshot', 'gap', 'live', 'market_live', 'message'];

const listeners = Object.fromEntries([...KINDS, ...OTHERS].map((name) => [name, new Set()]));

/**
 * on.fill(fn) and so on: fn(row, message) hears of each event once, in order, after it was taken into the store; it
 * returns what ends that. `event` hears of all private ones, `snapshot` that the account was told anew, `live` that
 * nothing is owed any more, `market_live` the same of the selected market, `gap` ({scope: 'private'|'venue'|'market',
 * reason}) that something cannot be told: read the histories again. `message` hears of every message as it came.
 * @type {Record<string, (fn: (row: any, message?: any) => void) => () => void>}
 */
export const on = Object.fromEntries(
  Object.entries(listeners).map(([name, heard]) => [
    name,
    (listener) => {
      heard.add(listener);
      return () => heard.delete(listener);
    },
  ]),
);

/** Tells listeners; one that fails stops neither the others nor the stream. */
function tell(name, row, message) {
  for (const listener of [...(listeners[name] ?? [])]) {
    try {
      listener(row, message);
    } catch (error) {
      reportError(error);
    }
  }
}

// A subscription: `at` is the place that it has come to, `begun`: what comes is its own, `live`: nothing is owed.
const subscriptions = {
  private: { account: true, channels: () => PRIVATE, keeps: true },
  valuation: { account: true, channels: () => ['valuation'], keeps: false },
  venue: { channels: () => ['markets', ...store.get().market_names.map((name) => `ticker.${name}`)], keeps: false },
  market: {
    channels: () => OF_MARKET.filter(() => store.get().market).map((topic) => `${topic}.${store.get().market}`),
    keeps: true,
  },
};
for (const [name, subscription] of Object.entries(subscriptions)) {
  Object.assign(subscription, { name, at: '', begun: false, live: false, gap: '', id: '', followed: [], timer: 0 });
}
let standing = standing_new();
let number = 0;
let socket = null;

/** Connects and follows everything from now on; the store has session, acting, markets and market. */
export function start() {
  if (socket) return;
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  socket = new LastingSocket(`${scheme}://${location.host}/ws`, { opened, message: take, lost, refused, ended });
  connection_set('connecting');
  socket.start();
}

/** Disconnects, and forgets what was told of the account. */
export function stop() {
  socket?.stop();
  socket = null;
  standing = standing_new();
  store.set({ ...standing, valuation: null, fills_recent: [] });
  for (const subscription of Object.values(subscriptions)) forget(subscription);
}

/** Shows another market. */
export function select_market(name) {
  if (name === store.get().market) return;
  unfollow(subscriptions.market);
  store.set({ market: name, depth: null, trades: [], candle_live: null });
  follow(subscriptions.market);
}

/** Acts for another account of the session from now on: the store then holds that account. */
export function act_for(account_id) {
  if (account_id === store.get().acting) return;
  unfollow(subscriptions.private);
  unfollow(subscriptions.valuation);
  standing = standing_new();
  store.set({ acting: account_id, ...standing, valuation: null, fills_recent: [] });
  follow(subscriptions.private);
  follow(subscriptions.valuation);
}

/** Returns up to which log entry the account's events were taken, as text; "0" before any: for `wait_seq`. */
export function place_seq() {
  return subscriptions.private.at ? seq_of(subscriptions.private.at) : '0';
}

/** Returns the place that the selected market has come to, '' while it is not live. */
export function market_place() {
  return subscriptions.market.live ? subscriptions.market.at : '';
}

/** Loses the socket and comes back, as if the line had failed; for tests. */
export function renew() {
  socket?.renew();
}

// -- subscribing

/** Follows a subscription's channels: from the place that it has come to, or anew. */
function follow(subscription) {
  clearTimeout(subscription.timer);
  const channels = subscription.channels();
  if (!socket || !channels.length) return;
  number += 1;
  const { acting, venue } = store.get();
  const message = { op: 'subscribe', id: `${subscription.name}:${number}`, channels };
  if (subscription.account) message.account = acting;
  const resumes = subscription.keeps && subscription.at !== '';
  if (resumes) Object.assign(message, { from: subscription.at, venue: venue?.venue });
  Object.assign(subscription, { id: message.id, followed: channels, begun: resumes, live: false });
  subscription.followed_account = message.account;
  socket.send(message);
}

/** Follows a subscription's channels no more, and forgets its place. */
function unfollow(subscription) {
  if (subscription.followed.length) {
    const message = { op: 'unsubscribe', id: `end:${subscription.id}`, channels: subscription.followed };
    if (subscription.account) message.account = subscription.followed_account;
    socket?.send(message);
  }
  forget(subscription);
}

/** Forgets a subscription's place. */
function forget(subscription) {
  clearTimeout(subscription.timer);
  Object.assign(subscription, { at: '', begun: false, live: false, gap: '', id: '', followed: [] });
}

// -- the socket

/** Follows everything on a new socket. */
function opened() {
  for (const subscription of Object.values(subscriptions)) {
    if (!subscription.keeps) subscription.at = '';
    follow(subscription);
  }
}

/** Says that the socket is gone and will be tried again. */
function lost(attempts) {
  for (const subscription of Object.values(subscriptions)) subscription.begun = subscription.live = false;
  connection_set('lost', attempts, store.get().connection.message);
}

/** Finds out why a socket could not be opened: the session may have ended. */
function refused() {
  get('/api/v1/auth/sessions').catch((error) => {
    if (error.status === 401) ended();
  });
}

/** Says that the session is over. */
function ended() {
  stop();
  connection_signed_out();
  store.set({ session: null });
}

/** Notes that nobody is signed in. */
export function connection_signed_out() {
  connection_set('signed_out');
}

/** Notes how the connection stands. */
function connection_set(state, attempts = 0, message = '') {
  const before = store.get().connection;
  const since_ms = before.state === state ? before.since_ms : Date.now();
  store.set({ connection: { state, since_ms, attempts, message } });
}

// -- what is told

const TAKES = {
  hello: ({ venue, rules, env }) => store.set({ venue: { venue, rules, env } }),
  snapshot: snapshot_take,
  live: live_take,
  event: event_take,
  update: update_take,
  gap: gap_take,
  pong: pong_take,
  error: error_take,
  server_shutdown: () => connection_set('lost', 0, 'The gateway restarts.'),
};

/** Takes one message. */
function take(message) {
  tell('message', message);
  TAKES[message.type]?.(message);
}

/** Returns the subscription that a message's id names, null when that is an older one. */
function subscription_of(id) {
  return Object.values(subscriptions).find((each) => each.id === id) ?? null;
}

/** Takes how things stand: it takes the place of all that was known. */
function snapshot_take(message) {
  const subscription = subscription_of(message.id);
  if (!subscription) return;
  const { gap } = subscription;
  Object.assign(subscription, { at: message.at, begun: true, gap: '' });
  if (subscription.name === 'private') {
    standing = standing_of_snapshot(message.data);
    store.set({ ...standing });
    tell('snapshot', message.data, message);
  }
  if (message.data.markets) store.set({ markets: markets_of(message.data.markets) });
  if (gap) tell('gap', { scope: subscription.name, reason: gap, at: message.at }, message);
}

/** Takes that a subscription owes nothing any more; with the account's and the venue's the page is live. */
function live_take(message) {
  const subscription = subscription_of(message.id);
  if (!subscription) return;
  Object.assign(subscription, { at: later(message.at, subscription.at), begun: true, live: true });
  if (subscription.name === 'market') tell('market_live', { at: message.at }, message);
  const { connection } = store.get();
  if (connection.state !== 'live' && subscriptions.private.live && subscriptions.venue.live) {
    socket?.well();
    connection_set('live');
    tell('live', null, message);
  }
}

/** Takes an event, unless it was taken already or belongs to what is not shown any more. */
function event_take(message) {
  const { channel, at, data } = message;
  const subscription = subscription_of_channel(channel);
  if (!subscription?.begun || !is_after(at, subscription.at)) return;
  const { acting } = store.get();
  if (subscription.name === 'private' && data.account !== undefined && data.account !== acting) return;
  subscription.at = at;
  const row = row_of(message);
  if (subscription.name === 'private') {
    standing = standing_after(standing, message);
    const patch = { ...standing };
    if (data.e === 'fill') patch.fills_recent = [row, ...store.get().fills_recent].slice(0, RECENT_MAX);
    store.set(patch);
    tell('event', row, message);
    tell(data.e, row, message);
  } else if (data.e === 'trade') {
    store.set({ trades: [row, ...store.get().trades].slice(0, TRADES_MAX) });
    tell('trade', row, message);
  } else if (data.e === 'candle') {
    if (data.open !== undefined) tell('candle', candle_of(data), message);
  } else {
    store.set({ markets: markets_after(store.get().markets, data) });
    tell(data.e, row, message);
  }
}

/** Returns the subscription that a channel is followed by. */
function subscription_of_channel(channel) {
  if (PRIVATE.includes(channel)) return subscriptions.private;
  if (channel === 'markets') return subscriptions.venue;
  return subscriptions.market.followed.includes(channel) ? subscriptions.market : null;
}

/** Returns a finished minute as the list of candles shows it. */
function candle_of({ minute_ms, open, high, low, close, quotes }) {
  return { open_ms: minute_ms, open, high, low, close, quotes, complete: true };
}

/** Takes how prices stand, or what an account is worth. */
function update_take({ channel, seq, data }) {
  const { market, tickers, acting } = store.get();
  const [topic, name] = channel.split('.');
  if (topic === 'ticker') {
    if (data.quote_us && data.quote_age_ms !== undefined) clock_learn(data.quote_us / 1000 + data.quote_age_ms);
    store.set({ tickers: { ...tickers, [name]: { ...data, seq } } });
  } else if (topic === 'valuation') {
    if (data.account?.account_id !== acting) return;
    const positions = Object.fromEntries((data.positions ?? []).map((row) => [row.position_id, row]));
    store.set({ valuation: { account: data.account, positions } });
  } else if (name === market) {
    store.set(topic === 'depth' ? { depth: { ...data, seq } } : { candle_live: data });
  }
}

/** Takes that something cannot be told: a snapshot follows, and with it whoever shows histories reads them again. */
function gap_take({ id, reason }) {
  const subscription = subscription_of(id);
  if (!subscription) return;
  Object.assign(subscription, { begun: false, gap: reason });
  if (subscription.name === 'market') store.set({ trades: [], candle_live: null });
}

/** Takes up to where everything was told. */
function pong_take({ at }) {
  if (!at) return;
  for (const subscription of Object.values(subscriptions)) {
    if (subscription.live) subscription.at = later(at, subscription.at);
  }
}

/** Takes that a message of ours could not be carried out; a subscription is asked for again. */
function error_take({ id, code, retry_after_s }) {
  const subscription = subscription_of(id);
  if (code === 'UNAUTHENTICATED') {
    ended();
  } else if (subscription && code !== 'CHANNEL_UNKNOWN') {
    clearTimeout(subscription.timer);
    subscription.timer = setTimeout(() => follow(subscription), (retry_after_s ?? 0) * 1000 || AGAIN_MS);
  }
}
