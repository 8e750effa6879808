// Dark or light, and the other settings of this browser: kept in its storage, tolerant of there being none.

import { useEffect, useRef } from './html.js';
import { store } from './store.js';

const KEY = 'tidemark.settings';
const THEMES = ['auto', 'dark', 'light'];
const DENSITIES = ['normal', 'compact'];
const preferred = matchMedia('(prefers-color-scheme: light)');

/** Reads the settings, applies them, and follows the system's theme. */
export function theme_start() {
  store.set({ settings: { ...store.get().settings, ...read() } });
  apply();
  preferred.addEventListener('change', apply);
}

/** Changes settings, keeps them, and applies them. */
export function settings_set(patch) {
  const settings = { ...store.get().settings, ...patch };
  store.set({ settings });
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Without storage they hold until the page is closed.
  }
  apply();
}

/** Goes on to the other theme. */
export function theme_toggle() {
  settings_set({ theme: store.get().scheme === 'dark' ? 'light' : 'dark' });
}

/** Returns the value of a token of css/tokens.css as it is now, such as token('--up'): for canvases. */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Calls back whenever the theme has changed: for canvases. */
export function useScheme(callback) {
  const held = useRef(callback);
  held.current = callback;
  useEffect(() => {
    let scheme = store.get().scheme;
    return store.subscribe((state) => {
      if (state.scheme === scheme) return;
      scheme = state.scheme;
      held.current(scheme);
    });
  }, []);
}

/** Returns what is stored and can be used. */
function read() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '{}') ?? {};
    const found = {};
    if (THEMES.includes(stored.theme)) found.theme = stored.theme;
    if (typeof stored.confirm === 'boolean') found.confirm = stored.confirm;
    if (DENSITIES.includes(stored.density)) found.density = stored.density;
    if (typeof stored.market === 'string') found.market = stored.market;
    return found;
  } catch {
    return {};
  }
}

/** Puts the theme and the density on the document. */
function apply() {
  const { theme, density } = store.get().settings;
  const scheme = theme === 'auto' ? (preferred.matches ? 'light' : 'dark') : theme;
  document.documentElement.dataset.theme = scheme;
  document.documentElement.dataset.density = density;
  store.set({ scheme });
}
