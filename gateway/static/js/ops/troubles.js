// The list of what is not as it should be: what it means, what to do, the command that looks at it.

import { html } from '../html.js';
import { Command } from './parts.js';
import { trouble_of } from './trouble.js';

/** What keeps instructions out, and what is degraded though they are taken; says plainly when there is nothing. */
export function Troubles({ facts, old }) {
  const listed = [...facts.missing.map(([part, words]) => [part, words, true]),
    ...facts.degraded.map(([part, words]) => [part, words, false])];
  if (listed.length === 0 && (old || !facts.looked)) return null;
  if (listed.length === 0) {
    return html`<p class="ops-calm" data-test="troubles" data-count="0" role="status">✓ Nothing is degraded.</p>`;
  }
  return html`
    <section class="ops-troubles" data-test="troubles" data-count=${listed.length} aria-label="What is wrong">
      ${listed.map(([part, words, stops]) => html`<${Trouble} key=${part} part=${part} words=${words} stops=${stops} />`)}
      <p class="visually-hidden" role="status">
        ${listed.map(([part, , stops]) => `${trouble_of(part).title} ${stops ? 'stops trading' : 'degraded'}. `).join('')}
      </p>
    </section>
  `;
}

function Trouble({ part, words, stops }) {
  const { title, means, act, command, section, page } = trouble_of(part);
  return html`
    <article class="ops-trouble" data-test="trouble" data-part=${part} data-stops=${String(stops)}>
      <h3>${stops ? '■ Stopped' : '◐ Degraded'}: ${title}</h3>
      <p class="ops-trouble-words">${words}</p>
      <p>${means} <strong>${act}</strong></p>
      <p class="ops-trouble-where">
        ${command && html`<${Command} line=${command} />`}
        <span class="ops-note">${page}, “${section}”</span>
      </p>
    </article>
  `;
}
