// A history of the account as a table: its filters, its download, its rows, and the way to older ones.

import { html } from '../html.js';
import { act, csv_save } from '../api.js';
import { explain } from '../words.js';
import { ActButton } from './act_button.js';
import { past_path, usePast } from './past.js';
import { Empty, Table } from './table.js';

/**
 * A history: its filters (children), its download, its rows, and the way to older ones.
 * @param {{name: string, test?: string, label: string, columns: any[], query: Record<string, string>, empty: string,
 *   children?: any}} props
 */
export function PastTable({ name, test = name, label, columns, query, empty, children }) {
  const past = usePast(name, query);
  const file = `${test}.csv`;
  const save = () => act((rows) => `Saved ${rows} rows as ${file}`, csv_save(past_path(name, query), file));
  const filtered =  Object.values(query).some(Boolean);
  const nothing = !past.items.length && !past.loading && !past.error;
  return html`<div class="tab-tools">
      ${children}
      <${ActButton}
        test=${`${test}-csv`}
        style="btn-small"
        title="Saves all of it as a CSV file, not only what is shown"
        disabled=${!past.items.length}
        press=${save}
        >CSV<//>
    </div>
    ${
      past.items.length > 0 &&
      html`<${Table} name=${test} label=${label} columns=${columns} rows=${past.items} id_of=${(row) => row.at} />`
    }
    ${nothing && html`<${Empty} name=${test}>${filtered ? 'Nothing matches the filter.' : empty}<//>`}
    <${Foot} name=${test} past=${past} />`;
}

/** What stands below a history: the way to older rows, or why there are none. */
function Foot({ name, past }) {
  if (past.error) {
    const { title, text } = explain(past.error);
    return html`<p class="empty" role="alert" data-test=${`${name}-error`}>
      ${title}. ${text}
      <button type="button" class="btn btn-small" data-test=${`${name}-again`} onClick=${past.again}>Try again</button>
    </p>`;
  }
  if (past.late) return html`<p class="older dim" role="status">History is a little behind: newer rows come soon.</p>`;
  if (past.loading && !past.items.length) return html`<p class="empty" role="status">Reading…</p>`;
  if (!past.cursor) return null;
  return html`<p class="older">
    <button
      type="button"
      class="btn btn-small"
      data-test=${`${name}-older`}
      disabled=${past.loading}
      aria-busy=${past.loading ? 'true' : undefined}
      onClick=${past.older}
    >
      ${past.loading ? 'Reading…' : 'Older'}
    </button>
  </p>`;
}
