-- name: insert_usage
INSERT INTO usage_row (
    id, context_id, received_at, client_address, client_request_id, upstream_request_id,
    input, cache_read, cache_write, output, reasoning, first_byte_ms, total_ms, bytes_in, bytes_out, hold, cost, rare
) VALUES

-- name: usage_values
(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: usage_conflict
ON CONFLICT (id) DO NOTHING

-- name: ensure_context
INSERT INTO usage_context (
    organisation_id, project_id, key_id, method, operation, dialect, model_asked, model, provider,
    upstream_model, region, replica, error_kind, source, attempts, status, stream, suspect,
    price_version, fingerprint, used_on
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (fingerprint) DO UPDATE SET used_on = max(usage_context.used_on, excluded.used_on)
RETURNING id;

-- name: find_usage
SELECT id, received_at, organisation_id, project_id, key_id, method, operation, dialect, client_address,
    client_request_id, model_asked, model, provider, upstream_model, upstream_request_id, region, replica,
    attempts, stream, status, error_kind, input, cache_read, cache_write, output, reasoning, source, suspect,
    first_byte_ms, total_ms, bytes_in, bytes_out, hold, cost, price_version, rare
FROM usage WHERE id = ? AND project_id = ?;

-- name: note_deleted
UPDATE usage_retention SET deleted_before = max(deleted_before, ?) WHERE only_row = 1;

-- name: delete_rows
DELETE FROM usage_row WHERE id IN (SELECT id FROM usage_row WHERE id < ? ORDER BY id LIMIT ?);

-- name: note_deleted_of
INSERT INTO usage_retention_of (organisation_id, deleted_before) VALUES (?, ?)
ON CONFLICT (organisation_id) DO UPDATE SET
    deleted_before = max(usage_retention_of.deleted_before, excluded.deleted_before);

-- name: delete_rows_of
DELETE FROM usage_row WHERE id IN (
    SELECT r.id FROM usage_row AS r JOIN usage_context AS c ON c.id = r.context_id
    WHERE r.id < ? AND c.organisation_id = ? ORDER BY r.id LIMIT ?);

-- name: unused_contexts
SELECT id FROM usage_context WHERE used_on < ? AND id > ? ORDER BY id LIMIT ?;

-- name: delete_contexts
DELETE FROM usage_context WHERE used_on < ? AND id BETWEEN ? AND ?;
