// The session's accounts in words, and as the options of a choice.

import { html } from '../html.js';

/** Returns an account in words: which of the session's it is. */
export function account_words({ account_id, sub }) {
  return sub ? `Sub-account ${sub} (${account_id})` : `Main account (${account_id})`;
}

/** Returns accounts as the options of a choice. */
export function account_options(accounts) {
  return accounts.map(
    (each) => html`<option key=${each.account_id} value=${String(each.account_id)}>${account_words(each)}</option>`,
  );
}
