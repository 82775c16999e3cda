-- name: keep_response
INSERT INTO kept_response (project_id, response_id, expires_at, sealed) VALUES (?, ?, ?, ?);

-- name: keep_item
INSERT INTO kept_response_item (project_id, item_id, response_row_id)
SELECT ?1, ?2, id FROM kept_response WHERE project_id = ?1 AND response_id = ?3
ON CONFLICT DO NOTHING;

-- name: find_response
SELECT sealed FROM kept_response WHERE project_id = ?1 AND response_id = ?2 AND expires_at > ?3;

-- name: find_response_of_item
SELECT kept_response.response_id, kept_response.sealed
FROM kept_response_item JOIN kept_response ON kept_response.id = response_row_id
WHERE kept_response_item.project_id = ?1 AND item_id = ?2 AND expires_at > ?3
ORDER BY response_row_id DESC LIMIT 1;

-- name: delete_response
DELETE FROM kept_response WHERE project_id = ?1 AND response_id = ?2;

-- name: delete_expired_responses
DELETE FROM kept_response
WHERE id IN (
    SELECT id FROM (
        SELECT id, sum(length(sealed)) OVER (ORDER BY expires_at, id) - length(sealed) AS bytes_before
        FROM (SELECT id, expires_at, sealed FROM kept_response WHERE expires_at <= ?1 ORDER BY expires_at, id LIMIT ?2)
    )
    WHERE bytes_before < ?3
);

-- name: delete_oldest_responses
DELETE FROM kept_response
WHERE id IN (
    SELECT id FROM (
        SELECT id, sum(length(sealed)) OVER (ORDER BY id DESC) AS bytes_from_here FROM kept_response
    )
    WHERE bytes_from_here > ?1 ORDER BY id LIMIT ?2
);
