-- Usage rolled up by day, for ever, and what the retention of the single records needs.

DROP VIEW usage;

-- The last day (days since 1970 UTC) on which a row got this context: once all rows of that day are deleted, nobody
-- needs it. It takes the place of a foreign key, by which every deleted context would be looked for in all rows.
ALTER TABLE usage_context ADD COLUMN used_on INTEGER NOT NULL DEFAULT 0;

UPDATE usage_context SET used_on = (SELECT coalesce(max(CAST(received_at AS INTEGER)), 0) / 86400 FROM usage_row);

-- As before, but that context_id references nothing.
CREATE TABLE usage_row_unbound (
    id BLOB PRIMARY KEY,
    context_id INTEGER NOT NULL,
    received_at REAL NOT NULL,
    client_address TEXT NOT NULL,
    client_request_id TEXT NOT NULL,
    upstream_request_id TEXT NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    first_byte_ms REAL NOT NULL,
    total_ms REAL NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    hold INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO usage_row_unbound
SELECT id, context_id, received_at, client_address, client_request_id, upstream_request_id, input, cache_read,
       cache_write, output, reasoning, first_byte_ms, total_ms, bytes_in, bytes_out, hold, cost
FROM usage_row ORDER BY id;

DROP TABLE usage_row;

ALTER TABLE usage_row_unbound RENAME TO usage_row;

CREATE VIEW usage AS
SELECT r.id, r.received_at, c.organisation_id, c.project_id, c.key_id, c.method, c.operation, c.dialect,
       r.client_address, nullif(r.client_request_id, '') AS client_request_id, c.model_asked, c.model, c.provider,
       c.upstream_model, nullif(r.upstream_request_id, '') AS upstream_request_id, c.region, c.replica, c.attempts,
       c.stream, c.status, nullif(c.error_kind, '') AS error_kind, r.input, r.cache_read, r.cache_write, r.output,
       r.reasoning, c.source, c.suspect, nullif(r.first_byte_ms, -1.0) AS first_byte_ms, r.total_ms, r.bytes_in,
       r.bytes_out, r.hold, r.cost, c.price_version
FROM usage_row AS r JOIN usage_context AS c ON c.id = r.context_id;

-- The sums of the rows of a day (days since 1970 UTC, of received_at), kept up with each of them. `errors` are answers
-- of status 400 and above, `cost` is nano-USD. Sums end at 2^63 - 1.
CREATE TABLE usage_day (
    day INTEGER NOT NULL,
    organisation_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    PRIMARY KEY (day, organisation_id, project_id, key_id, model)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_day
SELECT CAST(received_at AS INTEGER) / 86400, organisation_id, project_id, key_id, model, count(*),
       count(CASE WHEN status >= 400 THEN 1 END), sum(input), sum(cache_read), sum(cache_write), sum(output),
       sum(reasoning), sum(bytes_in), sum(bytes_out), sum(cost)
FROM usage GROUP BY 1, 2, 3, 4, 5;

-- Rows of requests received before this moment (unix seconds) may be deleted already; of later ones none is.
CREATE TABLE usage_retention (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    deleted_before REAL NOT NULL
) STRICT;

INSERT INTO usage_retention (only_row, deleted_before) VALUES (1, 0.0);
