// The sign-in screen: a mail address, and what to do with the mail.

import { ApiError, ask } from './api.js';
import { html, useEffect, useState } from './html.js';
import { session_heard, session_read } from './session.js';
import { useStore } from './store.js';
import { explain } from './words.js';

const LOOK_EACH_MS = 4000;

/**
 * The sign-in screen; `signed_in()` is called once a link was used, in whichever tab.
 * @param {{signed_in: () => void}} props
 */
export function SignIn({ signed_in }) {
  const [sent, put_sent] = useState('');
  const farewell = useStore((state) => state.farewell);
  return html`<main class="gate" data-test="sign-in" data-screen="sign-in">
    <div class="gate-box">
      <h1 class="brand brand-large">Tidemark</h1>
      <p class="dim">Perpetual futures on paper: real quotes in, practice trades out, no real money anywhere.</p>
      ${farewell && html`<p class="note" role="status">${farewell}</p>`}
      ${sent
        ? html`<${Sent} address=${sent} again=${() => put_sent('')} signed_in=${signed_in} />`
        : html`<${Ask} sent=${put_sent} />`}
    </div>
  </main>`;
}

/** The field for the address. */
function Ask({ sent }) {
  const [address, put_address] = useState('');
  const [busy, put_busy] = useState(false);
  const [refused, put_refused] = useState('');
  async function submit(event) {
    event.preventDefault();
    put_busy(true);
    put_refused('');
    try {
      await ask('/api/v1/auth', { email: address.trim() });
      sent(address.trim());
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { title, text } = explain(error);
      put_refused(`${title}. ${text}`);
    } finally {
      put_busy(false);
    }
  }
  return html`<form class="stack" onSubmit=${submit}>
    <label class="field">
      <span class="field-name">Mail address</span>
      <input
        class="input"
        type="email"
        name="email"
        autocomplete="email"
        required
        autofocus
        value=${address}
        onInput=${(event) => put_address(event.target.value)}
        aria-describedby="sign-in-note"
      />
    </label>
    <button class="btn btn-accent btn-block" type="submit" disabled=${busy}>Send link</button>
    <p id="sign-in-note" class="faint">You get a link that signs you in. There is no password.</p>
    <p class="down" role="alert">${refused}</p>
  </form>`;
}

/** What to do with the mail; the page looks by itself whether the link was used. */
function Sent({ address, again, signed_in }) {
  const on_console = document.body.dataset.mail === 'console';
  useEffect(() => {
    const look = () => document.hidden || session_read().then((is) => is && signed_in(), () => {});
    const timer = setInterval(look, LOOK_EACH_MS);
    const end = session_heard((news) => news === 'in' && look());
    document.addEventListener('visibilitychange', look);
    return () => {
      clearInterval(timer);
      end();
      document.removeEventListener('visibilitychange', look);
    };
  }, []);
  return html`<div class="stack" role="status">
    <h2>Look into your mail</h2>
    <p>A link went to <strong>${address}</strong>. It is good once, for 15 minutes; a new one ends it.</p>
    ${on_console &&
    html`<p class="note">This venue runs in development: no mail is sent, the link stands on the console.</p>`}
    <p class="faint">This page goes on by itself once the link was used in this browser.</p>
    <button type="button" class="btn" onClick=${again}>Another address</button>
  </div>`;
}
