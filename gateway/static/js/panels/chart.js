// The chart: candles by width, the lines of positions and orders, and what stands under the crosshair.

import { html, useLayoutEffect, useRef, useState } from '../html.js';
import { useKey } from '../keyboard.js';
import { useStore } from '../store.js';
import { useScheme } from '../theme.js';
import { INTERVALS } from './chart_candles.js';
import { ChartHandles } from './chart_handles.js';
import { chart_view } from './chart_view.js';

const KEY = 'tidemark.interval';
const PAN_BARS = 10;
const ZOOM = 1.25;

/** The chart of the selected market. */
export function Chart() {
  const market = useStore((state) => state.market);
  const tick = useStore((state) => state.markets[state.market]?.tick);
  const [interval, choose] = useState(interval_kept);
  const [view, shown] = useState(null);
  const [note, told] = useState('');
  const host = useRef(null);
  const legend = useRef(null);

  useLayoutEffect(() => {
    if (!market || !tick) return undefined;
    told('');
    // No function of this component goes in: it would keep this draw's variables, and with them the chart before.
    const made = chart_view(host.current, { market, tick, interval, told, legend: legend.current });
    shown(made);
    return () => {
      shown(null);
      made.stop();
    };
  }, [market, tick, interval]);
  useScheme(() => view?.colours());
  useKey('g', 'To the chart', () => host.current.focus());

  return html`<section class="chart" aria-label="Chart" data-test="chart">
    <div class="chart-head">
      <${Intervals} chosen=${interval} choose=${(name) => (choose(name), interval_keep(name))} />
      <p class="chart-legend number" ref=${legend} aria-hidden="true"></p>
      <span class="chart-zone dim">${interval === '1d' ? 'UTC' : 'local time'}</span>
      <button type="button" class="btn btn-small" title="To the newest candle (End)" onClick=${() => newest_show(view)}>
        Newest
      </button>
    </div>
    <div class="chart-area">
      <div
        class="chart-host"
        ref=${host}
        role="figure"
        tabindex="0"
        aria-label="Chart"
        onKeyDown=${(event) => view && pan(event, view.chart)}
      ></div>
      ${view && html`<${ChartHandles} view=${view} />`}
      ${note && html`<p class="chart-note" role="status">${note}</p>`}
    </div>
  </section>`;
}

/** The widths of candles to choose from. */
function Intervals({ chosen, choose }) {
  return html`<div class="seg chart-intervals" role="group" aria-label="Width of the candles">
    ${Object.keys(INTERVALS).map(
      (name) => html`<button
        key=${name}
        type="button"
        aria-pressed=${name === chosen}
        onClick=${() => choose(name)}
      >
        ${name}
      </button>`,
    )}
  </div>`;
}

/** Brings the newest candle into sight. */
function newest_show(view) {
  view?.chart.timeScale().scrollToRealTime();
}

/** Moves and scales the chart with the keys while it has the focus itself. */
function pan(event, chart) {
  if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
  const scale = chart.timeScale();
  const range = scale.getVisibleLogicalRange();
  if (!range) return;
  const width = range.to - range.from;
  const acts = {
    ArrowLeft: () => scale.scrollToPosition(scale.scrollPosition() - PAN_BARS, false),
    ArrowRight: () => scale.scrollToPosition(scale.scrollPosition() + PAN_BARS, false),
    '+': () => scale.setVisibleLogicalRange({ from: range.to - width / ZOOM, to: range.to }),
    '-': () => scale.setVisibleLogicalRange({ from: range.to - width * ZOOM, to: range.to }),
    End: () => scale.scrollToRealTime(),
  };
  if (!acts[event.key]) return;
  event.preventDefault();
  event.stopPropagation();
  acts[event.key]();
}

/** Returns the width that was chosen last in this browser. */
function interval_kept() {
  try {
    const name = localStorage.getItem(KEY);
    return name in INTERVALS ? name : '1m';
  } catch {
    return '1m';
  }
}

/** Keeps the width for the next visit, where there is storage. */
function interval_keep(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // Without storage it holds until the page is closed.
  }
}
