// Where the account is signed in: a list, signing out there, signing out here.

import { act, get, send } from './api.js';
import { confirm_dialog } from './dialog.js';
import { ago, time_full } from './format.js';
import { html, useEffect, useState } from './html.js';
import { sign_out } from './session.js';
import { now_ms } from './clock.js';
import { explain } from './words.js';

/** The sessions, newest first. */
export function Sessions() {
  const [items, put_items] = useState(null);
  const [refused, put_refused] = useState('');
  async function read() {
    try {
      put_items((await get('/api/v1/auth/sessions')).items);
      put_refused('');
    } catch (error) {
      const { title, text } = explain(error);
      put_refused(`${title}. ${text}`);
    }
  }
  useEffect(() => {
    read();
  }, []);
  async function end(item) {
    const title = item.current ? 'Sign out here?' : 'Sign out there?';
    const text = `${item.label}, since ${time_full(item.created_us)}`;
    if (!(await confirm_dialog({ title, text, yes: 'Sign out' }))) return;
    if (item.current) {
      await act('Signed out', sign_out());
      return;
    }
    const path = `/api/v1/auth/sessions/${encodeURIComponent(item.id)}`;
    if (await act('Signed out there', send('DELETE', path))) read();
  }
  return html`<main class="page" data-screen="sessions">
    <section class="panel" aria-labelledby="sessions-title">
      <div class="panel-head">
        <h1 id="sessions-title">Sessions</h1>
        <a class="btn" href="#/trade">Back to trading</a>
      </div>
      <div class="panel-body">
        <p class="dim">
          Where this account is signed in. A session lasts 7 days; one that you do not know should be ended.
        </p>
        <p class="down" role="alert">${refused}</p>
        ${items && html`<${List} items=${items} end=${end} />`}
      </div>
    </section>
  </main>`;
}

/** The table of sessions. */
function List({ items, end }) {
  const at_ms = now_ms();
  return html`<div class="table-wrap" tabindex="0" role="region" aria-label="Sessions">
    <table class="table">
      <thead>
        <tr><th>Browser or program</th><th>Began</th><th>Runs out</th><th></th></tr>
      </thead>
      <tbody>
        ${items.map(
          (item) => html`<tr
            key=${item.id}
            data-test="session"
            data-id=${item.id}
            data-current=${String(Boolean(item.current))}
          >
            <td class="wide" title=${item.label}>
              ${label_words(item.label)}${' '}
              ${item.current && html`<span class="badge badge-up">this one</span>`}
            </td>
            <td title=${time_full(item.created_us)}>${ago(at_ms - item.created_us / 1000)}</td>
            <td>${time_full(item.expires_us).slice(0, 16)}</td>
            <td class="number">
              <button type="button" class="btn btn-small" onClick=${() => end(item)}>
                ${item.current ? 'Sign out here' : 'Sign out there'}
              </button>
            </td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Returns in words what a browser calls itself; a program's name as it is. */
function label_words(label) {
  const system = /^Mozilla\/\S+ \(([^)]*)/.exec(label)?.[1] ?? '';
  if (!system) return label;
  const names = [
    [/Android/, 'an Android device'],
    [/iPhone|iPad/, 'an Apple device'],
    [/Windows/, 'Windows'],
    [/Mac OS X/, 'a Mac'],
    [/Linux|X11/, 'Linux'],
  ];
  return `A browser on ${names.find(([pattern]) => pattern.test(system))?.[1] ?? system}`;
}
