// One chart on the screen: candles, price lines and their handles, fed from the store at most once a frame.

import {
  CandlestickSeries,
  CrosshairMode,
  LineStyle,
  createChart,
} from '../../vendor/lightweight-charts-5.2.1/lightweight-charts.js';
import { act, get, send } from '../api.js';
import { decimals_of, price as price_words, tick_round } from '../format.js';
import { store } from '../store.js';
import { on } from '../stream.js';
import { token } from '../theme.js';
import { CandleHistory, INTERVALS } from './chart_candles.js';
import { LineEdits } from './chart_edits.js';
import { lines_of, request_of, summary_of } from './chart_lines.js';

const PAGE_CANDLES = 500;
const OLDER_BELOW = 40; // candles left of the edge: then the page before is read
const AGAIN_MS = 3000;
const MISSED_MS = 5000; // without the socket: then candles may be missing
const SUMMARY_MS = 1000;
const EDGE_PX = 12; // a handle stays so far within the pane
const LOW_PX = 60; // so near to the bottom a question stands above its line
const STRETCH = 3; // lines widen the price axis up to so many times what the candles need
const COLOURS = { entry: '--accent', liquidation: '--warn', stop_loss: '--down', take_profit: '--up' };
const STYLES = { entry: LineStyle.Dotted, liquidation: LineStyle.LargeDashed };

/**
 * Puts a chart into an element; returns what its handles and its surroundings need of it.
 * @param {HTMLElement} host
 * @param {{market: string, tick: string, interval: string, told: (note: string) => void, legend: HTMLElement}} shown
 */
export function chart_view(host, { market, tick, interval, told, legend }) {
  const chart = createChart(host, chart_options());
  const priceFormat = { type: 'price', precision: decimals_of(tick), minMove: Number(tick) };
  const series = chart.addSeries(CandlestickSeries, { priceFormat });
  const leaving = new AbortController();
  const watchers = new Set();
  const tell = () => watchers.forEach((watcher) => watcher());
  const candles = new CandleHistory({
    series,
    width_ms: INTERVALS[interval],
    shift_ms: interval === '1d' ? 0 : -new Date().getTimezoneOffset() * 60_000,
    read: (cursor) => page_read(market, interval, cursor, leaving.signal),
    told,
  });
  const edits = new LineEdits({
    send: line_send,
    must_ask: () => store.get().settings.confirm,
    changed: () => (lines.draw(), tell()),
  });
  const lines = price_lines(series, edits);
  const rows = handle_rows(chart, series, lines, edits);
  colours();
  legend_follow(chart, series, candles, legend, tick);
  const history = history_follow(chart, candles, leaving.signal);
  const ends = [
    history.end,
    store_follow({ host, market, interval, candles, again: history.again, lines, edits, tell }),
    wishes_take(chart, series, tick),
  ];

  /** Takes the colours of the theme of now. */
  function colours() {
    chart.applyOptions(theme_options());
    series.applyOptions(candle_colours(token('--up'), token('--down')));
    lines.colours();
  }

  return {
    tick,
    chart,
    candles,
    edits,
    colours,
    lines: lines.all,
    row_put: rows.put,
    y_of: rows.y_of,
    price_at: (y) => tick_round(Math.max(Number(tick), series.coordinateToPrice(y) ?? 0), tick),
    /** Calls back when lines or edits changed; returns what ends that. */
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    stop() {
      leaving.abort('left'); // a text: an error's stack would keep this chart, and through it the one before
      ends.forEach((end) => end());
      edits.stop();
      candles.stop();
      watchers.clear();
      chart.remove();
    },
  };
}

/** Returns what the chart is made with, the colours left out. */
function chart_options() {
  return {
    autoSize: true,
    layout: { attributionLogo: true, fontFamily: token('--font'), fontSize: 11 },
    crosshair: { mode: CrosshairMode.Normal },
    handleScroll: { vertTouchDrag: false }, // a finger that goes up or down scrolls the page
    rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.12 }, minimumWidth: 60 },
    timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 6, barSpacing: 8 },
  };
}

/** Keeps an element's text at the candle under the crosshair, or at the last one. */
function legend_follow(chart, series, candles, element, tick) {
  let hovered;
  const look = () => {
    element.closest('.chart').dataset.candles = candles.count();
    legend_show(element, (hovered !== undefined && candles.at(hovered)) || candles.last(), tick);
  };
  chart.subscribeCrosshairMove(({ time }) => {
    hovered = time;
    look();
  });
  series.subscribeDataChanged(look);
  look();
}

