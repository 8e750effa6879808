-- What positions paid for funding, or received: one row a position and due time; `data` is the event as it was published.

CREATE TABLE funding (
    venue TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    position_id BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    market TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    amount NUMERIC NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (venue, account_id, position_id, due_ms)
);
CREATE INDEX funding_newest ON funding (venue, account_id, seq DESC, position DESC);
