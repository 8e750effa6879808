// The newest events of all accounts, each with the command that tells why; the list stands still while it is looked at.

import { html, useRef, useState } from '../html.js';
import { time, time_full } from '../format.js';
import { Command, Panel, Table } from './parts.js';

const LOUD = new Set(['liquidation', 'adl', 'deficit', 'margin_call']);
const HEADS = [{ text: 'Time' }, { text: 'Seq', kind: 'number' }, { text: 'Account', kind: 'number' }, { text: 'Event' },
  { text: 'What' }, { text: 'Why' }];
const TOLD = ['op', 'market', 'side', 'kind', 'qty', 'price', 'price_trigger', 'price_mark', 'state', 'status', 'reason', 'result',
  'amount', 'payer', 'free'];
const SPOKEN = new Set(['op', 'kind', 'state', 'status', 'reason', 'payer']);

/**
 * Returns what an event says, in its own words: the few fields that tell it apart, in a fixed order.
 * @param {object} data the event as it was published
 * @returns {string}
 */
export function gist_of(data) {
  return TOLD.filter((name) => ['string', 'number'].includes(typeof data?.[name]) && data[name] !== '')
    .map((name) => {
      if (name.startsWith('price_')) return `${name.slice(6)} ${data[name]}`;
      if (name === 'free') return `free ${data[name]}`;
      return SPOKEN.has(name) ? String(data[name]).replaceAll('_', ' ') : data[name];
    })
    .join(' · ');
}

/**
 * Returns the events that a search leaves: every word must be found in kind, account, seq or gist.
 * @param {object[]} events
 * @param {string} search
 * @returns {object[]}
 */
export function events_found(events, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return events;
  return events.filter((event) => {
    const text = `${event.e} ${event.account ?? ''} ${event.seq} ${gist_of(event.data)}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** The newest events; pointing at the list or moving into it by keyboard holds it. */
export function Events({ facts, dim }) {
  const [search, set_search] = useState('');
  const [shown, held, holding] = use_held(facts.events);
  const found = events_found(shown, search);
  const waiting = held ? facts.events.findIndex(({ at }) => at === shown[0]?.at) : 0;
  const newer = waiting < 0 ? `${facts.events.length} or more` : waiting;
  const note = held && newer ? `held while you are in it: ${newer} newer` : `the newest ${shown.length} of all accounts`;
  return html`
    <${Panel} name="events" title="Last events" note=${note} dim=${dim}>
      <label class="ops-search">
        <span>Find</span>
        <input type="search" class="input" value=${search} placeholder="kind, account, market"
          onInput=${(event) => set_search(event.currentTarget.value)} />
      </label>
      <div ...${holding}>
        <${Table} label="Last events" heads=${HEADS} tall>
          ${found.map((event) => html`<${EventRow} key=${event.at} ...${event} />`)}
        <//>
      </div>
      ${found.length === 0 && html`<p class="ops-none">
        ${shown.length ? 'No event has all of these words.' : 'Nothing has happened yet.'}
      </p>`}
    <//>
  `;
}

function EventRow({ at, seq, time_us, account, e, why, data }) {
  return html`
    <tr data-test="event" data-at=${at} data-kind=${e} class=${LOUD.has(e) ? 'ops-loud' : ''}>
      <td class="mono" title=${time_full(time_us)}>${time(time_us)}</td>
      <td class="number">${seq}</td>
      <td class="number">${account ?? '–'}</td>
      <th scope="row">${LOUD.has(e) ? '■ ' : ''}${String(e).replaceAll('_', ' ')}</th>
      <td class="ops-gist">${gist_of(data)}</td>
      <td>${why ? html`<${Command} line=${why} about=${`the command that tells why, entry ${seq}`} />` : '–'}</td>
    </tr>
  `;
}

// Returns what to show, whether it is held, and the handlers that hold it; rows must not move under a pointer.
function use_held(events) {
  const [held, hold] = useState(null);
  const latest = useRef(events);
  latest.current = events;
  const inside = useRef({ pointer: false, focus: false });
  function turn(name, value) {
    inside.current[name] = value;
    const wanted = inside.current.pointer || inside.current.focus;
    hold((before) => (wanted ? before ?? latest.current : null));
  }
  const holding = {
    onMouseEnter: () => turn('pointer', true),
    onMouseLeave: () => turn('pointer', false),
    onFocusIn: () => turn('focus', true),
    onFocusOut: (event) => turn('focus', event.currentTarget.contains(event.relatedTarget)),
  };
  return [held ?? events, held !== null, holding];
}
