-- A charge and the usage row that explains it are written together.

-- Of a call that was saved while it went on: the context that its row has if its process dies under it.
ALTER TABLE reservation ADD COLUMN context_id INTEGER;

-- Counters of usage that few calls have (audio, images, searches, ...), a JSON object; '' where there are none.
ALTER TABLE usage_row ADD COLUMN rare TEXT NOT NULL DEFAULT '';

DROP VIEW usage;

CREATE VIEW usage AS
SELECT r.id, r.received_at, c.organisation_id, c.project_id, c.key_id, c.method, c.operation, c.dialect,
       r.client_address, nullif(r.client_request_id, '') AS client_request_id, c.model_asked, c.model, c.provider,
       c.upstream_model, nullif(r.upstream_request_id, '') AS upstream_request_id, c.region, c.replica, c.attempts,
       c.stream, c.status, nullif(c.error_kind, '') AS error_kind, r.input, r.cache_read, r.cache_write, r.output,
       r.reasoning, r.rare, c.source, c.suspect, nullif(r.first_byte_ms, -1.0) AS first_byte_ms, r.total_ms,
       r.bytes_in, r.bytes_out, r.hold, r.cost, c.price_version
FROM usage_row AS r JOIN usage_context AS c ON c.id = r.context_id;
