// A table with columns that sort and rows that keep their identity; on a narrow screen its rows are cards.

import { Component, html, useRef, useState } from '../html.js';
import { compare } from '../format.js';

const LESS = { decimal: compare, number: (one, other) => one - other, text: (one, other) => one.localeCompare(other) };

/**
 * @typedef {{key: string, title: string, cell: (row: any) => any, sort?: (row: any) => any,
 *   kind?: 'decimal'|'number'|'text', right?: boolean, wide?: boolean, live?: boolean, hint?: string}} Column
 * `sort` gives what to compare by, as `kind` says; a wide column has a whole line of a card, a live one
 * fades when its figures are stale.
 */

/**
 * Returns rows in the order of a column; what has no value comes last, equal ones stay as they were.
 * @param {any[]} rows @param {Column|undefined} column @param {'up'|'down'} direction
 */
export function rows_sorted(rows, column, direction) {
  if (!column) return rows;
  const less = LESS[column.kind ?? 'text'];
  const sign = direction === 'down' ? -1 : 1;
  const keyed = rows.map((row) => [column.sort(row) ?? null, row]);
  keyed.sort(([one], [other]) => {
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return sign * less(one, other);
  });
  return keyed.map(([, row]) => row);
}

/**
 * Returns rows in an order that was shown before; those that are new come last.
 * @param {any[]} rows @param {string[]} shown ids @param {(row: any) => string} id_of
 */
export function rows_held(rows, shown, id_of) {
  const place = new Map(shown.map((id, index) => [id, index]));
  return [...rows].sort(
    (one, other) => (place.get(id_of(one)) ?? Infinity) - (place.get(id_of(other)) ?? Infinity) || 0,
  );
}

/**
 * A sortable table. While the pointer or the focus is on a row of a sorted table the order stands still: nobody
 * presses a button of the row that came underneath.
 * @param {{name: string, label: string, columns: Column[], rows: any[], id_of: (row: any) => string,
 *   row_class?: (row: any) => string}} props
 */
export function Table({ name, label, columns, rows, id_of, row_class = () => '' }) {
  const [sort, put] = useState({ key: '', direction: 'down' });
  const held = useRef({ pointer: false, focus: false, order: [] });
  const column = columns.find((each) => each.key === sort.key);
  const still = column && (held.current.pointer || held.current.focus);
  const shown = still ? rows_held(rows, held.current.order, id_of) : rows_sorted(rows, column, sort.direction);
  held.current.order = shown.map(id_of);

  function sort_by(key) {
    held.current.order = [];
    held.current.focus = held.current.pointer = false;
    if (sort.key !== key) put({ key, direction: 'down' });
    else if (sort.direction === 'down') put({ key, direction: 'up' });
    else put({ key: '', direction: 'down' });
  }

  const hold = (what, on) => () => (held.current[what] = on);
  return html`<table class="table" role="table" aria-label=${label} data-test=${`${name}-table`}>
    <thead role="rowgroup">
      <tr role="row">
        ${columns.map((each) => html`<${Heading} key=${each.key} column=${each} sort=${sort} press=${sort_by} />`)}
      </tr>
    </thead>
    <tbody
      role="rowgroup"
      onPointerEnter=${hold('pointer', true)}
      onPointerLeave=${hold('pointer', false)}
      onFocusIn=${hold('focus', true)}
      onFocusOut=${hold('focus', false)}
    >
      ${shown.map(
        (row) =>
          html`<${Row}
            key=${id_of(row)}
            id=${id_of(row)}
            name=${name}
            row=${row}
            columns=${columns}
            style_of=${row_class(row)}
          />`,
      )}
    </tbody>
  </table>`;
}

/** One row, drawn anew only when it is another object: a long list costs nothing when something comes on top. */
class Row extends Component {
  shouldComponentUpdate(next) {
    const { row, columns, style_of } = this.props;
    return next.row !== row || next.columns !== columns || next.style_of !== style_of;
  }

  render({ id, name, row, columns, style_of }) {
    return html`<tr role="row" class=${style_of} data-test=${`${name}-row`} data-id=${id}>
      ${columns.map(
        (each) =>
          html`<td key=${each.key} role="cell" class=${cell_class(each)} data-label=${each.title}>
            <div class="cell">${each.cell(row)}</div>
          </td>`,
      )}
    </tr>`;
  }
}

/** Returns the classes of a column's cells. */
function cell_class(column) {
  const marks = { number: column.right, 'cell-wide': column.wide, 'cell-live': column.live };
  return [`cell-${column.key}`, ...Object.keys(marks).filter((mark) => marks[mark])].join(' ');
}

/** The heading of a column, a button where it sorts. */
function Heading({ column, sort, press }) {
  const active = sort.key === column.key;
  const word = active ? { up: 'ascending', down: 'descending' }[sort.direction] : undefined;
  const sign = active ? { up: '▲', down: '▼' }[sort.direction] : '';
  const inner = column.sort
    ? html`<button type="button" class="sort" title=${column.hint ?? ''} onClick=${() => press(column.key)}>
        ${column.title}<span class="sort-sign" aria-hidden="true">${sign}</span>
      </button>`
    : html`<span title=${column.hint ?? ''}>${column.title}</span>`;
  return html`<th
    scope="col"
    role="columnheader"
    aria-sort=${word}
    class=${`${cell_class(column)}${column.sort ? ' sorts' : ''}`}
  >
    ${inner}
  </th>`;
}

/** What stands in the place of a list that has nothing. */
export function Empty({ name, children }) {
  return html`<p class="empty" data-test=${`${name}-empty`}>${children}</p>`;
}
