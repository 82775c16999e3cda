-- name: insert_usage
INSERT INTO usage_row (
    id, context_id, received_at, client_address, client_request_id, upstream_request_id,
    input, cache_read, cache_write, output, reasoning, first_byte_ms, total_ms, bytes_in, bytes_out, hold, cost
) VALUES

-- name: usage_values
(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: usage_conflict
ON CONFLICT (id) DO NOTHING

-- name: ensure_context
INSERT INTO usage_context (
    organisation_id, project_id, key_id, method, operation, dialect, model_asked, model, provider,
    upstream_model, region, replica, error_kind, source, attempts, status, stream, suspect,
    price_version, fingerprint
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (fingerprint) DO UPDATE SET fingerprint = excluded.fingerprint
RETURNING id;

-- name: find_usage
SELECT id, received_at, organisation_id, project_id, key_id, method, operation, dialect, client_address,
    client_request_id, model_asked, model, provider, upstream_model, upstream_request_id, region, replica,
    attempts, stream, status, error_kind, input, cache_read, cache_write, output, reasoning, source, suspect,
    first_byte_ms, total_ms, bytes_in, bytes_out, hold, cost, price_version
FROM usage WHERE id = ? AND project_id = ?;
