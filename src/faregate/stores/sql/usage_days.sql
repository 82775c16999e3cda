-- name: add_days
INSERT INTO usage_day (
    day, organisation_id, project_id, key_id, model, requests, errors,
    input, cache_read, cache_write, output, reasoning, bytes_in, bytes_out, cost
) VALUES

-- name: day_values
(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: day_conflict
ON CONFLICT (day, organisation_id, project_id, key_id, model) DO UPDATE SET
    requests = usage_day.requests + excluded.requests,
    errors = usage_day.errors + excluded.errors,
    input = usage_day.input + excluded.input,
    cache_read = usage_day.cache_read + excluded.cache_read,
    cache_write = usage_day.cache_write + excluded.cache_write,
    output = usage_day.output + excluded.output,
    reasoning = usage_day.reasoning + excluded.reasoning,
    bytes_in = usage_day.bytes_in + excluded.bytes_in,
    bytes_out = usage_day.bytes_out + excluded.bytes_out,
    cost = usage_day.cost + excluded.cost

-- name: day_conflict_capped
ON CONFLICT (day, organisation_id, project_id, key_id, model) DO UPDATE SET
    requests = usage_day.requests + excluded.requests,
    errors = usage_day.errors + excluded.errors,
    input = min(usage_day.input + excluded.input, 9223372036854775807),
    cache_read = min(usage_day.cache_read + excluded.cache_read, 9223372036854775807),
    cache_write = min(usage_day.cache_write + excluded.cache_write, 9223372036854775807),
    output = min(usage_day.output + excluded.output, 9223372036854775807),
    reasoning = min(usage_day.reasoning + excluded.reasoning, 9223372036854775807),
    bytes_in = min(usage_day.bytes_in + excluded.bytes_in, 9223372036854775807),
    bytes_out = min(usage_day.bytes_out + excluded.bytes_out, 9223372036854775807),
    cost = min(usage_day.cost + excluded.cost, 9223372036854775807)

-- name: add_rare
INSERT INTO usage_day_rare (day, organisation_id, project_id, key_id, model, counter, amount) VALUES

-- name: rare_values
(?, ?, ?, ?, ?, ?, ?)

-- name: rare_conflict
ON CONFLICT (day, organisation_id, project_id, key_id, model, counter) DO UPDATE SET
    amount = usage_day_rare.amount + excluded.amount

-- name: rare_conflict_capped
ON CONFLICT (day, organisation_id, project_id, key_id, model, counter) DO UPDATE SET
    amount = min(usage_day_rare.amount + excluded.amount, 9223372036854775807)

-- name: sums
SELECT s.day, s.organisation_id, o.name, s.project_id, p.name, s.key_id, k.name, s.model, s.requests, s.errors,
    s.input, s.cache_read, s.cache_write, s.output, s.reasoning, s.bytes_in, s.bytes_out, s.cost
FROM (
    SELECT CASE WHEN ?7 THEN day END AS day, CASE WHEN ?8 THEN organisation_id END AS organisation_id,
        CASE WHEN ?9 THEN project_id END AS project_id, CASE WHEN ?10 THEN key_id END AS key_id,
        CASE WHEN ?11 THEN model END AS model, sum(requests) AS requests, sum(errors) AS errors,
        sum(input) AS input, sum(cache_read) AS cache_read, sum(cache_write) AS cache_write, sum(output) AS output,
        sum(reasoning) AS reasoning, sum(bytes_in) AS bytes_in, sum(bytes_out) AS bytes_out, sum(cost) AS cost
    FROM usage_day
    WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR organisation_id = ?3) AND (?4 IS NULL OR project_id = ?4)
        AND (?5 IS NULL OR key_id = ?5) AND (?6 IS NULL OR model = ?6)
    GROUP BY 1, 2, 3, 4, 5
) AS s
LEFT JOIN organisation AS o ON o.id = s.organisation_id
LEFT JOIN project AS p ON p.id = s.project_id
LEFT JOIN api_key AS k ON k.id = s.key_id
ORDER BY 1, 3, 2, 5, 4, 7, 6, 8;

-- name: rare_sums
SELECT CASE WHEN ?7 THEN day END, CASE WHEN ?8 THEN organisation_id END, CASE WHEN ?9 THEN project_id END,
    CASE WHEN ?10 THEN key_id END, CASE WHEN ?11 THEN model END, counter, sum(amount)
FROM usage_day_rare
WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR organisation_id = ?3) AND (?4 IS NULL OR project_id = ?4)
    AND (?5 IS NULL OR key_id = ?5) AND (?6 IS NULL OR model = ?6)
GROUP BY 1, 2, 3, 4, 5, 6;

-- name: tokens_of_day
SELECT (
    SELECT total(input) + total(cache_read) + total(cache_write) + total(output) + total(reasoning) FROM usage_day
    WHERE day = ?1 AND (?2 IS NULL OR organisation_id = ?2) AND (?3 IS NULL OR project_id = ?3)
        AND (?4 IS NULL OR key_id = ?4)
) + (
    SELECT total(amount) FROM usage_day_rare
    WHERE day = ?1 AND (?2 IS NULL OR organisation_id = ?2) AND (?3 IS NULL OR project_id = ?3)
        AND (?4 IS NULL OR key_id = ?4)
        AND counter IN ('cache_write_1h', 'audio_input', 'audio_output', 'image_input', 'image_output')
);

-- name: model_was_used
SELECT 1 FROM usage_day WHERE model = ? LIMIT 1;

