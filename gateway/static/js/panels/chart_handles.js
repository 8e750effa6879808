// The handles of lines that can be moved: outside the canvas, for mouse, touch and keys alike.

import { compare, tick_step } from '../format.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from '../html.js';
import { store } from '../store.js';
import { limit_at } from './chart_lines.js';

const STEPS = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

/**
 * The handles of a chart; they are drawn anew when lines come, go or are moved, not when prices tick.
 * @param {{view: object}} props what chart_view() returned
 */
export function ChartHandles({ view }) {
  const [, draw] = useState(0);
  useEffect(() => {
    draw((count) => count + 1);
    return view.watch(() => draw((count) => count + 1));
  }, [view]);
  const movable = view.lines().filter((line) => line.movable);
  const fixed = view.lines().filter((line) => !line.movable);
  return html`<div class="chart-handles" role="group" aria-label="Lines that can be moved">
    <p class="visually-hidden" id="chart-handle-keys">
      Arrow keys move by a tick, with Shift by ten; Enter sends, Escape restores.
    </p>
    ${movable.map(
      (line) => html`<${Handle} key=${line.id} view=${view} line=${line} edit=${view.edits.get(line.id)} />`,
    )}
    ${fixed.map(
      ({ id, kind, price }) =>
        html`<span key=${id} hidden data-test="line" data-id=${id} data-kind=${kind} data-price=${price}></span>`,
    )}
  </div>`;
}

/** One handle: the strip along the line, its words and price, and the question once it was moved. */
function Handle({ view, line, edit }) {
  const row = useRef(null);
  useLayoutEffect(() => view.row_put(line, row.current), [view, line, edit]);
  const price = edit?.price ?? line.price;
  const busy = view.edits.busy(line.id);
  return html`<div
    ref=${row}
    class="chart-row"
    data-test="line"
    data-price=${price}
    data-id=${line.id}
    data-kind=${line.kind}
    data-side=${line.side}
    data-stage=${edit?.stage ?? ''}
  >
    <div
      class="chart-grip"
      role="slider"
      tabindex="0"
      aria-orientation="vertical"
      aria-label=${line.words}
      aria-describedby="chart-handle-keys"
      aria-valuemin="0"
      aria-valuemax=${Number(price) * 2}
      aria-valuenow=${Number(price)}
      aria-valuetext=${busy ? `${price}, under way` : edit ? `${price}, not sent` : price}
      aria-busy=${busy}
      onPointerDown=${(event) => drag(event, view, line)}
      onKeyDown=${(event) => key(event, view, line)}
      onWheel=${(event) => wheel(event)}
    >
      <span class="chart-pill">
        <span aria-hidden="true" class="chart-pill-grip">⠿</span> ${line.words} <span class="number">${price}</span>
        ${busy && html` <span>…</span>`}
      </span>
    </div>
    ${edit?.stage === 'asked' && html`<${Question} view=${view} line=${line} price=${price} />`}
  </div>`;
}

/** The question after a move: old and new price, what follows from it, yes and no. */
function Question({ view, line, price }) {
  const limit = limit_at(line, price);
  const remark = remark_of(line, price, store.get());

  /** Answers; the focus goes back to the line, for the buttons go away. */
  function answer(event, act) {
    event.currentTarget.closest('.chart-row').querySelector('.chart-grip').focus({ preventScroll: true });
    act();
  }

  function escape(event) {
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    answer(event, () => view.edits.restore(line));
  }

  return html`<div class="chart-question" role="group" aria-label=${`Move ${line.words}?`} onKeyDown=${escape}>
    <span class="number">${line.price} → <b>${price}</b>${limit === undefined ? '' : ` (limit ${limit})`}</span>
    ${remark && html`<span class="chart-remark">${remark}</span>`}
    <button
      type="button"
      class="btn btn-small btn-accent"
      aria-label="Send the new price"
      title="Send (Enter)"
      onClick=${(event) => answer(event, () => view.edits.submit(line))}
    >
      ✓
    </button>
    <button
      type="button"
      class="btn btn-small"
      aria-label="Leave it where it was"
      title="Restore (Escape)"
      onClick=${(event) => answer(event, () => view.edits.restore(line))}
    >
      ✗
    </button>
  </div>`;
}

/**
 * Returns what a reader should know before a line goes to a price, empty when there is nothing.
 * @param {import('./chart_lines.js').Line} line
 * @param {string} price
 * @param {object} state the store's
 */
export function remark_of(line, price, state) {
  const ticker = state.tickers[state.market] ?? {};
  if (line.kind === 'limit') {
    const { bid, ask } = ticker;
    const takes = line.side === 'buy' ? ask && compare(price, ask) >= 0 : bid && compare(price, bid) <= 0;
    return takes ? 'reaches the quote: fills now' : '';
  }
  const position = state.positions[line.position_id];
  const valued = state.valuation?.positions?.[line.position_id];
  const liquidation = valued?.price_liquidation_estimate ?? valued?.price_liquidation ?? position?.price_liquidation;
  if (line.kind !== 'stop_loss' || !liquidation) return '';
  const beyond = line.side === 'sell' ? compare(price, liquidation) <= 0 : compare(price, liquidation) >= 0;
  return beyond ? 'beyond liquidation' : '';
}

/** Moves a line with the keys; what is not its own key goes on to the page. */
function key(event, view, line) {
  const steps = STEPS[event.key];
  const edit = view.edits.get(line.id);
  if (steps) {
    const count = event.shiftKey && Math.abs(steps) === 1 ? steps * 10 : steps;
    view.edits.move(line, tick_step(edit?.price ?? line.price, view.tick, count), 'asked');
  } else if (event.key === 'Enter' && edit) {
    view.edits.submit(line);
  } else if (event.key === 'Escape' && edit) {
    view.edits.restore(line);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

/** Moves a line with the pointer, at most once a frame, until it is let go. */
function drag(event, view, line) {
  if (event.button !== 0 || view.edits.busy(line.id)) return;
  event.preventDefault();
  const grip = event.currentTarget;
  grip.focus({ preventScroll: true });
  grip.setPointerCapture(event.pointerId);
  const begun_y = event.clientY;
  const line_y = view.y_of(view.edits.get(line.id)?.price ?? line.price).y;
  let frame = 0;
  let wanted_y = begun_y;
  let moved = false;

  function move_now() {
    frame = 0;
    // Gone: the venue moved or ended the line meanwhile, or Escape was pressed.
    if (moved && view.edits.get(line.id)?.stage !== 'moving') return end();
    moved = true;
    view.edits.move(line, view.price_at(line_y + wanted_y - begun_y), 'moving');
  }

  function move(moving) {
    if (!moved && Math.abs(moving.clientY - begun_y) < 2) return;
    wanted_y = moving.clientY;
    frame ||= requestAnimationFrame(move_now);
  }

  function end() {
    cancelAnimationFrame(frame);
    grip.removeEventListener('pointermove', move);
    grip.removeEventListener('pointerup', up);
    grip.removeEventListener('pointercancel', cancel);
  }

  function up() {
    if (frame) move_now();
    end();
    view.edits.release(line);
  }

  function cancel() {
    end();
    view.edits.restore(line);
  }

  grip.addEventListener('pointermove', move);
  grip.addEventListener('pointerup', up);
  grip.addEventListener('pointercancel', cancel);
}

/** Lets the wheel act on the chart below a handle. */
function wheel(event) {
  const below = event.currentTarget.closest('.chart-area')?.querySelector('.tv-lightweight-charts');
  if (!below) return;
  event.preventDefault();
  below.dispatchEvent(new WheelEvent('wheel', event));
}
