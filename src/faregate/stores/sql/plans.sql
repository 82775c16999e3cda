-- name: share_of
SELECT subject, subject_id, requests, tokens, requests_shared, tokens_shared FROM throughput WHERE subject_id = ?;

-- name: list_plans
SELECT name, body FROM plan ORDER BY name;

-- name: find_plan
SELECT body FROM plan WHERE name = ?;

-- name: write_plan
INSERT INTO plan (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body;

-- name: delete_plan
DELETE FROM plan WHERE name = ?;

-- name: organisations_with_plan
SELECT name FROM organisation WHERE plan = ? ORDER BY name LIMIT 1;

-- name: list_throughput
SELECT subject, subject_id, organisation_id, project_id, requests, tokens, requests_shared, tokens_shared FROM throughput
WHERE ?1 IS NULL OR organisation_id = ?1
ORDER BY organisation_id, subject = 'key', coalesce(project_id, ''), subject_id;

-- name: write_share
INSERT INTO throughput
(subject, subject_id, organisation_id, project_id, requests, tokens, requests_shared, tokens_shared)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (subject_id) DO UPDATE SET requests = excluded.requests, tokens = excluded.tokens,
    requests_shared = excluded.requests_shared, tokens_shared = excluded.tokens_shared;

-- name: delete_share
DELETE FROM throughput WHERE subject_id = ?;
