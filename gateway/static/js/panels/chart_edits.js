// Lines that are being moved: from the first pixel to the venue's answer. No DOM and no chart in here.

const HELD_MS = 3000; // a line that was sent stays where it was put at most so long without an event that says so

/**
 * Stages of an edit: `moving` (under the pointer), `asked` (let go, to be confirmed), `sending` (under way), `held`
 * (accepted; the event that says so is about to come).
 * @typedef {{price: string, from: string, stage: 'moving'|'asked'|'sending'|'held'}} Edit
 */

/** The edits of one chart, by line. */
export class LineEdits {
  #wiring;
  #edits = new Map();
  #timers = new Set();

  /**
   * Starts without edits.
   * @param {object} wiring
   * @param {(line: object, price: string) => Promise<boolean>} wiring.send tells whether the venue accepted
   * @param {() => boolean} wiring.must_ask whether a change by pointer waits for a confirmation
   * @param {() => void} wiring.changed is called after every change of any edit
   */
  constructor(wiring) {
    this.#wiring = wiring;
  }

  /** Returns a line's edit, undefined while it stands where the venue has it. @returns {Edit|undefined} */
  get(id) {
    return this.#edits.get(id);
  }

  /** Returns whether a line is on its way to the venue, or was accepted and not yet told. */
  busy(id) {
    const stage = this.#edits.get(id)?.stage;
    return stage === 'sending' || stage === 'held';
  }

  /** Puts a line somewhere, not sent yet. */
  move(line, price, stage) {
    if (this.busy(line.id)) return;
    const from = this.#edits.get(line.id)?.from ?? line.price;
    this.#put(line.id, { price, from, stage });
  }

  /** Takes the line back to where the venue has it. */
  restore(line) {
    if (this.#edits.has(line.id) && !this.busy(line.id)) this.#put(line.id, null);
  }

  /** Ends a move by pointer: asks, or sends at once. */
  release(line) {
    const edit = this.#edits.get(line.id);
    if (edit?.stage !== 'moving') return;
    if (edit.price === edit.from) this.#put(line.id, null);
    else if (this.#wiring.must_ask()) this.#put(line.id, { ...edit, stage: 'asked' });
    else this.submit(line);
  }

  /** Sends where the line stands now; it returns when the venue refuses. */
  async submit(line) {
    const edit = this.#edits.get(line.id);
    if (!edit || this.busy(line.id)) return;
    if (edit.price === edit.from) {
      this.#put(line.id, null);
      return;
    }
    const mine = { ...edit, stage: 'sending' };
    this.#put(line.id, mine);
    const accepted = await this.#wiring.send(line, edit.price);
    if (this.#edits.get(line.id) !== mine) return; // the event was faster, or the line is gone
    if (accepted) this.#hold(line.id, { ...edit, stage: 'held' });
    else this.#put(line.id, null);
  }

  /** Lets lines follow that the venue has moved or ended meanwhile. */
  follow(lines) {
    if (this.#edits.size === 0) return;
    const prices = new Map(lines.map((line) => [line.id, line.price]));
    const gone = [...this.#edits].filter(([id, edit]) => prices.get(id) !== edit.from);
    for (const [id] of gone) this.#edits.delete(id);
    if (gone.length > 0) this.#wiring.changed();
  }

  /** Forgets everything. */
  stop() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#edits.clear();
  }

  /** Keeps a line where it was accepted until an event tells of it, but not for ever. */
  #hold(id, held) {
    this.#put(id, held);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#edits.get(id) === held) this.#put(id, null);
    }, HELD_MS);
    this.#timers.add(timer);
  }

  #put(id, edit) {
    if (edit === null) this.#edits.delete(id);
    else this.#edits.set(id, edit);
    this.#wiring.changed();
  }
}