-- name: differences
SELECT day, organisation_id, project_id, key_id, model, sum(requests), sum(errors), sum(input), sum(cache_read),
    sum(cache_write), sum(output), sum(reasoning), sum(bytes_in), sum(bytes_out), sum(cost)
FROM (
    SELECT day, organisation_id, project_id, key_id, model, requests, errors, input, cache_read, cache_write, output,
        reasoning, bytes_in, bytes_out, cost
    FROM usage_day
    UNION ALL
    SELECT CAST(received_at AS INTEGER) / 86400, organisation_id, project_id, key_id, model, -1,
        CASE WHEN status >= 400 THEN -1 ELSE 0 END, -input, -cache_read, -cache_write, -output, -reasoning, -bytes_in,
        -bytes_out, -cost
    FROM usage
) AS both
WHERE day * 86400 >= (SELECT deleted_before FROM usage_retention WHERE only_row = 1)
    AND day * 86400 >= coalesce(
        (SELECT deleted_before FROM usage_retention_of AS r WHERE r.organisation_id = both.organisation_id), 0.0)
GROUP BY 1, 2, 3, 4, 5
HAVING sum(requests) <> 0 OR sum(errors) <> 0 OR sum(input) <> 0 OR sum(cache_read) <> 0 OR sum(cache_write) <> 0
    OR sum(output) <> 0 OR sum(reasoning) <> 0 OR sum(bytes_in) <> 0 OR sum(bytes_out) <> 0 OR sum(cost) <> 0
ORDER BY 1, 2, 3, 4, 5;

-- name: rare_differences
SELECT day, organisation_id, project_id, key_id, model, counter, sum(amount)
FROM (
    SELECT day, organisation_id, project_id, key_id, model, counter, amount FROM usage_day_rare
    UNION ALL
    SELECT CAST(u.received_at AS INTEGER) / 86400, u.organisation_id, u.project_id, u.key_id, u.model, j.key, -j.value
    FROM usage AS u, json_each(iif(json_valid(u.rare), u.rare, '{}')) AS j
    WHERE u.rare <> '' AND typeof(j.value) = 'integer'
) AS both
WHERE day * 86400 >= (SELECT deleted_before FROM usage_retention WHERE only_row = 1)
    AND day * 86400 >= coalesce(
        (SELECT deleted_before FROM usage_retention_of AS r WHERE r.organisation_id = both.organisation_id), 0.0)
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(amount) <> 0
ORDER BY 1, 2, 3, 4, 5, 6;

-- name: subtract_usage
UPDATE usage_day SET
    requests = usage_day.requests - 1, errors = usage_day.errors - u.errors, input = usage_day.input - u.input,
    cache_read = usage_day.cache_read - u.cache_read, cache_write = usage_day.cache_write - u.cache_write,
    output = usage_day.output - u.output, reasoning = usage_day.reasoning - u.reasoning,
    bytes_in = usage_day.bytes_in - u.bytes_in, bytes_out = usage_day.bytes_out - u.bytes_out,
    cost = usage_day.cost - u.cost
FROM (
    SELECT CAST(received_at AS INTEGER) / 86400 AS day, organisation_id, project_id, key_id, model,
        iif(status >= 400, 1, 0) AS errors, input, cache_read, cache_write, output, reasoning, bytes_in, bytes_out, cost
    FROM usage WHERE id = ?
) AS u
WHERE usage_day.day = u.day AND usage_day.organisation_id = u.organisation_id
    AND usage_day.project_id = u.project_id AND usage_day.key_id = u.key_id AND usage_day.model = u.model;

-- name: delete_usage
DELETE FROM usage_row WHERE id = ?;

-- name: insert_usage_of_cut
INSERT INTO usage_row (
    id, context_id, received_at, client_address, client_request_id, upstream_request_id,
    input, cache_read, cache_write, output, reasoning, first_byte_ms, total_ms, bytes_in, bytes_out, hold, cost
)
SELECT id, context_id, opened_at, '', '', '', 0, 0, 0, 0, 0, -1.0, 0.0, 0, 0, hold, checkpoint FROM reservation
WHERE epoch_id = ? AND state = 'open' AND checkpoint > 0 AND context_id IS NOT NULL
ON CONFLICT (id) DO NOTHING;

-- name: add_days_of_cut
INSERT INTO usage_day (
    day, organisation_id, project_id, key_id, model, requests, errors,
    input, cache_read, cache_write, output, reasoning, bytes_in, bytes_out, cost
)
SELECT CAST(r.opened_at AS INTEGER) / 86400, c.organisation_id, c.project_id, c.key_id, c.model,
    count(*), count(CASE WHEN c.status >= 400 THEN 1 END), 0, 0, 0, 0, 0, 0, 0, sum(r.checkpoint)
FROM reservation AS r JOIN usage_context AS c ON c.id = r.context_id
WHERE r.epoch_id = ? AND r.state = 'open' AND r.checkpoint > 0
    AND NOT EXISTS (SELECT 1 FROM usage_row AS u WHERE u.id = r.id)
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (day, organisation_id, project_id, key_id, model) DO UPDATE SET
    requests = usage_day.requests + excluded.requests,
    errors = usage_day.errors + excluded.errors,
    cost = usage_day.cost + excluded.cost;

-- name: deleted_before
SELECT max(deleted_before) FROM (
    SELECT deleted_before FROM usage_retention UNION ALL SELECT deleted_before FROM usage_retention_of);
