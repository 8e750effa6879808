-- Who may act for an account: people by address, sign-in links by hash, sessions by token id.

CREATE TABLE users (
  user_id uuid PRIMARY KEY,
  venue text NOT NULL,
  email text NOT NULL,
  email_hash bytea NOT NULL,               -- HMAC(venue key, address); its first half is the account's owner in the log
  account_id bigint,                       -- NULL: pending, the engine has not been heard yet
  role text NOT NULL DEFAULT 'trader',
  created_us bigint NOT NULL,
  UNIQUE (venue, email_hash)
);
CREATE UNIQUE INDEX users_account ON users (venue, account_id) WHERE account_id IS NOT NULL;

CREATE TABLE login_links (
  token_hash bytea PRIMARY KEY,            -- SHA-256; the token itself is in the mail only
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  purpose text NOT NULL,
  created_us bigint NOT NULL,
  expires_us bigint NOT NULL
);
CREATE INDEX login_links_user ON login_links (user_id);

CREATE TABLE sessions (
  jti uuid PRIMARY KEY,
  venue text NOT NULL,
  user_id uuid REFERENCES users ON DELETE CASCADE,  -- NULL: opened by the operator's tool
  account_id bigint NOT NULL,
  created_us bigint NOT NULL,
  expires_us bigint NOT NULL,
  revoked_us bigint,
  label text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_account ON sessions (venue, account_id);
