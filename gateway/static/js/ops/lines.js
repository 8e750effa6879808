// Small lines of the last five minutes, drawn by uPlot from the memory of this page.

import { html, useEffect, useRef } from '../html.js';
import { time } from '../format.js';
import uPlot from '../../vendor/uplot-1.6.32/uplot.js';
import { token, useScheme } from '../theme.js';
import { Panel } from './parts.js';
import { extremes } from './rates.js';

const HEIGHT = 96;
const SPAN_S = 300;
const LINES = [
  { name: 'entries', title: 'Entries a second', unit: '/s', decimals: 1 },
  { name: 'lag', title: 'Largest lag of a process', unit: ' entries', decimals: 0 },
  { name: 'pause_ms', title: 'Pause of the last snapshot', unit: ' ms', decimals: 1 },
];

/** Rates over time; they begin when the page is opened and are gone with it. */
export function Lines({ rates, dim }) {
  return html`
    <${Panel} name="rates" title="Last five minutes" note="kept by this page alone, from when it was opened" dim=${dim}>
      <div class="ops-lines">
        ${LINES.map((line) => html`<${Line} key=${line.name} ...${line} times=${rates.time_s} values=${rates[line.name]} />`)}
      </div>
    <//>
  `;
}

function Line({ name, title, unit, decimals, times, values }) {
  const place = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const made = new uPlot(options_of(place.current), [times, values], place.current);
    plot.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: place.current.clientWidth || 200, height: HEIGHT }));
    fit.observe(place.current);
    return () => {
      fit.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => plot.current.setData([times, values]), [times, values]);
  useScheme(() => plot.current.redraw(false, true));
  const { last, most } = extremes(values);
  const said = (value) => (value === null ? 'not known' : `${value.toFixed(decimals)}${unit}`);
  return html`
    <figure class="ops-line" data-test="line" data-name=${name} data-points=${times.length}>
      <figcaption>${title} <strong>${said(last)}</strong> ${most !== null && html`<span class="muted">most ${said(most)}</span>`}</figcaption>
      <div ref=${place} role="img" aria-label=${`${title}: now ${said(last)}, at most ${said(most)} in these minutes`}></div>
    </figure>
  `;
}

function clocks_of(_plot, times_s) {
  return times_s.map((time_s) => time(time_s * 1_000_000).slice(-8, -3));
}

function options_of(place) {
  const colour = (name) => () => token(name) || 'gray'; // asked at each drawing: the theme may change
  const axis = { stroke: colour('--ink-dim'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '11px sans-serif' };
  return {
    width: place.clientWidth || 200,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: false },
    scales: {
      x: { range: (_plot, _least, last) => [(last || SPAN_S) - SPAN_S, last || SPAN_S] },
      y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 1] },
    },
    axes: [{ ...axis, size: 22, space: 60, values: clocks_of }, { ...axis, size: 44 }],
    series: [{}, { stroke: colour('--accent'), width: 1.5, points: { show: false }, spanGaps: false }],
  };
}
