// Places in the venue's order of events: "seq-chunk-index" of one event, "seq-chunk" behind a whole entry; pure.

const WHOLE = Infinity;

/** Returns a place as numbers; of a whole entry the index is infinite. */
function numbers(text) {
  const [seq, chunk, index] = text.split('-').map(Number);
  return [seq, chunk, index ?? WHOLE];
}

/** Returns whether one place lies behind another; everything lies behind '' */
export function is_after(one, other) {
  if (!other) return true;
  const [a, b] = [numbers(one), numbers(other)];
  for (let part = 0; part < 3; part += 1) {
    if (a[part] !== b[part]) return a[part] > b[part];
  }
  return false;
}

/** Returns the later of two places. */
export function later(one, other) {
  return is_after(one, other) ? one : other;
}
