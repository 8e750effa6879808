// The account in short: what it is worth, what is free, how near it is to liquidation; sub-accounts, transfer, reset.

import { html } from '../html.js';
import { act, send } from '../api.js';
import { money, signed, trend } from '../format.js';
import { deferred } from '../lazy.js';
import { accounts_read, acting_choose } from '../session.js';
import { useStore } from '../store.js';
import { account_options } from './account_words.js';
import { ActButton } from './act_button.js';
import { market_words } from './market_words.js';

const transfer_open = deferred(() => import('./account_forms.js'), 'transfer_open');
const reset_open = deferred(() => import('./account_forms.js'), 'reset_open');
const HEALTHY = 50; // percent of the way to liquidation
const TIGHT = 80;

/**
 * Returns how far on the way to liquidation an account is, in percent, and what of it is the nearest: an isolated
 * position by its own margin, the cross positions together by theirs. Null when nothing can be liquidated.
 */
export function risk_of(valuation) {
  const isolated = Object.values(valuation?.positions ?? {}).filter((position) => position.mode !== 'cross');
  const rows = isolated.map((position) => [position, market_words(position.market)]);
  const crossed = Object.values(valuation?.positions ?? {}).length > isolated.length;
  if (crossed && valuation.account.cross) rows.push([valuation.account.cross, 'cross positions']);
  let most = null;
  for (const [row, what] of rows) {
    // A share of a bar, no money.
    const [equity, needed] = [Number(row.equity), Number(row.margin_maintenance)];
    const percent = equity > 0 ? Math.min(100, Math.floor((100 * needed) / equity)) : 100;
    if (!most || percent > most.percent) most = { percent, what };
  }
  return most;
}

/** Returns a share of the way to liquidation in words. */
export function risk_words(percent) {
  if (percent < HEALTHY) return 'healthy';
  return percent < TIGHT ? 'tight' : 'near liquidation';
}

/** The account in force. */
export function AccountSummary() {
  const account = useStore((state) => state.valuation?.account);
  return html`<section class="account" aria-label="Account">
    <div class="panel-head account-head">
      <h2>Account</h2>
      <${Accounts} />
    </div>
    <div class="panel-body">
      ${account ? html`<${Figures} account=${account} />` : html`<p class="empty" role="status">Reading…</p>`}
      <${Risk} />
      <${Notes} account=${account} />
      <div class="row account-acts">
        <button type="button" class="btn btn-small" data-test="transfer" onClick=${transfer_open}>Transfer</button>
        <${ActButton}
          test="subaccount-open"
          style="btn-small"
          title="Another account of yours, with its own money and positions"
          press=${subaccount_open}
        >
          New sub-account
        <//>
        <button type="button" class="btn btn-small btn-danger" data-test="reset" onClick=${reset_open}>Reset…</button>
      </div>
    </div>
  </section>`;
}

/** Which account is in force; a choice where there are several. */
function Accounts() {
  const accounts = useStore((state) => state.accounts);
  const acting = useStore((state) => state.acting);
  if (accounts.length < 2) return html`<span class="dim">${acting ?? ''}</span>`;
  return html`<label>
    <span class="visually-hidden">Account in force</span>
    <select
      class="input choice"
      data-test="account-switch"
      value=${String(acting)}
      onChange=${(event) => acting_choose(Number(event.target.value))}
    >
      ${account_options(accounts)}
    </select>
  </label>`;
}

/** What the account is worth. */
function Figures({ account }) {
  const rows = [
    ['equity', 'Equity', account.equity, 'Free, reserved and margin, and what open positions would bring'],
    ['available', 'Available', account.available, 'What may back new orders'],
    ['free', 'Free', account.free, 'Money that nothing holds'],
    ['reserved', 'Reserved by orders', account.reserved, 'Comes back when they end'],
    [
      'margin-used',
      'Margin used',
      account.cross ? account.cross.margin_initial : account.margin,
      account.cross ? 'Initial margin of the cross positions' : 'Margin of isolated positions',
    ],
    ['margin-maintenance', 'Maintenance margin', account.margin_maintenance, 'What all positions need at the mark'],
  ];
  return html`<dl class="kv live">
    ${rows.map(
      ([name, words, text, hint]) =>
        html`<div key=${name} title=${hint}>
          <dt>${words}</dt>
          <dd class="number" data-test=${name} data-value=${text} title=${text}>${money(text)}</dd>
        </div>`,
    )}
    <div title="What closing everything at the mark would bring, before fees">
      <dt>Unrealised PnL</dt>
      <dd
        class=${`number ${trend(account.pnl_unrealised)}`}
        data-test="pnl-unrealised"
        data-value=${account.pnl_unrealised}
        title=${account.pnl_unrealised}
      >
        ${signed(account.pnl_unrealised)}
      </dd>
    </div>
  </dl>`;
}

/** The way to liquidation as a bar, and in words. */
function Risk() {
  const valuation = useStore((state) => state.valuation);
  const risk = risk_of(valuation);
  if (!risk) return html`<p class="dim" data-test="account-risk">No position, no risk of liquidation.</p>`;
  const words = risk_words(risk.percent);
  return html`<div class="risk" data-level=${words} data-test="account-risk">
    <div class="row"><span>Margin ratio</span><b class="grow number">${risk.percent} % · ${words}</b></div>
    <meter class="visually-hidden" min="0" max="100" value=${risk.percent}>${risk.percent} %</meter>
    <div class="risk-bar" aria-hidden="true"><span style=${{ width: `${risk.percent}%` }}></span></div>
    <p class="dim">
      Maintenance margin ÷ equity of what is nearest to liquidation: ${risk.what}. At 100 % it is liquidated.
    </p>
  </div>`;
}

/** What holds for the account beside its figures. */
function Notes({ account }) {
  if (!account) return null;
  const notes = [
    account.frozen && 'Frozen by the operator: nothing can be traded.',
    account.locked_until_ms &&
      `Daily loss limit reached: only closing until ${new Date(account.locked_until_ms).toLocaleTimeString()}.`,
    account.deadman_us && 'The dead-man switch is on: orders are cancelled when it runs out.',
  ].filter(Boolean);
  return notes.map((note) => html`<p key=${note} class="note badge-warn" role="status">${note}</p>`);
}

/** Opens a sub-account and goes to it. */
async function subaccount_open() {
  const body = await act(
    'Opened a sub-account. Transfer money to it to trade there.',
    send('POST', '/api/v1/account/subaccounts', {}),
  );
  if (body?.subaccount) await accounts_read();
  return body;
}