/** Writes a candle's prices into the legend, and on the chart that there is one. */
function legend_show(element, bar, tick) {
  const prices = bar ? [['O', bar.open], ['H', bar.high], ['L', bar.low], ['C', bar.close]] : [];
  const shown = prices.map(([letter, text]) => `${letter} ${price_words(text, tick)}`).join('  ');
  if (element.textContent !== shown) element.textContent = shown;
  const { dataset } = element.closest('.chart');
  if (dataset.ready !== String(bar !== null)) dataset.ready = String(bar !== null);
}

/** Returns the colours of the theme of now. */
function theme_options() {
  const line = token('--line');
  return {
    layout: { background: { type: 'solid', color: token('--panel') }, textColor: token('--ink-dim') },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    rightPriceScale: { borderColor: line },
    timeScale: { borderColor: line },
    crosshair: { vertLine: { color: token('--ink-dim') }, horzLine: { color: token('--ink-dim') } },
  };
}

/** Returns the colours of candles. */
function candle_colours(up, down) {
  const rising = { upColor: up, borderUpColor: up, wickUpColor: up };
  return { ...rising, downColor: down, borderDownColor: down, wickDownColor: down };
}

/** Returns one page of candles, the newest first. */
function page_read(market, interval, cursor, signal) {
  const from = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
  return get(`/api/v1/market/${market}/candles?interval=${interval}&limit=${PAGE_CANDLES}${from}`, { signal });
}

/** Sends where a line was put; tells whether the venue accepted it. */
async function line_send(line, price) {
  const { method, path, body } = request_of(line, price);
  return (await act(`${line.words}: now at ${price}`, send(method, path, body))) !== null;
}

/** Reads the newest candles now, older ones as the reader goes left; returns how to read again, and what ends that. */
function history_follow(chart, candles, signal) {
  let timer = 0;
  const scale = chart.timeScale();

  async function again() {
    clearTimeout(timer);
    if (await candles.refresh()) edge();
    else if (!signal.aborted) timer = setTimeout(again, AGAIN_MS);
  }

  /** Reads pages as long as what is in sight reaches the oldest candle. */
  async function edge() {
    while (!signal.aborted && (scale.getVisibleLogicalRange()?.from ?? OLDER_BELOW) < OLDER_BELOW) {
      if (!(await candles.older())) return;
    }
  }

  scale.subscribeVisibleLogicalRangeChange(edge);
  again();
  return { again, end: () => clearTimeout(timer) };
}

/** Feeds a chart from the store, at most once a frame; returns what ends that. */
function store_follow({ host, market, interval, candles, again, lines, edits, tell }) {
  let seen = {};
  let read_ms = performance.now();
  let summary_due = true;

  function look(state) {
    const told = state.market === market ? state.candle_live : null;
    if (told && told !== seen.candle) candles.minute(told);
    if (state.positions !== seen.positions || state.orders !== seen.orders || state.valuation !== seen.valuation) {
      const now = lines_of({ ...state, market });
      lines.put(now);
      edits.follow(now);
      lines.draw();
      tell();
    }
    const live = state.connection.state === 'live';
    if (live && !seen.live && performance.now() - read_ms > MISSED_MS) {
      read_ms = performance.now();
      again();
    }
    const { positions, orders, valuation } = state;
    seen = { candle: told, positions, orders, valuation, live };
    summary_due = true;
  }

  const timer = setInterval(() => {
    if (!summary_due) return;
    summary_due = false;
    const state = store.get();
    const last = state.tickers[market]?.mark ?? candles.last()?.close;
    host.setAttribute('aria-label', summary_of(market, interval, last, lines.all()));
  }, SUMMARY_MS);
  const ends = [
    store.subscribe(look),
    on.candle((minute) => store.get().market === market && candles.minute(minute)),
    on.gap(({ scope }) => scope === 'market' && again()),
    () => clearInterval(timer),
  ];
  look(store.get());
  return () => ends.forEach((end) => end());
}

/** Lets a double click fill the ticket with the price under it; returns what ends that. */
function wishes_take(chart, series, tick) {
  function wish({ point, paneIndex }) {
    const price = point && paneIndex === 0 ? series.coordinateToPrice(point.y) : null;
    if (price !== null && price > 0) store.set({ ticket_wish: { price: tick_round(price, tick), at_ms: Date.now() } });
  }
  chart.subscribeDblClick(wish);
  return () => chart.unsubscribeDblClick(wish);
}

