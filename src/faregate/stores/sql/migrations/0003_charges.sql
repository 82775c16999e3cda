-- What a call was held for and charged, beside what it used; how an organisation pays,
-- and what a key may bill.

-- 'prepaid': from credit, never more than it has. 'metered': without credit, within its budgets alone.
ALTER TABLE organisation ADD COLUMN billing TEXT NOT NULL DEFAULT 'prepaid' CHECK (billing IN ('prepaid', 'metered'));

-- Further projects of its organisation that a key may bill, a JSON array of ids.
ALTER TABLE api_key ADD COLUMN bills TEXT NOT NULL DEFAULT '[]';

-- What a project or a key may spend in a day, a month, or in all, nano-USD (ledger/budgets.py).
CREATE TABLE budget (
    subject_id TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('project', 'key')),
    period TEXT NOT NULL CHECK (period IN ('day', 'month', 'total')),
    amount INTEGER NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (subject_id, period)
) STRICT, WITHOUT ROWID;

ALTER TABLE usage_row ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;

ALTER TABLE usage_row ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;

ALTER TABLE usage_context ADD COLUMN price_version TEXT NOT NULL DEFAULT '';

DROP VIEW usage;

CREATE VIEW usage AS
SELECT r.id, r.received_at, c.organisation_id, c.project_id, c.key_id, c.method, c.operation, c.dialect,
       r.client_address, nullif(r.client_request_id, '') AS client_request_id, c.model_asked, c.model, c.provider,
       c.upstream_model, nullif(r.upstream_request_id, '') AS upstream_request_id, c.region, c.replica, c.attempts,
       c.stream, c.status, nullif(c.error_kind, '') AS error_kind, r.input, r.cache_read, r.cache_write, r.output,
       r.reasoning, c.source, c.suspect, nullif(r.first_byte_ms, -1.0) AS first_byte_ms, r.total_ms, r.bytes_in,
       r.bytes_out, r.hold, r.cost, c.price_version
FROM usage_row AS r JOIN usage_context AS c ON c.id = r.context_id;
