-- What a proven recovery needs: which keyframes count, how far the archive goes, the chain of the audit, restorations.

ALTER TABLE engine_keyframes ADD COLUMN rules INTEGER;
ALTER TABLE engine_keyframes ADD COLUMN log_time_us BIGINT;
ALTER TABLE engine_keyframes ADD COLUMN state_hash TEXT;
ALTER TABLE engine_keyframes ADD COLUMN verified_us BIGINT;  -- read back and hashed again: only then it counts
CREATE INDEX engine_keyframes_time ON engine_keyframes (venue, log_time_us);

-- The newest log entry that lies on the disk of the archive, and its digest.
CREATE TABLE archive_cursor (
    venue TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    synced_us BIGINT NOT NULL
);

CREATE TABLE archive_segments (
    venue TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    first_us BIGINT NOT NULL,
    last_us BIGINT NOT NULL,
    file TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    PRIMARY KEY (venue, first_seq)
);

-- Every instruction with its outcome, append-only; `chain` hashes the chain before, seq, instruction and response.
CREATE TABLE audit (
    venue TEXT NOT NULL,
    seq BIGINT NOT NULL,
    ts_us BIGINT NOT NULL,
    log_time_us BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    op TEXT NOT NULL,
    instruction BYTEA,  -- NULL: the log and the archive no longer held it when the outcome came
    result TEXT NOT NULL,
    response TEXT NOT NULL,  -- as it was published; JSONB would order it anew
    chain BYTEA NOT NULL,
    PRIMARY KEY (venue, seq)
);
CREATE INDEX audit_account ON audit (venue, account_id, seq);

-- The chain's end, so that rows missing from the tail are seen.
CREATE TABLE audit_head (
    venue TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    chain BYTEA NOT NULL
);

CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tidemark.restoring', true) = 'on' AND TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

-- What `tidemark log restore` could not bring back: these numbers stay unused for ever.
CREATE TABLE restorations (
    venue TEXT NOT NULL,
    seq BIGINT NOT NULL,
    first_lost BIGINT NOT NULL,
    last_lost BIGINT NOT NULL,
    kept_to BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (venue, seq)
);
