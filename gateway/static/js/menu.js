// The menus of the top bar: help with links, and the account with settings; a button that discloses a list.

import { sign_out } from './session.js';
import { ApiError } from './api.js';
import { confirm_dialog } from './dialog.js';
import { html, useEffect, useRef, useState } from './html.js';
import { keys_show } from './keyboard.js';
import { shallow, useStore } from './store.js';
import { settings_set, theme_toggle } from './theme.js';
import { toast_refused } from './toasts.js';

/** A button that shows what is inside it until something in it is chosen, Escape is pressed or the focus leaves. */
export function Menu({ name, label, test, children }) {
  const [open, put_open] = useState(false);
  const box = useRef(null);
  const button = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event) => box.current.contains(event.target) || put_open(false);
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open]);
  function key(event) {
    if (event.key !== 'Escape' || !open) return;
    event.stopPropagation();
    put_open(false);
    button.current.focus();
  }
  function chosen(event) {
    if (!event.target.closest('a, button')) return;
    put_open(false);
    button.current.focus(); // a dialog that opens now gives the focus back to it
  }
  const leave = (event) => event.relatedTarget && !box.current.contains(event.relatedTarget) && put_open(false);
  return html`<div class="menu" ref=${box} onKeyDown=${key} onFocusOut=${leave}>
    <button
      ref=${button}
      type="button"
      class="btn btn-quiet"
      aria-expanded=${open}
      aria-label=${label}
      title=${label}
      data-test=${test}
      onClick=${() => put_open(!open)}
    >
      ${name}
    </button>
    ${open && html`<div class="menu-list" onClick=${chosen}>${children}</div>`}
  </div>`;
}

/** Help: keys, documents, the operator's page. */
export function HelpMenu() {
  const operator = useStore((state) => state.session?.role === 'operator');
  const venue = useStore((state) => state.venue, shallow);
  return html`<${Menu} name="?" label="Help" test="help">
    <button type="button" onClick=${keys_show}>Keys <kbd>?</kbd></button>
    <a href="/docs" target="_blank" rel="noopener">The API, to read</a>
    <a href="/openapi.json" target="_blank" rel="noopener">OpenAPI document</a>
    <a href="/asyncapi.json" target="_blank" rel="noopener">AsyncAPI document</a>
    <a href="/api/v1/errors" target="_blank" rel="noopener">What each refusal means</a>
    <a href="/ready" target="_blank" rel="noopener">Is everything up?</a>
    <a href="/ops">${operator ? 'Operator’s view' : 'Operator’s view (needs the role)'}</a>
    <p class="menu-note">
      ${venue && html`Venue ${venue.venue}, rules ${venue.rules}, ${venue.env} money.<br />`} Charts by${' '}
      <a href="https://www.tradingview.com/" target="_blank" rel="noopener">TradingView</a> Lightweight Charts™.
    </p>
  <//>`;
}

/** The account: settings of this browser, sessions, signing out. */
export function AccountMenu() {
  const { acting, settings, scheme, sub } = useStore(
    ({ acting, settings, scheme, accounts }) => ({
      acting,
      settings,
      scheme,
      sub: accounts.find((each) => each.account_id === acting)?.sub ?? 0,
    }),
    shallow,
  );
  const label = sub ? `Sub-account ${sub} (${acting})` : `Account ${acting}`;
  const words = sub ? label : html`<span class="menu-word">Account </span>${acting}`;
  const name = html`<span class=${sub ? 'chip chip-accent' : ''} data-test="account-name">${words}</span>${' '}
    <span aria-hidden="true">▾</span>`;
  return html`<${Menu}
    name=${name}
    label=${`${label}: settings and signing out`}
    test="account-menu"
  >
    <a href="#/sessions">Sessions</a>
    <button type="button" data-test="theme" onClick=${theme_toggle}>
      ${scheme === 'dark' ? 'Light theme' : 'Dark theme'} <kbd>t</kbd>
    </button>
    <button type="button" onClick=${() => settings_set({ theme: 'auto' })} aria-pressed=${settings.theme === 'auto'}>
      ${settings.theme === 'auto' ? '✓ ' : ''}Theme of the system
    </button>
    <button
      type="button"
      aria-pressed=${settings.density === 'compact'}
      onClick=${() => settings_set({ density: settings.density === 'compact' ? 'normal' : 'compact' })}
    >
      ${settings.density === 'compact' ? '✓ ' : ''}Compact tables
    </button>
    <button
      type="button"
      aria-pressed=${settings.confirm}
      onClick=${() => settings_set({ confirm: !settings.confirm })}
    >
      ${settings.confirm ? '✓ ' : ''}Ask before closing and dragging
    </button>
    <button type="button" data-test="sign-out" onClick=${out}>Sign out</button>
  <//>`;
}

/** Signs out here, once more asked. */
async function out() {
  const asked = { title: 'Sign out?', text: 'Orders and positions stay as they are.', yes: 'Sign out' };
  if (!(await confirm_dialog(asked))) return;
  try {
    await sign_out();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toast_refused(error);
  }
}
