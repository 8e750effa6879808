// The small things that several parts of the operator's page show: a panel, a copied command, a figure, a direction.

import { html, useEffect, useRef, useState } from '../html.js';

const COPIED_MS = 2_000;

/**
 * A titled part of the page; its table may be scrolled sideways, also by keyboard.
 * @param {{name: string, title: string, note?: string, dim?: boolean, children: any}} props
 */
export function Panel({ name, title, note, dim, children }) {
  const id = `ops-${name}`;
  const classes = ['panel', 'ops-panel', dim ? 'ops-dim' : ''].filter(Boolean).join(' ');
  return html`
    <section class=${classes} data-test=${name} aria-labelledby=${id}>
      <header class="ops-panel-head">
        <h2 id=${id}>${title}</h2>
        ${note && html`<p class="ops-note">${note}</p>`}
      </header>
      ${children}
    </section>
  `;
}

/**
 * A table that scrolls sideways where it is too wide; focusable, so that arrow keys scroll it.
 * @param {{label: string, heads: {text: string, kind?: string}[], tall?: boolean, children: any}} props
 */
export function Table({ label, heads, tall, children }) {
  return html`
    <div class=${`ops-scroll${tall ? ' ops-tall' : ''}`} tabindex="0" role="region" aria-label=${label}>
      <table class="table ops-table">
        <thead>
          <tr>${heads.map(({ text, kind }) => html`<th key=${text} scope="col" class=${kind ?? ''}>${text}</th>`)}</tr>
        </thead>
        <tbody>${children}</tbody>
      </table>
    </div>
  `;
}

/**
 * A command line with a button that copies it; where copying is not allowed the line is selected instead.
 * @param {{line: string, about?: string}} props
 */
export function Command({ line, about }) {
  const code = useRef(null);
  const [said, say] = useState('');
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => say(''), COPIED_MS);
    return () => clearTimeout(timer);
  }, [said]);
  async function copy() {
    try {
      await navigator.clipboard.writeText(line);
      say('Copied');
    } catch {
      getSelection()?.selectAllChildren(code.current);
      say('Selected: press Ctrl+C');
    }
  }
  return html`
    <span class="ops-command">
      <code ref=${code} title=${line}>${line}</code>
      <button type="button" class="btn btn-small" onClick=${copy} aria-label=${`Copy ${about ?? line}`}>Copy</button>
      <span class="ops-said" role="status">${said}</span>
    </span>
  `;
}

/**
 * A figure with its name below a panel's title; a dash stands for what is not known, never a zero.
 * @param {{name: string, value: any, title?: string, state?: 'ok'|'late'|'bad'}} props
 */
export function Figure({ name, value, title, state }) {
  const known = value !== null && value !== undefined && value !== '';
  return html`
    <div class="ops-figure" data-state=${state ?? ''} title=${title ?? ''}>
      <dt>${name}</dt>
      <dd>${known ? value : '–'}</dd>
    </div>
  `;
}

/**
 * A light with its word beside it: the colour alone says nothing.
 * @param {{state: 'ok'|'late'|'bad'|'unknown', word: string}} props
 */
export function Light({ state, word }) {
  const sign = { ok: '●', late: '◐', bad: '■', unknown: '○' }[state];
  return html`<span class="ops-light" data-state=${state}><i aria-hidden="true">${sign}</i> ${word}</span>`;
}

/**
 * The direction of a signed quantity, in words and with a sign.
 * @param {{qty: string}} props
 */
export function Direction({ qty }) {
  const short = /^[-−]/.test(String(qty));
  const flat = !/[1-9]/.test(String(qty));
  if (flat) return html`<span class="muted">flat</span>`;
  return html`<span class=${short ? 'down' : 'up'}>${short ? '▼ Short' : '▲ Long'}</span>`;
}

/**
 * A horizontal bar as an image; `share` is 0 to 1, `kind` chooses the colour.
 * @param {{share: number, kind: string}} props
 */
export function Bar({ share, kind }) {
  const width = Number.isFinite(share) ? Math.max(0, Math.min(1, share)) * 100 : 0;
  return html`
    <svg class=${`ops-bar ${kind}`} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <rect class="ops-bar-back" x="0" y="0" width="100" height="8" />
      <rect class="ops-bar-fill" x="0" y="0" width=${width} height="8" />
    </svg>
  `;
}
