// How the wallet balance went, as a curve, and the equity of now as it moves; uPlot draws it.

import uPlot from '../../vendor/uplot-1.6.32/uplot.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from '../html.js';
import { act, get } from '../api.js';
import { now_ms } from '../clock.js';
import { money, signed, time_full } from '../format.js';
import { store, useStore } from '../store.js';
import { on, place_seq } from '../stream.js';
import { token, useScheme } from '../theme.js';
import { explain } from '../words.js';
import { ActButton } from './act_button.js';
import { file_save } from './file_save.js';
import { Empty } from './table.js';

const DAY_MS = 86_400_000;
const RANGES = { '1D': DAY_MS, '7D': 7 * DAY_MS, '30D': 30 * DAY_MS, All: 0 };
const AGAIN_MS = 10_000; // movements of money draw the curve anew this often at most
const LIVE_EACH_MS = 2000;
const LIVE_MAX = 600;
const HEIGHT_PX = 190;

/** Returns the columns that uPlot draws: seconds, the balance, and the equity where it is known. */
export function columns_of(points, trail) {
  const oldest_first = [...points].reverse();
  const balance = oldest_first.at(-1)?.balance;
  const all = [...oldest_first, ...trail.map((each) => ({ balance, ...each }))];
  const number = (text) => (text === undefined ? null : Number(text)); // coordinates, not money
  return [
    all.map((each) => each.time_us / 1e6),
    all.map((each) => number(each.balance)),
    all.map((each) => number(each.equity)),
  ];
}

