// Where the page begins: who is signed in decides on the screen, the address after # on the market.

import { Dialogs } from './dialog.js';
import { html, render, useEffect, useState } from './html.js';
import { keyboard_start } from './keyboard.js';
import { lazy } from './lazy.js';
import { notices_start } from './notices.js';
import { TradeScreen } from './screens/trade.js';
import { session_end, session_heard, session_read, session_tell } from './session.js';
import { SignIn } from './sign_in.js';
import { store, useStore } from './store.js';
import { select_market, start } from './stream.js';
import { settings_set, theme_start } from './theme.js';
import { Toasts } from './toasts.js';
import { ready_start, updates_start, venue_read } from './venue.js';
import { explain } from './words.js';

const AGAIN_MS = 1000;
const ENDED = 'You were signed out: the session was ended elsewhere, or has expired. Nothing of your orders changed.';
const Sessions = lazy(() => import('./sessions.js'), 'Sessions');

/** Returns what the address after # asks for: {screen, market}. */
function route_read() {
  const [, screen, market] = location.hash.split('/');
  return { screen: screen === 'sessions' ? 'sessions' : 'trade', market: decodeURIComponent(market ?? '') };
}

/** Shows the market that the address names; else the one that is shown, or was last in this browser, or the first. */
function market_route() {
  const { market_names, market, settings } = store.get();
  const wanted = [route_read().market, market, settings.market, market_names[0]];
  const found = wanted.find((name) => market_names.includes(name));
  select_market(found);
  // The market is in the address from the start, so that Back leads to it again.
  if (route_read().screen === 'trade') history.replaceState(null, '', `#/trade/${encodeURIComponent(found)}`);
  if (settings.market !== found) settings_set({ market: found });
}

/** Begins: reads who is signed in and what is on offer, and connects; throws ApiError. */
async function begin() {
  const [signed_in] = await Promise.all([session_read(), venue_read()]);
  if (!signed_in) return false;
  session_tell();
  market_route();
  start();
  return true;
}

/** The page: starting, signing in, or a screen. */
function Page() {
  const [stage, put_stage] = useState('starting');
  const [trouble, put_trouble] = useState('');
  const session = useStore((state) => state.session);
  const [route, put_route] = useState(route_read());
  async function enter() {
    try {
      const signed_in = await begin();
      put_trouble('');
      put_stage(signed_in ? 'open' : 'signed_out');
    } catch (error) {
      put_trouble(explain(error).text || String(error));
      setTimeout(enter, AGAIN_MS);
    }
  }
  useEffect(() => {
    enter();
    const turn = () => {
      put_route(route_read());
      if (store.get().session) market_route();
    };
    window.addEventListener('hashchange', turn);
    return () => window.removeEventListener('hashchange', turn);
  }, []);
  useEffect(() => session_heard((news) => news === 'out' && store.get().session && session_end()), []);
  useEffect(() => {
    if (stage !== 'open' || session) return;
    if (store.get().farewell === null) session_end(ENDED);
    put_stage('signed_out');
  }, [stage, session]);
  const shown = stage === 'open' && session ? route.screen : stage === 'starting' ? 'starting' : 'sign-in';
  useEffect(() => {
    document.documentElement.dataset.screen = shown;
    if (shown !== 'trade') document.title = 'Tidemark';
  }, [shown]);
  return html`<${Screen} shown=${shown} trouble=${trouble} enter=${enter} />
    <${Toasts} /><${Dialogs} />`;
}

/** One screen. */
function Screen({ shown, trouble, enter }) {
  switch (shown) {
    case 'trade':
      return html`<${TradeScreen} />`;
    case 'sessions':
      return html`<${Sessions} />`;
    case 'sign-in':
      return html`<${SignIn} signed_in=${enter} />`;
    default:
      return html`<main class="gate">
        <div class="gate-box">
          <h1 class="brand brand-large">Tidemark</h1>
          <p class="dim" role="status">${trouble || 'Starting…'}</p>
        </div>
      </main>`;
  }
}

theme_start();
keyboard_start();
notices_start();
ready_start();
updates_start();
render(html`<${Page} />`, document.getElementById('app'));
