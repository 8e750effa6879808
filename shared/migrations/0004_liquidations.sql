-- Positions closed by force, and those that had to take the other side (`kind` adl): the public feed of each market.
-- The account is kept for our own questions and never shown; `data` is the event as it was published.

CREATE TABLE liquidations (
    venue TEXT NOT NULL,
    market TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    position_id BIGINT NOT NULL,
    order_id BIGINT NOT NULL,
    liquidated_us BIGINT NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (venue, market, seq, position)
);
