-- What the whole gateway needs: keys of programs, the public trades, and what each funding settlement was.

CREATE TABLE api_keys (
  key_id text PRIMARY KEY,
  venue text NOT NULL,
  account_id bigint NOT NULL,
  public_key bytea NOT NULL,               -- Ed25519; the private half never comes here
  scopes text NOT NULL,                    -- words with one space between: read trade
  label text NOT NULL DEFAULT '',
  created_us bigint NOT NULL,
  expires_us bigint NOT NULL,
  revoked_us bigint,
  rotated_to text                          -- the key that took its place
);
CREATE INDEX api_keys_account ON api_keys (venue, account_id);

-- One row per execution as everybody may see it; of the time before this table there are none.
CREATE TABLE trades (
  venue text NOT NULL,
  market text NOT NULL,
  seq bigint NOT NULL,
  position bigint NOT NULL,
  traded_us bigint NOT NULL,
  data jsonb NOT NULL,
  PRIMARY KEY (venue, market, seq, position)
);

-- What each due time of a market brought: a rate, or why it was skipped.
CREATE TABLE funding_rates (
  venue text NOT NULL,
  market text NOT NULL,
  due_ms bigint NOT NULL,
  seq bigint NOT NULL,
  position bigint NOT NULL,
  data jsonb NOT NULL,
  PRIMARY KEY (venue, market, due_ms)
);

-- Every history is paged by time, then place: one index serves its pages, its cursors and its ranges of time.
CREATE INDEX trades_time ON trades (venue, market, traded_us, seq, position);
CREATE INDEX closed_orders_time ON closed_orders (venue, account_id, closed_us, seq, position);
CREATE INDEX closed_positions_time ON closed_positions (venue, account_id, closed_us, seq, position);
CREATE INDEX fills_time ON fills (venue, account_id, filled_us, seq, position);
CREATE INDEX fills_order ON fills (venue, account_id, order_id);
CREATE INDEX funding_time ON funding (venue, account_id, due_ms, seq, position);
CREATE INDEX ledger_time ON ledger (venue, account_id, booked_us, seq, (chunk * 512 + index));
DROP INDEX closed_orders_newest, closed_positions_newest, fills_newest, funding_newest;
