-- +goose Up

-- What the workers of this installation have written last, here and beside their queues in Redis: random values, a new one
-- about every second. A copy of this database has its identity, but not the values that came after it was made.
CREATE TABLE queue_nonces (
    only_row   boolean     NOT NULL DEFAULT true,
    nonces     uuid[]      NOT NULL DEFAULT '{}', -- the newest first
    renewed_at timestamptz NOT NULL DEFAULT 'epoch',
    CONSTRAINT queue_nonces_pkey PRIMARY KEY (only_row),
    CONSTRAINT queue_nonces_only_row_check CHECK (only_row)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
INSERT INTO queue_nonces DEFAULT VALUES;

-- +goose Down

DROP TABLE queue_nonces;
