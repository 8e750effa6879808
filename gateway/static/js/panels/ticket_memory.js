// What the ticket remembers of each market between visits: the last kind, unit and leverage; tolerant of no storage.

const KEY = 'tidemark.ticket';

/** Returns what is remembered of a market: {kind?, unit?, leverage?}. */
export function remembered(market) {
  const found = read()[market];
  return found && typeof found === 'object' ? found : {};
}

/** Remembers more of a market. */
export function remember(market, more) {
  const all = read();
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...all, [market]: { ...all[market], ...more } }));
  } catch {
    // Without storage the ticket begins anew each time.
  }
}

/** Returns all that is remembered. */
function read() {
  try {
    const all = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return all && typeof all === 'object' ? all : {};
  } catch {
    return {};
  }
}
