// The ticket's fields -> the body of the instruction that they mean, or words on what is missing or unclear; pure.

import { price as price_words, tick_round, trim } from '../format.js';
import { floor_to, is_zero, number_read, on_tick, price_away, steps_of, whole_times } from './ticket_numbers.js';

/** What each order kind is called, needs and may have; the first tif is its default. */
export const KINDS = {
  market: { words: 'Market', needs: [], tifs: ['IOC', 'FOK'], at_market: true },
  limit: { words: 'Limit', needs: ['price'], tifs: ['GTC', 'IOC', 'FOK'] },
  stop_market: { words: 'Stop market', needs: ['trigger'], tifs: ['IOC', 'FOK'], at_market: true },
  stop_limit: { words: 'Stop limit', needs: ['trigger', 'price'], tifs: ['GTC', 'IOC', 'FOK'] },
  take_profit_market: { words: 'Take-profit market', needs: ['trigger'], tifs: ['IOC', 'FOK'], at_market: true },
  take_profit_limit: { words: 'Take-profit limit', needs: ['trigger', 'price'], tifs: ['GTC', 'IOC', 'FOK'] },
  trailing_stop: { words: 'Trailing stop', needs: ['trail'], tifs: ['IOC', 'FOK'], at_market: true },
};

export const UNITS = ['coin', 'usd', 'percent'];
const PPM_OF_PERCENT = 4; // a percent is 10⁴ parts per million
const BPS_OF_PERCENT = 2;
const BPS_MAX = 10_000;
const TRAIL_PPM_MAX = 999_999;

/**
 * Returns the ticket's fields as a market begins with them.
 * @param {{kind?: string, unit?: string, leverage?: number}} remembered of that market
 */
export function form_new(remembered = {}) {
  return {
    side: 'buy',
    kind: remembered.kind in KINDS ? remembered.kind : 'market',
    ticket: false, // a position of its own, not the net one
    size: { unit: UNITS.includes(remembered.unit) ? remembered.unit : 'coin', text: '' },
    price: '',
    trigger: '',
    trigger_by: 'quote',
    trail: { unit: 'percent', text: '' },
    activation: '',
    tif: '',
    reduce_only: false,
    post_only: false,
    slippage: '',
    bracket: false,
    take: { unit: 'price', text: '' },
    stop: { unit: 'price', text: '' },
    leverage: remembered.leverage ?? 0, // of a separate ticket; 0: as the net position's
  };
}

/** Returns the kind that counts: a separate ticket always opens at the market. */
export function kind_of(form) {
  return form.ticket ? 'market' : form.kind;
}

/** Returns the tif that counts: post-only orders rest, and each kind has a default. */
export function tif_of(form) {
  const { tifs } = KINDS[kind_of(form)];
  if (posts(form) || !tifs.includes(form.tif)) return tifs[0];
  return form.tif;
}

/** Returns whether the order is post-only: only what may rest can be. */
export function posts(form) {
  return form.post_only && !KINDS[kind_of(form)].at_market;
}

/** Returns whether the order only shrinks a position; a separate ticket opens one. */
export function reduces(form) {
  return form.reduce_only && !form.ticket;
}

/** Returns whether take-profit and stop-loss go along. */
export function brackets(form) {
  return form.bracket && !reduces(form);
}

/**
 * Returns what the fields mean: the instruction, what is wrong with which field, and what fields are still empty.
 * @param {ReturnType<typeof form_new>} form
 * @param {{market: string, tick: string, lot: string, bid?: string, ask?: string, leverage: number}} terms of the market
 * @returns {{op: string, path: string, body: object, size: object|null, errors: Object<string, string>,
 *   notes: Object<string, string>, missing: string[], ready: boolean, known: boolean}} known: it can be calculated,
 *   though a take-profit or stop-loss may still be missing
 */
export function form_read(form, terms) {
  const found = { body: { market: terms.market, side: form.side }, size: null, errors: {}, notes: {}, missing: [] };
  const kind = kind_of(form);
  if (!form.ticket) found.body.kind = kind;
  size_put(found, form, terms);
  for (const need of KINDS[kind].needs) NEEDS[need](found, form, terms);
  if (form.ticket) found.body.leverage = form.leverage || terms.leverage;
  else options_put(found, form, terms);
  if (KINDS[kind].at_market) slippage_put(found, form);
  if (brackets(form)) bracket_put(found, form, terms);
  const op = form.ticket ? 'trade_create' : 'order_place';
  const path = `/api/v1/trade/${form.ticket ? 'create' : 'order'}`;
  const sound = !Object.keys(found.errors).length;
  const known = sound && found.missing.every((name) => name === 'take');
  return { op, path, ...found, known, ready: sound && !found.missing.length };
}

/** Puts the quantity, or the size that the calculator turns into one. */
function size_put(found, form, { lot }) {
  const { unit } = form.size;
  const text = field_read(found, 'size', form.size.text);
  if (!text) return;
  if (unit === 'percent') {
    const whole = whole_times(text, 0);
    if (!whole || whole.length > 3 || Number(whole) > 100) found.errors.size = 'A whole percentage from 1 to 100.';
    else found.size = { percent: whole };
  } else if (unit === 'usd') {
    found.size = { usd: text };
  } else {
    const qty = floor_to(text, lot);
    if (is_zero(qty)) found.errors.size = `Less than the smallest step of ${trim(lot)}.`;
    else found.body.qty = qty;
    if (qty !== text && !found.errors.size) found.notes.size = `Rounded down to ${qty}: steps of ${trim(lot)}.`;
  }
}

