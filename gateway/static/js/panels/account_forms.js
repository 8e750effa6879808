// The forms of the account: money from one of one's accounts to another, and the reset of the paper account.

import { html, useState } from '../html.js';
import { send } from '../api.js';
import { dialog_open } from '../dialog.js';
import { money } from '../format.js';
import { useStore } from '../store.js';
import { account_options, account_words } from './account_words.js';
import { AmountField, Refusal, amount_fits, useFormSend } from './form_send.js';

const RESET_WORD = 'reset';

/** Opens the form for moving money to another account of the same owner. */
export function transfer_open() {
  dialog_open({ title: 'Transfer', close: 'Cancel', body: (close) => html`<${TransferForm} close=${close} />` });
}

/** Opens the question before a reset. */
export function reset_open() {
  dialog_open({
    title: 'Reset this paper account?',
    close: 'Keep it',
    body: (close) => html`<${ResetForm} close=${close} />`,
  });
}

/** Moves money from the account in force to another one. */
function TransferForm({ close }) {
  const accounts = useStore((state) => state.accounts);
  const acting = useStore((state) => state.acting);
  const transferable = useStore((state) => state.valuation?.account.transferable);
  const others = accounts.filter((each) => each.account_id !== acting);
  const [target, put_target] = useState(String(others[0]?.account_id ?? ''));
  const [amount, put_amount] = useState('');
  const { busy, refusal, submit: form_send } = useFormSend();
  if (!others.length) {
    return html`<p>
      There is no other account yet. Open a sub-account first: it has money, positions and settings of its own.
    </p>`;
  }
  const from = accounts.find((each) => each.account_id === acting);
  const fits = amount_fits(amount);

  async function submit(event) {
    event.preventDefault();
    if (!fits) return;
    const body = { account_to: Number(target), amount };
    const words = `Moved ${money(amount)} USDC to account ${target}`;
    if (await form_send(words, () => send('POST', '/api/v1/account/transfer', body))) close();
  }

  return html`<form class="form" onSubmit=${submit} data-test="transfer-form">
    <p>From ${account_words(from)}: at most <b class="number">${money(transferable)}</b> USDC may leave.</p>
    <label class="field">
      <span class="field-name">To</span>
      <select
        class="input"
        value=${target}
        data-test="transfer-target"
        onChange=${(event) => put_target(event.target.value)}
      >
        ${account_options(others)}
      </select>
    </label>
    <${AmountField} test="transfer-amount" amount=${amount} put=${put_amount} fits=${fits} />
    <${Refusal} refusal=${refusal} />
    <div class="row">
      <button
        class="btn btn-accent"
        type="submit"
        data-test="transfer-send"
        disabled=${busy || !fits}
        aria-busy=${busy ? 'true' : undefined}
      >
        Transfer
      </button>
      <button
        class="btn"
        type="button"
        data-test="transfer-all"
        disabled=${!transferable}
        onClick=${() => put_amount(transferable)}
      >
        All of it
      </button>
    </div>
  </form>`;
}

/** Returns how many there are in words: "the one live order", "all 3 live orders". */
function counted(count, what) {
  return count === 1 ? `the one ${what}` : `all ${count} ${what}s`;
}

/** Says what a reset does, and does it once the word is typed. */
function ResetForm({ close }) {
  const positions = useStore((state) => Object.keys(state.positions).length);
  const orders = useStore((state) => Object.keys(state.orders).length);
  const acting = useStore((state) => state.acting);
  const account = useStore((state) => state.accounts.find((each) => each.account_id === acting));
  const subaccounts = useStore((state) => state.accounts.length > 1 && state.acting === state.session?.account_id);
  const [typed, put] = useState('');
  const { busy, refusal, submit: form_send } = useFormSend();
  const agreed = typed.trim().toLowerCase() === RESET_WORD;

  async function submit(event) {
    event.preventDefault();
    if (agreed && (await form_send('The account is reset', () => send('POST', '/api/v1/account/reset', {})))) close();
  }

  return html`<form class="form" onSubmit=${submit} data-test="reset-form">
    <p>This cannot be undone. In one instruction it</p>
    <ul>
      <li>
        ${positions
          ? `closes ${counted(positions, 'open position')} at market,`
          : 'closes nothing: no position is open,'}
      </li>
      <li>
        ${orders
          ? `cancels ${counted(orders, 'live order')}, stop-losses included,`
          : 'cancels nothing: no order is live,'}
      </li>
      <li>
        ${account?.sub
          ? 'brings this sub-account’s balance to nothing.'
          : 'brings the balance back to the starting balance, up or down.'}
      </li>
    </ul>
    <p class="dim">
      The histories stay. ${subaccounts ? 'Your sub-accounts must be empty first: their money would stay outside.' : ''}
    </p>
    <label class="field">
      <span class="field-name">Type “${RESET_WORD}” to agree</span>
      <input
        type="text"
        autocomplete="off"
        autocapitalize="none"
        class="input"
        value=${typed}
        data-test="reset-word"
        onInput=${(event) => put(event.target.value)}
      />
    </label>
    <${Refusal} refusal=${refusal} />
    <button
      class="btn btn-danger"
      type="submit"
      data-test="reset-send"
      disabled=${busy || !agreed}
      aria-busy=${busy ? 'true' : undefined}
    >
      Reset the account
    </button>
  </form>`;
}
