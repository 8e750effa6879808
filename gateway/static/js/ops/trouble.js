// What each part that is not as it should be means for the venue, what to do about it, and where that is written.

const PAGE = 'docs/operations.md';

// Part -> what it means, what to do, the command that looks at it, the section that says more.
const KNOWN = {
  redis: {
    means: 'Nothing can be written to the log: no instruction is taken.',
    act: 'Look whether Valkey or Redis runs and whether its disk has room; it starts again by itself when there is room.',
    command: './scripts/tidemark doctor',
    section: 'Run books: The disk is full',
  },
  leader: {
    means: 'No engine leads: instructions wait, and are refused after two seconds.',
    act: 'Read the last error line of logs/engine.log; its help names the next command.',
    command: './scripts/tidemark recovery-plan',
    section: 'Run books: The engine does not start',
  },
  tail: {
    means: 'This gateway reads the events too late to answer for them.',
    act: 'It catches up by itself; if it does not, the machine is short of processor time or Redis is slow.',
    command: './scripts/tidemark top',
    section: 'When something is wrong',
  },
  venue: {
    means: 'This gateway waits for a venue to serve.',
    act: 'An engine founds it at its first start; look whether one runs.',
    command: './scripts/tidemark doctor',
    section: 'When something is wrong',
  },
  standby: {
    means: 'Trading goes on, but nobody would take over from the leader.',
    act: 'Read the log of the engine that is missing (engine.log, engine2.log, engine3.log).',
    command: './scripts/tidemark doctor',
    section: 'Several engines',
  },
  money: {
    means: 'All cells of money do not add up to 0: money was made or lost. Nothing worse can happen here.',
    act: 'Stop the venue, keep the data folder as it is, then derive everything again.',
    command: './scripts/tidemark replay --verify',
    section: 'Operators',
  },
  divergence: {
    means: 'An engine derived another state than its checkpoint: one of the two is wrong.',
    act: 'Keep the data folder as it is, then compare.',
    command: './scripts/tidemark replay --verify',
    section: 'Several engines',
  },
  archive: {
    means: 'The log is not written to the archive, so nothing is trimmed and Redis grows; trading goes on.',
    act: 'Free space on the disk of the archive, or put the file right that is named here.',
    command: './scripts/tidemark archive verify',
    section: 'The archive and the audit',
  },
  fsync: {
    means: 'Redis may lose what it has acknowledged when the machine crashes.',
    act: 'Set appendonly yes and appendfsync always in Redis.',
    command: './scripts/tidemark doctor',
    section: 'What the promises rest on',
  },
  views: {
    means: 'Accounts show an older state than the engine has.',
    act: 'The persister catches up by itself; if its log says views_rebuild_waits, make the views anew.',
    command: './scripts/tidemark views rebuild',
    section: 'Views made anew',
  },
  history: {
    means: 'Histories lag behind what happened; trading goes on.',
    act: 'Look whether Postgres is slow; the persister catches up by itself.',
    command: './scripts/tidemark doctor',
    section: 'When something is wrong',
  },
  snapshot: {
    means: 'A restart would have to replay more of the log than usual.',
    act: 'Look for snapshot_trouble in logs/engine.log; most often Postgres is away or slow.',
    command: './scripts/tidemark recovery-plan',
    section: 'When something is wrong',
  },
  postgres: {
    means: 'Histories and signing in wait; trading goes on.',
    act: 'Start Postgres; everything catches up by itself.',
    command: './scripts/tidemark doctor',
    section: 'Run books: Postgres was restored from a backup, or is new',
  },
  price: {
    means: 'No order is taken in this market, and nobody is liquidated in it.',
    act: 'Look at the feed in logs/poller.log; with a fresh quote trading goes on by itself.',
    command: './scripts/tidemark top',
    section: 'When something is wrong',
  },
  look: {
    means: 'This gateway has just begun and has looked at nothing yet.',
    act: 'Wait two seconds.',
    command: '',
    section: 'When something is wrong',
  },
};

const UNKNOWN = {
  means: 'A part of the venue is not as it should be.',
  act: 'Let the doctor look at everything.',
  command: './scripts/tidemark doctor',
  section: 'When something is wrong',
};

/**
 * Returns what a part means and what to do; a part may carry its market after a colon.
 * @param {string} part as /ready names it
 * @returns {{title: string, means: string, act: string, command: string, section: string, page: string}}
 */
export function trouble_of(part) {
  const [kind, ...rest] = part.split(':');
  const known = Object.hasOwn(KNOWN, kind) ? KNOWN[kind] : UNKNOWN;
  return { ...known, title: rest.length ? `${kind} of ${rest.join(':')}` : kind, page: PAGE };
}
