// What stands in place of the figures: who is not signed in, who has no role, and the first seconds without an answer.

import { html } from '../html.js';
import { Command } from './parts.js';

/** One sentence and the one thing to do about it. */
export function Gate({ look, again }) {
  if (look.standing === 'signed_out') return html`<${SignedOut} />`;
  if (look.standing === 'role_missing') return html`<${RoleMissing} error=${look.error} again=${again} />`;
  if (look.standing === 'failing') return html`<${Failing} look=${look} again=${again} />`;
  return html`<section class="ops-gate" aria-busy="true"><p role="status">Asking the gateway…</p></section>`;
}

function SignedOut() {
  return html`
    <section class="ops-gate" data-test="ops-signed-out">
      <h2>You are not signed in.</h2>
      <p>This page shows the venue to its operators. Sign in on the trading page and come back to this address.</p>
      <p><a class="btn btn-accent" href="/">Sign in</a></p>
    </section>
  `;
}

function RoleMissing({ error, again }) {
  const { email, command } = error?.detail ?? {};
  const line = command ?? `./scripts/tidemark user role ${email ?? 'MAIL_ADDRESS'} operator`;
  return html`
    <section class="ops-gate" data-test="ops-role-missing">
      <h2>This page is for operators, and your account is a trader’s.</h2>
      <p>Whoever runs this venue gives you the role on its machine${email ? '' : ', with your mail address'}:</p>
      <p><${Command} line=${line} about="the command that gives the role" /></p>
      <p>This page looks again by itself every five seconds.
        <button type="button" class="btn" onClick=${again}>Look now</button> <a href="/">Back to trading</a></p>
    </section>
  `;
}

function Failing({ look, again }) {
  return html`
    <section class="ops-gate" data-test="ops-failing">
      <h2>${failure_title(look.error)}</h2>
      <p>${failure_words(look.error)} It is asked again by itself.
        <button type="button" class="btn" onClick=${again}>Ask now</button></p>
    </section>
  `;
}

/**
 * Returns in a few words what is wrong: no answer at all, or one without figures.
 * @param {object} error as api.js throws it
 * @returns {string}
 */
export function failure_title(error) {
  return error?.status ? 'The gateway has no figures to show.' : 'The gateway does not answer.';
}

/**
 * Returns in a sentence why an answer did not come.
 * @param {object} error as api.js throws it
 * @returns {string}
 */
export function failure_words(error) {
  if (error?.name === 'AbortError') return 'No answer came within five seconds.';
  if (error?.status === 404) return 'This gateway is of a build without this page’s figures.';
  if (error?.status === 0) return 'It could not be reached, or did not answer in time.';
  if (error?.code && error.error) return `${error.error} (${error.code})`;
  if (error?.status) return `It answered ${error.status}.`;
  return 'It could not be reached.';
}
