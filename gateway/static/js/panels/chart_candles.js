// The candles of one market and width: pages of history, gaps, and the minute that runs. Texts in, chart points out.

import { compare } from '../format.js';

/** The widths that the venue joins, in milliseconds. */
export const INTERVALS = {
  '1m': 60_000,
  '5m': 300_000,
  '15m': 900_000,
  '1h': 3_600_000,
  '4h': 14_400_000,
  '1d': 86_400_000,
};
const GAP_MAX = 24; // candles; a longer gap is drawn as so many
const BARS_MAX = 20_000; // kept at most; older pages are not asked for beyond them
const BARS_CUT = 1000; // dropped at once when they are too many

/**
 * Returns chart points of candles, the oldest first, with an empty point for each candle that is missing in between.
 * @param {{open_ms: number, open: string, high: string, low: string, close: string}[]} bars
 * @param {number} width_ms
 * @param {number} shift_ms added to each time, so that the axis shows local time
 */
export function points_of(bars, width_ms, shift_ms) {
  const points = [];
  for (let index = 0; index < bars.length; index += 1) {
    if (index > 0) points.push(...gap_points(bars[index - 1].open_ms, bars[index].open_ms, width_ms, shift_ms));
    points.push(point_of(bars[index], shift_ms));
  }
  return points;
}

/** Returns one candle as a chart point: numbers, for pixels alone. */
function point_of(bar, shift_ms) {
  return {
    time: (bar.open_ms + shift_ms) / 1000,
    open: Number(bar.open),
    high: Number(bar.high),
    low: Number(bar.low),
    close: Number(bar.close),
  };
}

/** Returns the empty points between two candles. */
function gap_points(before_ms, after_ms, width_ms, shift_ms) {
  const missing = Math.min(GAP_MAX, (after_ms - before_ms) / width_ms - 1);
  return Array.from({ length: Math.max(0, missing) }, (_, index) => ({
    time: (before_ms + (index + 1) * width_ms + shift_ms) / 1000,
  }));
}

/** Puts a minute into the candle that it belongs to. */
function minute_join(bar, minute) {
  if (compare(minute.high, bar.high) > 0) bar.high = minute.high;
  if (compare(minute.low, bar.low) < 0) bar.low = minute.low;
  if (minute.open_ms < bar.minute_ms) return;
  bar.minute_ms = minute.open_ms;
  bar.close = minute.close;
}

/** Returns a candle as it is kept; `minute_ms` is the minute that its close is of, as far as that is known. */
function kept(candle, open_ms, minute_ms) {
  const { open, high, low, close } = candle;
  return { open_ms, open, high, low, close, minute_ms };
}

/** Returns a page's candles as they are kept, the oldest first. */
function kept_of(page) {
  return page.items.map((item) => kept(item, item.open_ms, item.open_ms)).reverse();
}

/** The candles of one chart; they draw themselves into its series. */
export class CandleHistory {
  #wiring;
  #bars = [];
  #cursor = null;
  #loaded = false;
  #reading = false;
  #stopped = false;
  #newest = null; // the newest minute that was told

  /**
   * Starts without candles; `refresh` reads the first.
   * @param {object} wiring
   * @param {{setData: Function, update: Function}} wiring.series
   * @param {number} wiring.width_ms
   * @param {number} wiring.shift_ms
   * @param {(cursor: string|null) => Promise<object>} wiring.read a page of GET candles, newest first
   * @param {(note: string) => void} wiring.told is called with what the reader should know, empty when all is well
   */
  constructor(wiring) {
    this.#wiring = wiring;
  }

  /** Reads the newest page: at the start, and after a time without the socket; tells whether that went well. */
  async refresh() {
    const page = await this.#page(null);
    if (page === null) return false;
    const fresh = kept_of(page);
    const first_ms = fresh[0]?.open_ms ?? Infinity;
    if (this.#loaded && first_ms <= (this.last()?.open_ms ?? -Infinity)) {
      this.#bars = this.#bars.filter((bar) => bar.open_ms < first_ms).concat(fresh);
    } else {
      this.#bars = fresh;
      this.#cursor = page.next_cursor;
    }
    this.#loaded = true;
    this.#draw();
    if (this.#newest !== null) this.minute(this.#newest);
    return true;
  }

  /** Reads the page before the oldest candle; tells whether there was one. */
  async older() {
    if (!this.#loaded || this.#cursor === null || this.#bars.length >= BARS_MAX) return false;
    const page = await this.#page(this.#cursor);
    if (page === null) return false;
    this.#cursor = page.next_cursor;
    const first_ms = this.#bars[0]?.open_ms ?? Infinity;
    const before = kept_of(page).filter((bar) => bar.open_ms < first_ms);
    this.#bars = before.concat(this.#bars);
    if (before.length > 0) this.#draw();
    return true;
  }

  /** Takes a minute, running or finished, into the candle that it belongs to. */
  minute(told) {
    if (this.#newest === null || told.open_ms >= this.#newest.open_ms) this.#newest = told;
    if (!this.#loaded || this.#stopped) return;
    const { series, width_ms, shift_ms } = this.#wiring;
    const open_ms = Math.floor(told.open_ms / width_ms) * width_ms;
    const last = this.#bars.length - 1;
    let index = last;
    while (index >= 0 && this.#bars[index].open_ms > open_ms) index -= 1;
    if (index >= 0 && this.#bars[index].open_ms === open_ms) {
      minute_join(this.#bars[index], told);
      series.update(point_of(this.#bars[index], shift_ms), index < last);
    } else if (index === last) {
      this.#append(kept(told, open_ms, told.open_ms));
    }
  }

  /** Returns the newest candle, null while there is none. */
  last() {
    return this.#bars[this.#bars.length - 1] ?? null;
  }

  /** Returns how many candles there are. */
  count() {
    return this.#bars.length;
  }

  /** Returns the candle at a time of the chart, null where there is none. */
  at(time_s) {
    const open_ms = time_s * 1000 - this.#wiring.shift_ms;
    return this.#bars.findLast((bar) => bar.open_ms === open_ms) ?? null;
  }

  /** Draws nothing any more. */
  stop() {
    this.#stopped = true;
    this.#bars = [];
  }

  #draw() {
    const { series, width_ms, shift_ms } = this.#wiring;
    series.setData(points_of(this.#bars, width_ms, shift_ms));
  }

  /** Adds the newest candle, and empty points for those that are missing before it. */
  #append(bar) {
    const { series, width_ms, shift_ms } = this.#wiring;
    const before_ms = this.last()?.open_ms ?? bar.open_ms;
    for (const empty of gap_points(before_ms, bar.open_ms, width_ms, shift_ms)) series.update(empty);
    this.#bars.push(bar);
    series.update(point_of(bar, shift_ms));
    if (this.#bars.length <= BARS_MAX + BARS_CUT) return;
    this.#bars = this.#bars.slice(BARS_CUT);
    this.#draw();
  }

  /** Returns a page, null when it could not be read or is not wanted any more; one at a time. */
  async #page(cursor) {
    if (this.#reading || this.#stopped) return null;
    this.#reading = true;
    try {
      const page = await this.#wiring.read(cursor);
      if (!this.#stopped) this.#wiring.told('');
      return this.#stopped ? null : page;
    } catch {
      if (!this.#stopped) this.#wiring.told('Candles cannot be read now.');
      return null;
    } finally {
      this.#reading = false;
    }
  }
}
