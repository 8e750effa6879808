// One history of the account as a list that grows: pages by cursor, what happens now on top, anew after a gap.

import { useEffect, useRef, useState } from '../html.js';
import { get } from '../api.js';
import { is_after } from '../places.js';
import { seq_of } from '../reducers.js';
import { useStore } from '../store.js';
import { on, place_seq } from '../stream.js';

const LIMIT = 50;
const KEPT_MAX = 2000; // rows; then the list begins anew with its first page
const AGAIN_MS = 1000;
const AGAIN_MAX_MS = 5000;
/** Of which event each history is made. */
const EVENT_OF = {
  orders: 'closed_order',
  positions: 'closed_position',
  fills: 'fill',
  funding: 'funding',
  ledger: 'ledger',
};
const NOTHING = { items: [], cursor: null, loading: true, error: null, late: false };

/** Returns less than 0 when the first of two items is to be shown above the second: newest first, as the API lists. */
function newest_first(one, other) {
  if (one.time_us !== other.time_us) return other.time_us - one.time_us;
  return is_after(one.at, other.at) ? -1 : 1;
}

/** Returns the items of two lists, every place once, newest first. */
export function merged(items, more) {
  const known = new Map(items.map((item) => [item.at, item]));
  for (const item of more) known.set(item.at, item);
  return [...known.values()].sort(newest_first);
}

/** Returns whether an item is what the query asks for. */
export function matches(item, query) {
  return Object.entries(query).every(([name, value]) => !value || String(item[name]) === value);
}

/** Returns the path of a history with its query; what is empty is left out. */
export function past_path(name, query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return `/api/v1/account/history/${name}?${new URLSearchParams(given)}`;
}

/** Returns the later of two seqs, as text; of equal ones the first. */
function later_seq(one, other) {
  return BigInt(other) > BigInt(one) ? other : one;
}

/** The list itself: tells `put` each time what it holds. */
class PastList {
  constructor(name, query, put) {
    this.name = name;
    this.query = query;
    this.put = put;
    this.state = NOTHING;
    this.live = []; // what came since the newest first page was asked for
    this.tries = 0;
    this.floor = '0'; // the seq that a page must be complete to; what follows is told to `add`
    this.complete = null; // the seq that the newest page is complete to, null while it is read
    this.stop = new AbortController();
  }

  /** Changes what is held. */
  tell(patch) {
    this.state = { ...this.state, ...patch };
    this.put(this.state);
  }

  /** Ends it: nothing is told any more. */
  end() {
    clearTimeout(this.timer);
    this.stop.abort();
    this.put = () => {};
  }

  /** Asks for the first page, complete to where the stream is, and puts what came meanwhile on top. */
  async begin() {
    this.stop.abort();
    this.stop = new AbortController();
    clearTimeout(this.timer);
    this.live = [];
    this.complete = null;
    this.floor = later_seq(this.floor, place_seq());
    this.tell({ loading: true, error: null });
    const page = await this.page({ wait_seq: this.floor });
    if (!page) return;
    this.complete = page.complete_to_seq;
    this.tell({ items: merged(page.items, this.live), cursor: page.next_cursor, loading: false });
    this.catch_up();
  }

  /** Asks anew when the newest page lacks what was told before this list was there: history is later than events. */
  catch_up() {
    if (this.complete === null) return;
    const late = later_seq(this.complete, this.floor) !== this.complete;
    this.tries = late ? this.tries + 1 : 0;
    if (late !== this.state.late) this.tell({ late });
    if (late) this.timer = setTimeout(() => this.begin(), Math.min(this.tries * AGAIN_MS, AGAIN_MAX_MS));
  }

  /** Takes that the account was told anew as of a place: only what comes after it is told as events. */
  told_anew({ at }) {
    this.floor = later_seq(this.floor, seq_of(at));
    clearTimeout(this.timer);
    this.catch_up();
  }

  /** Asks for the page after the last one. */
  async older() {
    if (!this.state.cursor || this.state.loading) return;
    this.tell({ loading: true, error: null });
    const page = await this.page({ cursor: this.state.cursor });
    if (page) this.tell({ items: merged(this.state.items, page.items), cursor: page.next_cursor, loading: false });
  }

  /** Puts an event on top, once. */
  add(item) {
    if (!matches(item, this.query)) return;
    this.live.push(item);
    if (this.state.items.length >= KEPT_MAX) this.begin();
    else this.tell({ items: merged(this.state.items, [item]) });
  }

  /** Returns a page, null when there is none to be had or nobody wants it any more. */
  async page(part) {
    const { signal } = this.stop;
    try {
      return await get(past_path(this.name, { ...this.query, limit: LIMIT, ...part }), { signal });
    } catch (error) {
      if (!signal.aborted) this.tell({ loading: false, error });
      return null;
    }
  }
}

/** Returns an event of the stream as its history shows it. */
function item_of_event(event) {
  const time_us = event.due_ms ? event.due_ms * 1000 : (event.closed_us ?? event.time_us);
  return { ...event, time_us };
}

/**
 * Returns a history of the account in force, and how to get more of it.
 * @param {'orders'|'positions'|'fills'|'funding'|'ledger'} name
 * @param {Record<string, string>} query filters of the route; an empty one counts as none
 * @returns {{items: any[], cursor: string|null, loading: boolean, error: any, late: boolean, older: () => void,
 *   again: () => void}} late: the newest rows may be missing, it asks again by itself
 */
export function usePast(name, query) {
  const acting = useStore((state) => state.acting);
  const [state, put] = useState(NOTHING);
  const list = useRef(null);
  useEffect(() => {
    put(NOTHING);
    const mine = new PastList(name, query, put);
    list.current = mine;
    mine.begin();
    const undo = [
      on[EVENT_OF[name]]((event) => mine.add(item_of_event(event))),
      on.gap(({ scope }) => scope === 'private' && mine.begin()),
      on.snapshot((_data, message) => mine.told_anew(message)),
    ];
    return () => {
      undo.forEach((stop) => stop());
      mine.end();
    };
  }, [name, acting, JSON.stringify(query)]);
  return { ...state, older: () => list.current?.older(), again: () => list.current?.begin() };
}
