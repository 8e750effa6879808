// The bar of the selected market: what it costs now, how that stands to a day ago, and how good the figure is.

import { now_ms, useNow } from '../clock.js';
import { useFeed } from '../feed.js';
import { arrow, coin, countdown, duration, percent, price, quantity, rate, time_full, trend } from '../format.js';
import { html, useEffect, useRef } from '../html.js';
import { store, useStore } from '../store.js';
import { MarketPicker } from './market_picker.js';
import { market_words } from './market_words.js';

const TITLE_MS = 1000;
const LATE_MS = 3000;
const FEED_WORDS = { fresh: 'Fresh', late: 'Late', stale: 'Stale', lost: 'Not connected', none: 'No price yet' };

/** The bar of the selected market. */
export function MarketBar() {
  const market = useStore((state) => state.market);
  const feed = useFeed(market);
  useTitle(market);
  return html`<div class="market-bar">
    <${MarketPicker} />
    <dl class="market-figures">
      <${Figure} words="Mark" market=${market} large of=${(ticker, tick) => price(ticker.mark, tick)} test="mark" />
      <${Change} market=${market} />
      <${Funding} market=${market} />
      <${Figure} words="Index" market=${market} of=${(ticker, tick) => price(ticker.index, tick)} test="index" />
      <${Figure}
        words="Open interest"
        market=${market}
        of=${(ticker) => interest_words(ticker, market)}
        test="open-interest"
      />
    </dl>
    <${Feed} market=${market} feed=${feed} />
  </div>`;
}

/** Returns the open interest with its coin. */
function interest_words(ticker, market) {
  return ticker.open_interest ? `${quantity(ticker.open_interest)} ${coin(market)}` : '–';
}

/** One figure of the ticker; it is drawn anew only when its own text changed. */
function Figure({ words, market, of, test, large = false }) {
  const text = useStore((state) => {
    const ticker = state.tickers[market];
    return ticker ? of(ticker, state.markets[market]?.tick) : '–';
  });
  return html`<div class=${`market-figure ${large ? 'is-large' : ''}`}>
    <dt>${words}</dt>
    <dd class="number live" data-test=${test}>${text}</dd>
  </div>`;
}

/** How the price stands against a day ago: with sign, arrow and colour. */
function Change({ market }) {
  const change = useStore((state) => state.tickers[market]?.change_24h);
  const open = useStore((state) => state.tickers[market]?.open_24h);
  const open_ms = useStore((state) => state.tickers[market]?.open_24h_ms);
  const shown = change === undefined ? '–' : `${arrow(change)} ${percent(change)}`;
  const since = open_ms ? `, ${time_full(open_ms * 1000)}` : '';
  const title = change === undefined ? 'Not known yet: there is no earlier price' : `From ${open}${since}`;
  return html`<div class="market-figure" title=${title}>
    <dt>24 h</dt>
    <dd class=${`number live ${change === undefined ? '' : trend(change)}`} data-test="change-24h">${shown}</dd>
  </div>`;
}

/** The funding rate and when it is due, by the venue's clock. */
function Funding({ market }) {
  const text = useStore((state) => state.tickers[market]?.funding_rate);
  const due_ms = useStore((state) => state.tickers[market]?.funding_next_ms);
  const at_ms = useNow(1000);
  const payer = { up: 'longs pay shorts', down: 'shorts pay longs', flat: 'nobody pays' }[trend(text ?? '0')];
  const left = due_ms ? countdown(due_ms - at_ms) : '';
  return html`<div class="market-figure" title=${text === undefined ? '' : `${text}: ${payer}`}>
    <dt>Funding / in</dt>
    <dd class="number live" data-test="funding">
      ${text === undefined ? '–' : rate(text)} <span class="dim">${left}</span>
    </dd>
  </div>`;
}

/** Where the prices come from and how old the newest is: a light, and the same in words. */
function Feed({ market, feed }) {
  const source = useStore((state) => state.tickers[market]?.source);
  const simulated = useStore((state) => Boolean(state.tickers[market]?.simulated));
  const whence = simulated ? 'simulated' : (source ?? 'feed');
  const at_ms = useNow(1000);
  const title = feed.sentence || 'Where the prices come from';
  const late = feed.state === 'fresh' && at_ms - (store.get().tickers[market]?.quote_us ?? 0) / 1000 > LATE_MS;
  const shown = late ? 'late' : feed.state;
  return html`<p class="market-feed" data-test="feed" data-state=${feed.state} title=${title}>
    <span class="dot" data-state=${late ? 'stale' : feed.state} aria-hidden="true"></span>
    <span>
      <b>${FEED_WORDS[shown]}</b>${' '}
      <span class="dim">${whence} · <${Age} market=${market} /></span>
    </span>
  </p>`;
}

/** How old the newest quote is; counted by time and not by quotes, so that a fast market costs nothing. */
function Age({ market }) {
  const place = useRef(null);
  useNow(500);
  useEffect(() => quote_tell(place.current, market), [market]);
  const quote_us = store.get().tickers[market]?.quote_us;
  const age_ms = Math.max(0, now_ms() - (quote_us ?? 0) / 1000);
  const shown = age_ms < 10_000 ? `${(age_ms / 1000).toFixed(1)} s` : duration(age_ms);
  return html`<span ref=${place} class="number" data-test="quote-age" title="Age of the newest quote">
    ${quote_us ? shown : 'no quote yet'}
  </span>`;
}

/** Writes with every drawn ticker which quote it is of, for whoever measures how late the page is. */
function quote_tell(element, market) {
  const tell = ({ tickers }) => {
    const text = String(tickers[market]?.quote_us ?? '');
    if (element.dataset.quoteUs !== text) element.dataset.quoteUs = text;
  };
  tell(store.get());
  return store.subscribe(tell);
}

/** Puts the mark into the window's title, so that it is seen from another tab. */
function useTitle(market) {
  useEffect(() => {
    if (!market) return undefined;
    const show = () => {
      const { tickers, markets } = store.get();
      const mark = tickers[market]?.mark;
      const title = `${mark ? `${price(mark, markets[market]?.tick)} ` : ''}${market_words(market)} · Tidemark`;
      if (document.title !== title) document.title = title;
    };
    show();
    const timer = setInterval(show, TITLE_MS);
    return () => clearInterval(timer);
  }, [market]);
}
