// Events -> how an account stands, exactly as the gateway's views make it of the same events; pure functions.

import { trim } from './format.js';

const GUARD_ENVELOPE = new Set(['e', 'account', 'seq', 'log_time_us']);
// Of the account's standing image: what stays when its money changes.
const BESIDE_MONEY = ['leverages', 'modes', 'guards', 'margin_call', 'main', 'sub'];

/** Returns how nothing stands: no money known, no orders, no positions. */
export function standing_new() {
  return { account: {}, positions: {}, orders: {}, margin_calls: {} };
}

/** Returns how an account stands by the data of a snapshot of the channels account, orders and positions. */
export function standing_of_snapshot(data) {
  const positions = by_id(data.positions ?? [], 'position_id');
  const margin_calls = {};
  for (const row of Object.values(positions)) {
    if (row.margin_call) margin_calls[row.position_id] = row.margin_call;
  }
  return { account: data.account ?? {}, positions, orders: by_id(data.orders ?? [], 'order_id'), margin_calls };
}

/**
 * Returns how an account stands after one event of a private channel; the same object when nothing changed.
 * @param {ReturnType<typeof standing_new>} standing
 * @param {{at: string, log_time_us: number, data: any}} message as it came over the socket
 */
export function standing_after(standing, message) {
  const change = CHANGES[message.data.e];
  return change ? { ...standing, ...change(standing, message.data, message) } : standing;
}

/** Returns the markets by name after a snapshot's list, or after one event of the channel markets. */
export function markets_of(rows) {
  return Object.fromEntries(rows.map((row) => [row.market, row]));
}

/** Returns the markets by name after an event of the channel markets. */
export function markets_after(markets, data) {
  if (data.e !== 'market_changed') return markets;
  return { ...markets, [data.market]: without(data, 'e') };
}

/** Returns the seq of a place such as "90-0-1": "90". */
export function seq_of(at) {
  return at.split('-')[0];
}

/** Returns an event as the histories list it: without envelope, with its place and time. */
export function row_of({ at, log_time_us, data }) {
  return { ...without(data, 'e', 'account'), seq: seq_of(at), at, time_us: log_time_us };
}

// Each returns the parts of the standing that an event changes.
const CHANGES = {
  account_changed({ account }, data, { at, log_time_us }) {
    const names = BESIDE_MONEY.filter((name) => name in account);
    const kept = Object.fromEntries(names.map((name) => [name, account[name]]));
    return { account: { ...without(data, 'e'), seq: Number(seq_of(at)), log_time_us, ...kept } };
  },

  account_market_changed({ account }, data) {
    const leverages = { ...account.leverages };
    if (data.leverage) leverages[data.market] = data.leverage;
    else delete leverages[data.market];
    const modes = 'mode' in data ? { ...account.modes, [data.market]: data.mode } : (account.modes ?? {});
    return { account: { ...account, leverages, modes } };
  },

  account_guards_changed({ account }, data) {
    const guards = Object.fromEntries(Object.entries(data).filter(([name]) => !GUARD_ENVELOPE.has(name)));
    return { account: { ...account, guards } };
  },

  account_opened({ account }, data) {
    return 'main' in data ? { account: { ...account, main: data.main, sub: data.sub } } : {};
  },

  margin_call({ account, positions, margin_calls }, data, { log_time_us }) {
    const call = { ...without(data, 'e', 'account', 'seq'), log_time_us };
    if (!('position_id' in data)) return { account: { ...account, margin_call: call } };
    const id = data.position_id;
    const row = positions[id];
    return {
      margin_calls: { ...margin_calls, [id]: call },
      positions: row ? { ...positions, [id]: { ...row, margin_call: call } } : positions,
    };
  },

  position_changed(standing, data, { at }) {
    const id = data.position_id;
    if (trim(data.qty) === '0') return position_gone(standing, id);
    const call = standing.margin_calls[id];
    const row = { ...without(data, 'e', 'account'), seq: seq_of(at), ...(call && { margin_call: call }) };
    return { positions: { ...standing.positions, [id]: row } };
  },

  closed_position(standing, data) {
    return position_gone(standing, data.position_id);
  },

  order_changed({ orders }, data, { at }) {
    return { orders: { ...orders, [data.order_id]: { ...without(data, 'e', 'account'), seq: seq_of(at) } } };
  },

  closed_order({ orders }, data) {
    return { orders: without(orders, data.order_id) };
  },
};

/** Returns the parts of the standing without a position. */
function position_gone({ positions, margin_calls }, id) {
  return { positions: without(positions, id), margin_calls: without(margin_calls, id) };
}

/** Returns rows by the value of a key. */
function by_id(rows, key) {
  return Object.fromEntries(rows.map((row) => [row[key], row]));
}

/** Returns an object without these keys. */
function without(object, ...names) {
  const rest = { ...object };
  for (const name of names) delete rest[name];
  return rest;
}
