// One lasting WebSocket: opened again when it is lost, when the tab comes back from sleep, and when nothing is heard.

const PING_MS = 15_000;
const QUIET_MS = 3000; // nothing heard for so long: ask
const SILENT_MS = 7000; // and for so long: lost
const PROBE_MS = 3000; // after sleep an answer must come within
const STEP_MS = 1000;
const SLEPT_MS = 6000; // between two steps: the machine or the tab slept
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 5000;
const SESSION_ENDED = 1008;

/**
 * A socket that is there as long as it is wanted. It calls: `opened()`, `message(object)`, `lost(attempts)` whenever it
 * is gone and will be tried again, `refused()` when an attempt did not come to be open, `ended()` when the session is
 * over.
 */
export class LastingSocket {
  /** @param {string} url @param {Record<'opened'|'message'|'lost'|'refused'|'ended', (value?: any) => void>} told */
  constructor(url, told) {
    this.url = url;
    this.told = told;
    this.socket = null;
    this.wanted = false;
    this.attempts = 0; // since everything was well
    this.heard_ms = 0;
    this.pinged_ms = 0;
    this.silent_after_ms = SILENT_MS;
    this.step_ms = 0;
    this.retry = 0;
    this.stepping = 0;
    this.awake = () => document.hidden || this.probe();
    this.offline = () => this.renew();
  }

  /** Connects, and stays connected. */
  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.attempts = 0;
    this.step_ms = Date.now();
    this.stepping = setInterval(() => this.step(), STEP_MS);
    document.addEventListener('visibilitychange', this.awake);
    window.addEventListener('online', this.awake);
    window.addEventListener('pageshow', this.awake);
    window.addEventListener('offline', this.offline);
    this.open();
  }

  /** Disconnects, for good unless started again. */
  stop() {
    this.wanted = false;
    clearInterval(this.stepping);
    clearTimeout(this.retry);
    this.retry = 0;
    document.removeEventListener('visibilitychange', this.awake);
    window.removeEventListener('online', this.awake);
    window.removeEventListener('pageshow', this.awake);
    window.removeEventListener('offline', this.offline);
    this.drop();
  }

  /** Sends, if somebody listens. */
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Learns that everything is well again: the next pause is the shortest. */
  well() {
    this.attempts = 0;
  }

  /** Loses the socket on purpose and tries again, as if the line had failed. */
  renew() {
    this.drop();
    this.again();
  }

  /** Tries to connect. */
  open() {
    clearTimeout(this.retry);
    this.retry = 0;
    if (!this.wanted || this.socket) return;
    const mine = new WebSocket(this.url);
    let was_open = false;
    this.socket = mine;
    this.heard_ms = this.pinged_ms = Date.now();
    this.silent_after_ms = SILENT_MS;
    mine.onopen = () => {
      was_open = true;
      this.heard();
      this.told.opened();
    };
    mine.onmessage = (event) => {
      this.heard();
      this.told.message(JSON.parse(event.data));
    };
    mine.onclose = (event) => this.closed(event.code, was_open);
  }

  /** Notes a sign of life. */
  heard() {
    this.heard_ms = Date.now();
    this.silent_after_ms = SILENT_MS;
  }

  /** Goes on after the other side, or the line, ended the socket. */
  closed(code, was_open) {
    this.drop();
    if (code === SESSION_ENDED) {
      this.stop();
      this.told.ended();
      return;
    }
    if (!was_open) this.told.refused();
    this.again();
  }

  /** Forgets the socket, whatever it still says. */
  drop() {
    const old = this.socket;
    if (!old) return;
    this.socket = null;
    old.onopen = old.onmessage = old.onclose = null;
    old.close();
  }

  /** Tries again after a pause that grows. */
  again() {
    if (!this.wanted || this.retry) return;
    const pause_ms = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.attempts);
    this.attempts += 1;
    this.retry = setTimeout(() => this.open(), pause_ms * (0.6 + 0.4 * Math.random()));
    this.told.lost(this.attempts);
  }

  /** Asks for a sign of life that must come soon, or tries at once when there is no socket. */
  probe() {
    if (!this.wanted) return;
    if (!this.socket) {
      this.open();
    } else if (this.socket.readyState === WebSocket.OPEN) {
      this.heard_ms = this.pinged_ms = Date.now();
      this.silent_after_ms = PROBE_MS;
      this.send({ op: 'ping' });
    }
  }

  /** Looks each second whether the socket lives; a second that took long was sleep. */
  step() {
    const at_ms = Date.now();
    const slept = at_ms - this.step_ms > SLEPT_MS;
    this.step_ms = at_ms;
    if (slept) {
      this.probe();
      return;
    }
    if (!this.socket) return;
    const silence_ms = at_ms - this.heard_ms;
    const quiet = silence_ms >= QUIET_MS && this.pinged_ms <= this.heard_ms;
    if (silence_ms > this.silent_after_ms) {
      this.renew();
    } else if (quiet || at_ms - this.pinged_ms >= PING_MS) {
      this.pinged_ms = at_ms;
      this.send({ op: 'ping' });
    }
  }
}