/** The tab of the equity curve. */
export function Equity() {
  const acting = useStore((state) => state.acting);
  const [range, choose] = useState('All');
  const [curve, put] = useState({ items: [], interval: '', error: null, loading: true });
  const again = useCurve(acting, range, put);
  const trail = useTrail(acting);
  const [newest, oldest] = [curve.items[0], curve.items.at(-1)];
  return html`<div class="tab-tools">
      <span class="seg" role="group" aria-label="Range">
        ${Object.keys(RANGES).map(
          (name) =>
            html`<button
              key=${name}
              type="button"
              class="btn btn-small"
              data-test=${`equity-${name}`}
              aria-pressed=${name === range}
              onClick=${() => choose(name)}
            >
              ${name}
            </button>`,
        )}
      </span>
      <${Now} />
      <${ActButton} test="equity-csv" style="btn-small" disabled=${!curve.items.length} press=${() => csv_write(curve)}
        >CSV<//>
    </div>
    ${
      curve.error &&
      html`<p class="empty" role="alert">
        ${explain(curve.error).title}. ${explain(curve.error).text}
        <button type="button" class="btn btn-small" onClick=${again}>Try again</button>
      </p>`
    }
    ${
      !curve.error &&
      curve.items.length < 2 &&
      !curve.loading &&
      html`<${Empty} name="equity"
        >Nothing has moved yet. The wallet balance is drawn here from the first fee or result on.<//>`
    }
    ${
      curve.items.length > 1 &&
      html`<${Plot}
          points=${curve.items}
          trail=${trail}
          label=${curve_words(oldest, newest)}
        />
        <p class="note">
          The wallet balance after each movement of money (steps of ${curve.interval}), deposits and resets included;
          the equity adds what open positions would bring, and is drawn from now on.
        </p>`
    }`;
}

/** Returns a curve in words. */
function curve_words(oldest, newest) {
  const [from, to] = [money(oldest.balance), money(newest.balance)];
  return `Wallet balance from ${from} at ${time_full(oldest.time_us)} to ${to} now`;
}

/** The equity and the balance of this moment, in words. */
function Now() {
  const account = useStore((state) => state.valuation?.account);
  if (!account) return null;
  return html`<span class="live"
    >Equity <b class="number" data-test="equity-now" title=${account.equity}>${money(account.equity)}</b> USDC,
    unrealised ${signed(account.pnl_unrealised)}</span
  >`;
}

/** Reads the curve when the range or the account changes, after a gap, and now and then when money moved. */
function useCurve(acting, range, put) {
  const read = useRef(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    let asked_ms = 0;
    put((before) => ({ ...before, loading: true, error: null }));
    read.current = async () => {
      clearTimeout(timer);
      timer = 0;
      asked_ms = performance.now();
      const from = RANGES[range] ? `&from_ms=${Math.floor(now_ms() - RANGES[range])}` : '';
      try {
        const body = await get(`/api/v1/account/history/equity?wait_seq=${place_seq()}${from}`, {
          signal: stop.signal,
        });
        put({ items: body.items, interval: body.interval, error: null, loading: false });
      } catch (error) {
        if (!stop.signal.aborted) put((before) => ({ ...before, error, loading: false }));
      }
    };
    const later = () => {
      if (!timer) timer = setTimeout(() => read.current(), Math.max(500, AGAIN_MS - (performance.now() - asked_ms)));
    };
    read.current();
    const undo = [
      on.ledger(({ reason }) => reason !== 'margin' && later()),
      on.gap(({ scope }) => scope === 'private' && read.current()),
    ];
    return () => {
      stop.abort();
      clearTimeout(timer);
      undo.forEach((end) => end());
    };
  }, [acting, range]);
  return () => read.current();
}

/** Returns the equity of now every two seconds since the tab was opened. */
function useTrail(acting) {
  const [trail, put] = useState([]);
  useEffect(() => {
    put([]);
    const timer = setInterval(() => {
      const account = store.get().valuation?.account;
      if (account && store.get().connection.state === 'live') {
        put((before) => [...before, { time_us: now_ms() * 1000, equity: account.equity }].slice(-LIVE_MAX));
      }
    }, LIVE_EACH_MS);
    return () => clearInterval(timer);
  }, [acting]);
  return trail;
}

/** Saves the curve as it is shown. */
function csv_write(curve) {
  const lines = curve.items.map((each) => [each.time_us, each.balance, each.equity ?? ''].join(','));
  file_save('equity.csv', ['time_us,balance,equity\r\n', ...lines.map((line) => `${line}\r\n`)]);
  return act(`Saved ${lines.length} rows as equity.csv`, Promise.resolve({}));
}

/** The curve itself. */
function Plot({ points, trail, label }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [scheme, put_scheme] = useState(store.get().scheme);
  useScheme(put_scheme);
  const columns = columns_of(points, trail);
  useLayoutEffect(() => {
    plot.current = new uPlot(options(box.current.clientWidth), columns, box.current);
    const watch = new ResizeObserver(() =>
      plot.current.setSize({ width: Math.max(200, box.current.clientWidth), height: HEIGHT_PX }),
    );
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      plot.current.destroy();
    };
  }, [scheme]);
  useLayoutEffect(() => plot.current.setData(columns), [points, trail]);
  return html`<div
    ref=${box}
    class="equity-plot"
    role="img"
    aria-label=${label}
    data-test="equity-chart"
    data-points=${points.length}
  ></div>`;
}

/** Returns the label of a time on the axis: as exact as the step between two of them asks for. */
function time_words(seconds, step) {
  const [day, clock] = time_full(seconds * 1e6).split(' ');
  if (step >= DAY_MS / 1000) return day.slice(5);
  return clock.slice(0, step < 60 ? 8 : 5);
}

/** Returns how uPlot is to draw, in the colours of the theme. */
function options(width) {
  const [text, line, accent, soft] = ['--ink-dim', '--line', '--accent', '--up'].map(token);
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const shown = (_plot, value) => (value === null ? '–' : value.toFixed(2));
  return {
    width: Math.max(200, width),
    height: HEIGHT_PX,
    cursor: { drag: { x: true, y: false } },
    series: [
      { label: 'Time', value: (_plot, seconds) => (seconds === null ? '–' : time_full(seconds * 1e6)) },
      { label: 'Wallet balance', stroke: accent, width: 2, paths: uPlot.paths.stepped({ align: 1 }), value: shown },
      { label: 'Equity', stroke: soft, width: 1, dash: [4, 3], spanGaps: true, points: { show: false }, value: shown },
    ],
    axes: [
      {
        ...axis,
        space: 80,
        values: (_plot, ticks, _axis, _space, step) => ticks.map((tick) => time_words(tick, step)),
      },
      { ...axis, size: 70, values: (_plot, ticks) => ticks.map((tick) => tick.toLocaleString('en-US')) },
    ],
  };
}
