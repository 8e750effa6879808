// Who lives, who leads, who stands by, how far each is; and how far the readers of the log and the events are.

import { html } from '../html.js';
import { duration } from '../format.js';
import { Figure, Light, Panel, Table } from './parts.js';
import { entries_between, seq_of } from './shape.js';

const LAG_LATE = 1_000; // entries, from here on shown as late
const LAG_BAD = 5_000; // from here on /ready calls it degraded
const SNAPSHOT_LATE_MS = 30_000;
const SNAPSHOT_BAD_MS = 60_000;
const HEADS = [{ text: 'Process' }, { text: 'Role' }, { text: 'Lag', kind: 'number' }, { text: 'Seq', kind: 'number' },
  { text: 'Lives', kind: 'number' }, { text: 'Pid', kind: 'number' }, { text: 'Who' }, { text: 'Rules', kind: 'number' },
  { text: 'Build' }];

/** The processes that said within three seconds that they live. */
export function Processes({ facts, dim }) {
  const leaders = facts.processes.filter(({ role }) => role === 'leader').length;
  const standbys = facts.processes.filter(({ role }) => role === 'standby').length;
  const wanted = facts.engines_wanted > 1 ? `, ${facts.engines_wanted} engines are wanted` : '';
  const note = `${leaders === 1 ? 'one engine leads' : leaders ? `${leaders} engines say that they lead` : 'no engine leads'}, ${
    standbys ? `${standbys} ready to take over` : 'none stands by'}${wanted}`;
  return html`
    <${Panel} name="processes" title="Processes" note=${note} dim=${dim}>
      <${Table} label="Processes" heads=${HEADS}>
        ${facts.processes.map((each) => html`<${ProcessRow} key=${each.name} ...${each} now_us=${facts.time_us} />`)}
      <//>
      ${facts.processes.length === 0 && html`<p class="ops-none">No process says that it lives.</p>`}
    <//>
  `;
}

function ProcessRow({ name, role, who, pid, since_us, seq, lag, rules, build, state, now_us }) {
  const lives = since_us === null || now_us === null ? '–' : duration(Math.max(0, now_us - since_us) / 1_000);
  const level = lag === null ? 'unknown' : level_of(lag);
  return html`
    <tr data-test="process" data-name=${name} data-role=${role} data-lag=${lag ?? ''}>
      <th scope="row">${name.split(':')[0] === 'engine' ? 'engine' : name}</th>
      <td><${Role} role=${role} state=${state} /></td>
      <td class="number"><${Light} state=${level} word=${lag === null ? 'not known' : lag.toLocaleString('en')} /></td>
      <td class="number">${seq ?? '–'}</td>
      <td class="number">${lives}</td>
      <td class="number">${pid ?? '–'}</td>
      <td class="mono ops-cut" title=${who}>${who || '–'}</td>
      <td class="number">${rules ?? '–'}</td>
      <td class="mono ops-cut" title=${build}>${build || '–'}</td>
    </tr>
  `;
}

function Role({ role, state }) {
  const feed = state ? `, feed ${state}` : '';
  if (role === 'leader') return html`<span class="badge ops-leads">★ leader</span>`;
  if (role === 'standby') return html`<span class="badge">☆ standby</span>`;
  return html`<span class=${state === 'down' ? 'down' : ''}>${role || '–'}${feed}</span>`;
}

function level_of(lag) {
  if (lag >= LAG_BAD) return 'bad';
  return lag >= LAG_LATE ? 'late' : 'ok';
}

/** How far log, events, archive, history and views are, and how long ago the engine's state was last made durable. */
export function Readers({ facts, dim }) {
  const { readers, engine, tip_seq } = facts;
  const log_seq = engine?.seq; // entries without events do not move the newest event
  return html`
    <${Panel} name="readers" title="Where everything is" note="views and history behind the newest event, archive and snapshot behind the newest entry" dim=${dim}>
      <dl class="ops-figures">
        <${Figure} name="Newest entry" value=${log_seq} />
        <${Figure} name="Newest event" value=${tip_seq ?? seq_of(engine?.events_last)} />
        <${Place} name="Views" seq=${readers.views_seq} tip=${tip_seq} />
        <${Place} name="History" seq=${readers.history_seq} tip=${tip_seq} />
        <${Place} name="Archive" seq=${readers.archive_seq} tip=${log_seq} />
        <${Figure} name="Durable snapshot" value=${engine?.snapshot_seq} title="A restart begins here" />
        <${Figure} name="To replay" value=${entries_said(entries_between(engine?.snapshot_seq, log_seq))} />
        <${Figure} name="Snapshot age" ...${snapshot_age(engine)} />
        <${Figure} name="Last pause" value=${pause_said(engine?.snapshot_pause_us)}
          title="How long the loop stood still to copy its state" />
        <${Figure} name="Log kept from" value=${readers.trim_log_seq} title=${readers.trim_reason ?? ''} />
        <${Figure} name="Events kept from" value=${readers.trim_events_seq} title=${readers.trim_reason ?? ''} />
      </dl>
      ${readers.trim_reason && html`<p class="ops-note">Trimming: ${readers.trim_reason}</p>`}
    <//>
  `;
}

function Place({ name, seq, tip }) {
  const behind = entries_between(seq, tip);
  return html`<${Figure} name=${name} value=${behind === null ? null : entries_said(behind)}
    title=${seq ? `at entry ${seq}` : ''} state=${behind === null ? '' : level_of(behind)} />`;
}

function entries_said(count) {
  return count === null ? null : count.toLocaleString('en');
}

function pause_said(pause_us) {
  return Number.isFinite(pause_us) ? `${(pause_us / 1_000).toFixed(1)} ms` : null;
}

function snapshot_age(engine) {
  const age_ms = engine?.snapshot_age_ms;
  if (!Number.isFinite(age_ms)) return { value: null };
  const state = age_ms > SNAPSHOT_BAD_MS ? 'bad' : age_ms > SNAPSHOT_LATE_MS ? 'late' : 'ok';
  return { value: duration(age_ms), state };
}