/** Returns the price lines of a series: they are changed where they stand, and only when something of them changed. */
function price_lines(series, edits) {
  let all = [];
  let palette = {};
  const drawn = new Map(); // id -> {line, key}

  function colours() {
    palette = Object.fromEntries(Object.entries(COLOURS).map(([kind, name]) => [kind, token(name)]));
    palette.buy = token('--up');
    palette.sell = token('--down');
    palette.text = token('--panel');
    for (const shown of drawn.values()) shown.key = '';
    draw();
  }

  function draw() {
    const ids = new Set(all.map((line) => line.id));
    for (const [id, shown] of drawn) {
      if (ids.has(id)) continue;
      series.removePriceLine(shown.line);
      drawn.delete(id);
    }
    for (const line of all) line_draw(line);
  }

  function line_draw(line) {
    const edit = edits.get(line.id);
    const price = edit?.price ?? line.price;
    const under_way = edit?.stage === 'sending' || edit?.stage === 'held';
    const style = under_way ? LineStyle.Dashed : (STYLES[line.kind] ?? LineStyle.Solid);
    const title = line.movable ? '' : line.words;
    const key = `${price}|${style}|${title}`;
    const shown = drawn.get(line.id);
    if (shown?.key === key) return;
    const options = {
      price: Number(price),
      title,
      color: palette[line.kind] ?? palette[line.side],
      axisLabelTextColor: palette.text,
      axisLabelVisible: true,
      lineStyle: style,
      lineWidth: 1,
    };
    if (shown) shown.line.applyOptions(options);
    drawn.set(line.id, { line: shown?.line ?? series.createPriceLine(options), key });
  }

  series.applyOptions({ autoscaleInfoProvider: (base) => stretched(base(), all) });
  return { put: (lines) => (all = lines), all: () => all, draw, colours };
}

/** Returns a price range with the lines in it that do not squeeze the candles. */
function stretched(info, lines) {
  if (!info?.priceRange) return info;
  let { minValue, maxValue } = info.priceRange;
  const room = (maxValue - minValue) * STRETCH;
  const middle = (maxValue + minValue) / 2;
  const away = (line) => Math.abs(Number(line.price) - middle);
  for (const line of [...lines].sort((one, other) => away(one) - away(other))) {
    const [low, high] = [Math.min(minValue, Number(line.price)), Math.max(maxValue, Number(line.price))];
    // A liquidation that is far away may be out of sight; what one drags may not.
    if (high - low > (line.kind === 'liquidation' ? room / 2 : room)) break;
    [minValue, maxValue] = [low, high];
  }
  return { ...info, priceRange: { minValue, maxValue } };
}

/** Returns the handles' elements, which move with the lines each time that the chart is painted. */
function handle_rows(chart, series, lines, edits) {
  const elements = new Map();

  /** Returns where a price stands, kept within the pane, and whether it lies beyond. */
  function y_of(price) {
    const height = chart.paneSize().height;
    const y = series.priceToCoordinate(Number(price)) ?? height / 2;
    const shown = Math.min(Math.max(y, EDGE_PX), Math.max(EDGE_PX, height - EDGE_PX));
    return { y: shown, beyond: shown > y ? 'up' : shown < y ? 'down' : '' };
  }

  function place(line, element) {
    const { y, beyond } = y_of(edits.get(line.id)?.price ?? line.price);
    const at = `translateY(${Math.round(y)}px)`;
    if (element.style.transform !== at) element.style.transform = at;
    if (element.dataset.beyond !== beyond) element.dataset.beyond = beyond;
    element.toggleAttribute('data-low', y > chart.paneSize().height - LOW_PX);
    const width = `${chart.paneSize().width}px`;
    if (element.style.width !== width) element.style.width = width;
  }

  function paint() {
    if (elements.size === 0) return;
    for (const line of lines.all()) {
      const element = elements.get(line.id);
      if (element) place(line, element);
    }
  }

  const views = [{ renderer: () => ({ draw: paint }) }];
  series.attachPrimitive({ paneViews: () => views });
  return {
    y_of,
    put(line, element) {
      elements.set(line.id, element);
      place(line, element);
      return () => elements.delete(line.id);
    },
  };
}
