// Decimal text and times as people read them: text in, text out; no float ever touches money.

const SCALE = 12; // decimals that the venue knows
const NOTHING = '–';
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?$/;

/** Returns [sign, whole, fraction] of a decimal text, null when it is none. */
function parts_of(text) {
  const found = DECIMAL.exec(String(text ?? '').trim());
  if (!found || (!found[2] && !found[3])) return null;
  return [found[1] === '-' ? '-' : '', (found[2] || '0').replace(/^0+(?=\d)/, ''), found[3] ?? ''];
}

/** Returns a decimal text as a whole number of 10⁻¹²; null when it is none. */
export function scaled(text) {
  const parts = parts_of(text);
  if (!parts) return null;
  const value = BigInt(parts[1] + parts[2].padEnd(SCALE, '0').slice(0, SCALE));
  return parts[0] ? -value : value;
}

/** Returns the decimal text of a whole number of 10⁻¹², with that many decimals; the rest is cut off. */
function unscaled(value, decimals) {
  const digits = (value < 0n ? -value : value).toString().padStart(SCALE + 1, '0');
  const fraction = digits.slice(-SCALE).slice(0, decimals);
  const text = digits.slice(0, -SCALE) + (decimals > 0 ? `.${fraction}` : '');
  return value < 0n && /[1-9]/.test(text) ? `-${text}` : text;
}

/** Returns how many decimals of a text matter: of "0.0100" two. */
export function decimals_of(text) {
  return (parts_of(text)?.[2] ?? '').replace(/0+$/, '').length;
}

