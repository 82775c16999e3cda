-- name: delete_expired_key
DELETE FROM idempotency_key WHERE project_id = ?1 AND key = ?2 AND expires_at <= ?3;

-- name: claim_key
INSERT INTO idempotency_key
    (project_id, key, fingerprint, request_id, epoch_id, created_at, expires_at, running_until)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, key) DO NOTHING;

-- name: find_key
SELECT fingerprint, request_id,
       coalesce(running_until, 0.0) > ?3 AND epoch_id <> ?4
       AND EXISTS (SELECT 1 FROM epoch WHERE epoch.id = epoch_id AND epoch.ended_at IS NULL)
FROM idempotency_key WHERE project_id = ?1 AND key = ?2;

-- name: end_key
UPDATE idempotency_key SET running_until = NULL WHERE project_id = ?1 AND key = ?2 AND request_id = ?3;

-- name: keep_answer
INSERT INTO idempotency_answer (key_row_id, sealed)
SELECT id, ?4 FROM idempotency_key WHERE project_id = ?1 AND key = ?2 AND request_id = ?3
ON CONFLICT (key_row_id) DO UPDATE SET sealed = excluded.sealed;

-- name: find_answer
SELECT sealed FROM idempotency_answer
WHERE key_row_id = (SELECT id FROM idempotency_key WHERE project_id = ?1 AND key = ?2 AND request_id = ?3);

-- name: free_key
DELETE FROM idempotency_key WHERE project_id = ?1 AND key = ?2 AND request_id = ?3;

-- name: delete_expired_keys
DELETE FROM idempotency_key
WHERE id IN (
    SELECT id FROM (
        SELECT id, sum(bytes) OVER (ORDER BY expires_at, id) - bytes AS bytes_before
        FROM (
            SELECT id, expires_at, coalesce(length(sealed), 0) AS bytes
            FROM idempotency_key LEFT JOIN idempotency_answer ON key_row_id = id
            WHERE expires_at <= ?1 ORDER BY expires_at, id LIMIT ?2
        )
    )
    WHERE bytes_before < ?3
);
