-- The venues, the engine's snapshots, refusals, and the persister's history.
-- Every row carries its venue, so nothing of one life can be taken for another's.

CREATE TABLE venues (
    venue TEXT PRIMARY KEY,
    founded_us BIGINT NOT NULL,
    live BOOLEAN NOT NULL
);
-- A race between two founding engines is decided here.
CREATE UNIQUE INDEX venues_live ON venues (live) WHERE live;

CREATE TABLE engine_snapshots (
    id INTEGER PRIMARY KEY DEFAULT 1,
    snapshot_data JSONB NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now(),
    -- For the guard: larger as numbers, since '1000' > '999' is false as text. NULL when it cannot be read.
    venue TEXT GENERATED ALWAYS AS (snapshot_data ->> 'venue') STORED,
    seq BIGINT GENERATED ALWAYS AS (
        CASE WHEN snapshot_data ->> 'seq' ~ '^[0-9]{1,18}$' THEN (snapshot_data ->> 'seq')::BIGINT END
    ) STORED,
    CONSTRAINT single_row CHECK (id = 1)
);
-- The tables inside are compressed already; compressing them again only costs time.
ALTER TABLE engine_snapshots ALTER COLUMN snapshot_data SET STORAGE EXTERNAL;

CREATE TABLE engine_keyframes (
    venue TEXT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    snapshot_data JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (venue, seq)
);
ALTER TABLE engine_keyframes ALTER COLUMN snapshot_data SET STORAGE EXTERNAL;

CREATE TABLE refusals (
    venue TEXT NOT NULL,
    process TEXT NOT NULL,
    reason JSONB NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX refusals_venue ON refusals (venue);

-- History. `position` is an event's index among all events of its log entry; `data` is the event as it was published.

CREATE TABLE closed_orders (
    venue TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    order_id BIGINT NOT NULL,
    market TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    closed_us BIGINT NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (venue, account_id, order_id)
);
CREATE INDEX closed_orders_newest ON closed_orders (venue, account_id, seq DESC, position DESC);

CREATE TABLE closed_positions (
    venue TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    position_id BIGINT NOT NULL,
    market TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    closed_us BIGINT NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (venue, account_id, position_id)
);
CREATE INDEX closed_positions_newest ON closed_positions (venue, account_id, seq DESC, position DESC);

CREATE TABLE fills (
    venue TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    fill_id BIGINT NOT NULL,
    order_id BIGINT NOT NULL,
    market TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    filled_us BIGINT NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (venue, account_id, fill_id)
);
CREATE INDEX fills_newest ON fills (venue, account_id, seq DESC, position DESC);

CREATE TABLE ledger (
    venue TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    index BIGINT NOT NULL,
    booked_us BIGINT NOT NULL,
    amount NUMERIC NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (venue, account_id, seq, chunk, index)
);

CREATE TABLE candles (
    venue TEXT NOT NULL,
    market TEXT NOT NULL,
    minute_ms BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (venue, market, minute_ms)
);

-- The newest events entry whose rows are all here, and its digest; (0, 0) before the first.
CREATE TABLE persister_cursor (
    venue TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    log_time_us BIGINT NOT NULL
);

-- What could not be stored, byte for byte; index -1 is the entry as a whole.
CREATE TABLE persister_rejects (
    venue TEXT NOT NULL,
    seq BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    index BIGINT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    data BYTEA NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (venue, seq, chunk, index)
);