const NEEDS = {
  price(found, form, { tick }) {
    price_put(found, 'price', form.price, tick, 'price');
  },

  trigger(found, form, { tick }) {
    price_put(found, 'trigger', form.trigger, tick, 'price_trigger');
    if (form.trigger_by !== 'quote') found.body.trigger_by = form.trigger_by;
  },

  trail(found, form, { tick }) {
    const text = field_read(found, 'trail', form.trail.text);
    if (text && form.trail.unit === 'percent') {
      const count = Number(whole_times(text, PPM_OF_PERCENT) || 0);
      if (count < 1 || count > TRAIL_PPM_MAX) found.errors.trail = 'Between 0.0001 and 99.99 percent.';
      else found.body.trail_ppm = count;
    } else if (text) {
      const count = steps_of(floor_to(text, tick), tick);
      if (!count) found.errors.trail = `At least one tick of ${trim(tick)}.`;
      else found.body.trail_ticks = count;
      const distance = floor_to(text, tick);
      if (count && distance !== text) found.notes.trail = `Rounded down to ${distance}: ticks of ${trim(tick)}.`;
    }
    if (form.trigger_by !== 'quote') found.body.trigger_by = form.trigger_by;
    if (form.activation.trim()) price_put(found, 'activation', form.activation, tick, 'price_activation');
  },
};

/** Puts what an order on the net position may have besides. */
function options_put(found, form) {
  const tif = tif_of(form);
  if (tif !== KINDS[form.kind].tifs[0]) found.body.tif = tif;
  if (posts(form)) found.body.post_only = true;
  if (reduces(form)) found.body.reduce_only = true;
}

/** Puts the bound of a market-like order, typed in percent. */
function slippage_put(found, form) {
  if (!form.slippage.trim()) return;
  const text = field_read(found, 'slippage', form.slippage, false);
  if (!text) return;
  const bps = whole_times(text, BPS_OF_PERCENT);
  if (!bps || Number(bps) > BPS_MAX) found.errors.slippage = 'Steps of 0.01 percent, at most 100.';
  else found.body.slippage_bps = Number(bps);
}

/** Puts take-profit and stop-loss; one of them may be left empty. */
function bracket_put(found, form, terms) {
  const gains = form.side === 'buy' ? 1 : -1;
  const empty = !form.take.text.trim() && !form.stop.text.trim();
  if (empty) found.missing.push('take');
  if (form.take.text.trim()) end_put(found, 'take', 'take_profit', form, terms, gains);
  if (form.stop.text.trim()) end_put(found, 'stop', 'stop_loss', form, terms, -gains);
}

/** Puts one end of the bracket, by price or by its distance from the entry in percent. */
function end_put(found, name, key, form, terms, sign) {
  const { unit } = form[name];
  let price;
  if (unit === 'price') {
    price = price_read(found, name, form[name].text, terms.tick);
  } else {
    const text = field_read(found, name, form[name].text);
    const from = entry_price(form, terms);
    if (text && !from) found.errors[name] = 'There is no entry price to count from yet; give a price.';
    price = text && from ? price_away(from, text, sign, terms.tick) : '';
    if (text && from && !price) found.errors[name] = 'That is below a price of zero.';
    else if (price) found.notes[name] = `at ${price_words(price)}`;
  }
  if (price) found.body[key] = form.trigger_by === 'quote' ? price : { price_trigger: price, trigger_by: form.trigger_by };
}

/** Returns the price that an order would open at, as far as it is known; '' if it is not. */
export function entry_price(form, { bid, ask, tick }) {
  const { needs } = KINDS[kind_of(form)];
  if (needs.includes('price')) return on_grid(form.price, tick);
  if (needs.includes('trigger')) return on_grid(form.trigger, tick);
  return (form.side === 'buy' ? ask : bid) ?? '';
}

/** Returns a typed price on the tick, '' when it is none. */
function on_grid(typed, tick) {
  const { text } = number_read(typed);
  return text && !is_zero(text) ? tick_round(text, tick) : '';
}

/** Puts a price that the instruction needs. */
function price_put(found, name, typed, tick, key) {
  const price = price_read(found, name, typed, tick);
  if (price) found.body[key] = price;
}

/** Returns a typed price on the tick, and says when it was rounded; '' when it cannot be used. */
function price_read(found, name, typed, tick) {
  const text = field_read(found, name, typed);
  if (!text) return '';
  if (on_tick(text, tick)) return text;
  const rounded = tick_round(text, tick);
  if (is_zero(rounded)) found.errors[name] = `Below the smallest price of ${trim(tick)}.`;
  else if (trim(rounded) !== text) found.notes[name] = `Rounded to ${rounded}: ticks of ${trim(tick)}.`;
  return is_zero(rounded) ? '' : rounded;
}

/** Returns what was typed as decimal text above zero; '' with the reason noted. */
function field_read(found, name, typed, above_zero = true) {
  const { text, error } = number_read(typed);
  if (error) found.errors[name] = error;
  else if (!text) found.missing.push(name);
  else if (above_zero && is_zero(text)) found.errors[name] = 'Must be above zero.';
  else return text;
  return '';
}