/** Returns -1, 0 or 1 as one decimal text is less than, equal to or greater than another. */
export function compare(one, other) {
  const [a, b] = [scaled(one) ?? 0n, scaled(other) ?? 0n];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Returns one decimal text plus so many times another, exactly; times is a whole number, −1 takes it away. */
export function plus(one, other, times = 1) {
  const decimals = Math.max(decimals_of(one), decimals_of(other));
  return unscaled((scaled(one) ?? 0n) + BigInt(times) * (scaled(other) ?? 0n), decimals);
}

/** Returns whether a text is a decimal that the venue would read. */
export function is_decimal(text) {
  return /^-?(0|[1-9]\d{0,14})(\.\d{1,12})?$/.test(String(text ?? ''));
}

/** Returns whole digits in groups of three. */
function grouped(whole) {
  return whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** Returns a decimal text without zeros that say nothing. */
export function trim(text) {
  const parts = parts_of(text);
  if (!parts) return String(text ?? '');
  const fraction = parts[2].replace(/0+$/, '');
  const shown = fraction ? `${parts[1]}.${fraction}` : parts[1];
  return parts[0] && /[1-9]/.test(shown) ? `-${shown}` : shown;
}

/** Returns a decimal text in groups of three, with at least so many decimals, or a dash for none. */
export function price(text, tick = '') {
  const parts = parts_of(text);
  if (!parts) return NOTHING;
  const fraction = parts[2].replace(/0+$/, '').padEnd(decimals_of(tick), '0');
  return minus(`${parts[0]}${grouped(parts[1])}${fraction ? `.${fraction}` : ''}`);
}

/** Returns a quantity: a decimal text in groups of three without zeros that say nothing. */
export function quantity(text) {
  return price(text);
}

/** Returns money with so many decimals, cut off and never rounded up; the full text belongs in the title. */
export function money(text, digits = 2) {
  const parts = parts_of(text);
  if (!parts) return NOTHING;
  const fraction = parts[2].padEnd(digits, '0').slice(0, digits);
  const zero = !/[1-9]/.test(parts[1] + fraction);
  return minus(`${zero ? '' : parts[0]}${grouped(parts[1])}${digits ? `.${fraction}` : ''}`);
}

/** Returns money, or any decimal text, always with its sign; zero has none. */
export function signed(text, digits = 2) {
  const shown = money(text, digits);
  return shown === NOTHING || shown.startsWith('−') || !/[1-9]/.test(shown) ? shown : `+${shown}`;
}

/** Returns a percentage with its sign: "1.25" becomes "+1.25 %". */
export function percent(text, digits = 2) {
  const shown = signed(text, digits);
  return shown === NOTHING ? shown : `${shown} %`;
}

/** Returns a rate such as "0.0001" as a percentage with its sign and four decimals. */
export function rate(text) {
  const value = scaled(text);
  return value === null ? NOTHING : percent(unscaled(value * 100n, 4), 4);
}

/** Returns parts per million as a percentage without a sign: 400 becomes "0.04 %". */
export function ppm(count) {
  return `${trim(unscaled(BigInt(count) * 10n ** 8n, 4))} %`;
}

/** Returns 'up', 'down' or 'flat' by the sign of a decimal text. */
export function trend(text) {
  const sign = compare(text, '0');
  return sign > 0 ? 'up' : sign < 0 ? 'down' : 'flat';
}

/** Returns the arrow that says without colour what trend() says. */
export function arrow(text) {
  return { up: '▲', down: '▼', flat: '' }[trend(text)];
}

/** Returns a decimal text without its sign. */
export function absolute(text) {
  return String(text ?? '').replace(/^[-+]/, '');
}

/** Returns the nearest price on the tick. A number is allowed because chart coordinates are numbers. */
export function tick_round(value, tick) {
  const size = scaled(tick);
  const text = typeof value === 'number' ? value.toFixed(SCALE) : value;
  const exact = scaled(text);
  if (!size || exact === null) return '';
  const twice = 2n * exact + size;
  const ticks = twice / (2n * size) - (twice < 0n && twice % (2n * size) !== 0n ? 1n : 0n);
  return unscaled(ticks * size, decimals_of(tick));
}

/** Returns a price so many ticks further, never below one tick. */
export function tick_step(text, tick, count) {
  const size = scaled(tick);
  const at = scaled(tick_round(text, tick));
  if (!size || at === null) return String(text ?? '');
  const next = at + size * BigInt(count);
  return unscaled(next < size ? size : next, decimals_of(tick));
}

/** Returns a text with a real minus sign in place of the hyphen. */
function minus(text) {
  return text.replace(/^-/, '−');
}

/** Returns a market's name as people say it: "SOL_USDC_PERP" becomes "SOL". */
export function coin(market) {
  return String(market ?? '').split('_')[0];
}

/** Returns how long something takes or lasted: "12 s", "3 min", "4 h 05 min", "2 d 3 h". */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(Number(ms) / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Returns the time left as a clock: "01:02:03". */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(Number(ms) / 1000));
  const fields = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return fields.map((field) => String(field).padStart(2, '0')).join(':');
}

/** Returns how long ago something was: "just now", "12 s ago". */
export function ago(ms) {
  return ms < 1500 ? 'just now' : `${duration(ms)} ago`;
}

/** Returns a date's fields with two digits each. */
function two(...fields) {
  return fields.map((field) => String(field).padStart(2, '0'));
}

/** Returns the local time of microseconds: "14:02:31", of another day with its date: "11-21 14:02:31". */
export function time(us, at_ms = Date.now()) {
  if (!us) return NOTHING;
  const date = new Date(Math.floor(us / 1000));
  const clock = two(date.getHours(), date.getMinutes(), date.getSeconds()).join(':');
  if (date.toDateString() === new Date(at_ms).toDateString()) return clock;
  return `${two(date.getMonth() + 1, date.getDate()).join('-')} ${clock}`;
}

/** Returns the whole local date and time of microseconds, for a title: "2026-11-22 14:02:31.123". */
export function time_full(us) {
  if (!us) return NOTHING;
  const date = new Date(Math.floor(us / 1000));
  const day = [date.getFullYear(), ...two(date.getMonth() + 1, date.getDate())].join('-');
  const clock = two(date.getHours(), date.getMinutes(), date.getSeconds()).join(':');
  return `${day} ${clock}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
