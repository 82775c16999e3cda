-- name: bump_revision
UPDATE directory_revision SET revision = revision + 1 WHERE only_row = 1;

-- name: revision
SELECT revision FROM directory_revision WHERE only_row = 1;

-- name: insert_organisation
INSERT INTO organisation (id, name, disabled, created_at) VALUES (?, ?, 0, ?);

-- name: find_organisation
SELECT id, name, disabled, created_at, billing, plan, bounds FROM organisation
WHERE id = ?1 OR name = ?1 ORDER BY id <> ?1 LIMIT 1;

-- name: list_organisations
SELECT id, name, disabled, created_at, billing, plan, bounds FROM organisation ORDER BY created_at, id;

-- name: disable_organisation
UPDATE organisation SET disabled = ? WHERE id = ?;

-- name: bill_organisation
UPDATE organisation SET billing = ? WHERE id = ?;

-- name: insert_project
INSERT INTO project (id, organisation_id, name, disabled, created_at) VALUES (?, ?, ?, 0, ?);

-- name: find_project
SELECT id, organisation_id, name, disabled, created_at, overrides FROM project WHERE id = ?;

-- name: find_projects_named
SELECT id, organisation_id, name, disabled, created_at, overrides FROM project
WHERE name = ?1 AND (?2 IS NULL OR organisation_id = ?2) ORDER BY created_at, id LIMIT 2;

-- name: list_projects
SELECT id, organisation_id, name, disabled, created_at, overrides FROM project
WHERE ?1 IS NULL OR organisation_id = ?1 ORDER BY created_at, id;

-- name: disable_project
UPDATE project SET disabled = ? WHERE id = ?;

-- name: insert_key
INSERT INTO api_key (id, project_id, name, created_at, expires_at, allowed_models, allowed_addresses, bills, overrides,
                     prefix)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_secret
INSERT INTO key_secret (key_id, digest, pepper_version, created_at) VALUES (?, ?, ?, ?);

-- name: find_key
SELECT k.id, k.project_id, p.organisation_id, k.name, k.created_at, k.expires_at, k.revoked_at,
       k.allowed_models, k.allowed_addresses, k.bills, k.overrides, k.prefix
FROM api_key AS k JOIN project AS p ON p.id = k.project_id
WHERE k.id = ?;

-- name: list_keys
SELECT k.id, k.project_id, p.organisation_id, k.name, k.created_at, k.expires_at, k.revoked_at,
       k.allowed_models, k.allowed_addresses, k.bills, k.overrides, k.prefix
FROM api_key AS k JOIN project AS p ON p.id = k.project_id
WHERE ?1 IS NULL OR k.project_id = ?1
ORDER BY k.created_at, k.id;

-- name: revoke_key
UPDATE api_key SET revoked_at = ? WHERE id = ?;

-- name: delete_secrets
DELETE FROM key_secret WHERE key_id = ?;

-- name: delete_dead_secrets
DELETE FROM key_secret WHERE key_id = ?1 AND valid_until <= ?2;

-- name: end_secrets
UPDATE key_secret SET valid_until = ?2
WHERE key_id = ?1 AND (valid_until IS NULL OR valid_until > ?2);

-- name: find_secret
SELECT digest, valid_until FROM key_secret WHERE key_id = ? AND digest = ?;

-- name: prove_key
SELECT k.expires_at, k.revoked_at, k.project_id, p.organisation_id,
       p.disabled OR o.disabled, k.allowed_models, k.allowed_addresses, coalesce(a.id, 0), k.bills, o.plan, o.bounds,
       k.overrides,
       o.billing = 'metered' OR EXISTS (
           SELECT 1 FROM account AS c JOIN transfer AS t ON t.credit_account = c.id
           WHERE c.name = 'cust:' || o.id AND t.kind = 'topup')
FROM api_key AS k
JOIN project AS p ON p.id = k.project_id
JOIN organisation AS o ON o.id = p.organisation_id
LEFT JOIN account AS a ON a.name = iif(o.billing = 'metered', 'metered:', 'cust:') || o.id
WHERE k.id = ?;

-- name: find_pepper_mark
SELECT mark FROM pepper_mark WHERE version = ?;

-- name: insert_pepper_mark
INSERT INTO pepper_mark (version, mark) VALUES (?, ?);

-- name: last_audit
SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1;

-- name: insert_audit
INSERT INTO audit (sequence, at, actor, address, request_id, action, subject, before, after, previous_hash, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: list_audit
SELECT sequence, at, actor, address, request_id, action, subject, before, after, previous_hash, hash
FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?;

-- name: budgets_of
SELECT subject_id, period, amount FROM budget WHERE subject_id = ? ORDER BY subject_id, period;

-- name: find_budget
SELECT amount FROM budget WHERE subject_id = ? AND period = ?;

-- name: set_budget
INSERT INTO budget (subject_id, scope, period, amount) VALUES (?, ?, ?, ?)
ON CONFLICT (subject_id, period) DO UPDATE SET amount = excluded.amount;

-- name: delete_budget
DELETE FROM budget WHERE subject_id = ? AND period = ?;

-- name: list_budgets
SELECT scope, subject_id, period, amount FROM budget WHERE ?1 IS NULL OR subject_id = ?1
ORDER BY scope DESC, subject_id, period;

-- name: overrides_of_project
SELECT id, overrides FROM project WHERE id = ? AND overrides <> '{}';

-- name: assign_plan
UPDATE organisation SET plan = ? WHERE id = ?;

-- name: bound_organisation
UPDATE organisation SET bounds = ? WHERE id = ?;

-- name: override_project
UPDATE project SET overrides = ? WHERE id = ?;

-- name: override_key
UPDATE api_key SET overrides = ? WHERE id = ?;

-- name: plans_held
-- has_paid: as prove_key has it.
SELECT o.id, o.plan, o.billing = 'metered' OR EXISTS (
    SELECT 1 FROM account AS c JOIN transfer AS t ON t.credit_account = c.id
    WHERE c.name = 'cust:' || o.id AND t.kind = 'topup')
FROM organisation AS o ORDER BY o.id;

-- name: has_paid
-- As prove_key has it.
SELECT o.billing = 'metered' OR EXISTS (
    SELECT 1 FROM account AS c JOIN transfer AS t ON t.credit_account = c.id
    WHERE c.name = 'cust:' || o.id AND t.kind = 'topup')
FROM organisation AS o WHERE o.id = ?;
