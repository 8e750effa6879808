// Numbers as people type them -> decimal text as the venue reads it, or words that say what is unclear; pure.

import { decimals_of, scaled, tick_round, trim } from '../format.js';

const SCALE = 12;
const ONE = 10n ** BigInt(SCALE);
const WHOLE_MAX = 15;
const BLANKS = /[\s\u00a0\u2007\u2009\u202f'\u2019_]/g;
const GROUPED = /^\d{1,3}(\d{3})*$/;

/**
 * Returns what was typed as decimal text, or an error in words; text '' when nothing was typed.
 * A comma is read as a point; spaces, apostrophes, points or commas may part thousands where nothing else is meant.
 * @param {string} typed
 * @returns {{text: string, error: string}}
 */
export function number_read(typed) {
  const given = String(typed ?? '').trim();
  if (!given) return { text: '', error: '' };
  if (/[eE+-]|\u2212/.test(given)) return wrong('Write a plain number above zero, without a sign or exponent.');
  const blanks = given.split(BLANKS);
  if (!/^[\d.,]+$/.test(blanks.join(''))) return wrong('Write digits and one decimal point.');
  if (!blanks_group(blanks)) return wrong('Spaces may only part thousands, as in 12 500.5.');
  const read = marks_read(blanks.join(''));
  return read.error ? wrong(read.error) : canonical(read.whole, read.fraction);
}

/** Returns an answer that is an error. */
function wrong(error) {
  return { text: '', error };
}

/** Returns whether the parts between blanks are groups of three digits, but the first shorter, the last with a fraction. */
function blanks_group(parts) {
  if (parts.length === 1) return true;
  const [first, ...rest] = parts;
  const last = rest.pop();
  return /^\d{1,3}$/.test(first) && rest.every((part) => /^\d{3}$/.test(part)) && /^\d{3}([.,]\d*)?$/.test(last);
}

/** Returns {whole, fraction} of digits with points and commas, or {error}. */
function marks_read(text) {
  const points = text.split('.').length - 1;
  const commas = text.split(',').length - 1;
  if (points + commas === 0) return { whole: text, fraction: '' };
  if (points && commas) return both_read(text, points, commas);
  const mark = points ? '.' : ',';
  if (points + commas > 1) {
    const groups = text.split(mark);
    if (/^\d{1,3}$/.test(groups[0]) && groups.slice(1).every((group) => /^\d{3}$/.test(group))) {
      return { whole: groups.join(''), fraction: '' };
    }
    return { error: `More than one ${mark === '.' ? 'decimal point' : 'comma'}: which one is meant?` };
  }
  const [whole, fraction] = text.split(mark);
  // "1,250" is a thousand in one country and a little more than one in the next: nobody's money rides on a guess.
  if (mark === ',' && /^[1-9]\d{0,2}$/.test(whole) && fraction.length === 3) {
    return { error: `Is ${text} meant as ${whole}${fraction} or as ${whole}.${fraction}? Write it with a point or without the comma.` };
  }
  return { whole, fraction };
}

/** Returns {whole, fraction} where points and commas stand together: the later mark is the decimal one. */
function both_read(text, points, commas) {
  const decimal = text.lastIndexOf('.') > text.lastIndexOf(',') ? '.' : ',';
  const group = decimal === '.' ? ',' : '.';
  if ((decimal === '.' ? points : commas) > 1) return { error: 'Points and commas are mixed: which one is meant?' };
  const [front, fraction] = text.split(decimal);
  const groups = front.split(group);
  const sound = /^\d{1,3}$/.test(groups[0]) && groups.slice(1).every((each) => /^\d{3}$/.test(each));
  return sound ? { whole: groups.join(''), fraction } : { error: 'Thousands are groups of three digits, as in 12,500.5.' };
}

/** Returns a number in the venue's own writing. */
function canonical(whole, fraction) {
  if (!/\d/.test(whole + fraction)) return wrong('Write digits and one decimal point.');
  const front = whole.replace(/^0+(?=\d)/, '') || '0';
  const back = fraction.replace(/0+$/, '');
  if (front.length > WHOLE_MAX) return wrong('That is larger than any number here.');
  if (back.length > SCALE) return wrong('At most twelve decimals are read.');
  return { text: back ? `${front}.${back}` : front, error: '' };
}

/** Returns whether a decimal text is zero. */
export function is_zero(text) {
  return (scaled(text) ?? 0n) === 0n;
}

/** Returns the decimal text of a whole number of 10⁻¹². */
function unscaled(value) {
  const digits = (value < 0n ? -value : value).toString().padStart(SCALE + 1, '0');
  return `${value < 0n ? '-' : ''}${trim(`${digits.slice(0, -SCALE)}.${digits.slice(-SCALE)}`)}`;
}

/** Returns a decimal text cut down to a multiple of a step, such as a quantity to its lot. */
export function floor_to(text, step) {
  const size = scaled(step);
  const exact = scaled(text);
  if (!size || exact === null) return '';
  return trim(unscaled(exact - (exact % size)));
}

/** Returns a quantity less so many thousandths, cut down to its step. */
export function less(text, thousandths, step) {
  const exact = scaled(text);
  return exact === null ? '' : floor_to(unscaled((exact * BigInt(1000 - thousandths)) / 1000n), step);
}

/**
 * Returns the price so many percent from another, on the tick; '' where there is none.
 * @param {string} from @param {string} percent above zero @param {1|-1} sign up or down @param {string} tick
 */
export function price_away(from, percent, sign, tick) {
  const base = scaled(from);
  const share = scaled(percent);
  if (!base || share === null) return '';
  const away = (base * (100n * ONE + BigInt(sign) * share)) / (100n * ONE);
  return away > 0n ? tick_round(unscaled(away), tick) : '';
}

/** Returns a decimal text times a power of ten as a whole number in text, or '' when it is none: "0.5" · 10⁴ = "5000". */
export function whole_times(text, power) {
  const exact = scaled(text);
  if (exact === null) return '';
  const value = exact * 10n ** BigInt(power);
  return value % ONE === 0n ? (value / ONE).toString() : '';
}

/** Returns how many steps a decimal text is, as a number, or 0 when it is no whole count of them. */
export function steps_of(text, step) {
  const size = scaled(step);
  const exact = scaled(text);
  if (!size || exact === null || exact % size !== 0n) return 0;
  const count = exact / size;
  return count < 2n ** 23n ? Number(count) : 0;
}

/** Returns the sum of decimal texts of quantities. */
export function total_of(texts) {
  return trim(unscaled(texts.reduce((sum, text) => sum + (scaled(text) ?? 0n), 0n)));
}

/** Returns whether a price stands on the tick. */
export function on_tick(text, tick) {
  return decimals_of(text) <= decimals_of(tick) && steps_of(text, tick) > 0;
}
