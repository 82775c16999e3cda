-- name: find_account
SELECT id, name, kind, organisation_id, credits, debits, leased, expires_at FROM account WHERE name = ?;

-- name: insert_account
INSERT INTO account (name, kind, organisation_id, expires_at, created_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO NOTHING;

-- name: accounts_of_organisation
SELECT id, name, kind, organisation_id, credits, debits, leased, expires_at FROM account
WHERE organisation_id = ? ORDER BY created_at, id;

-- name: add_credits
UPDATE account SET credits = credits + ?2 WHERE id = ?1 AND credits <= 9223372036854775807 - ?2;

-- name: add_debits
UPDATE account SET debits = debits + ?2 WHERE id = ?1;

-- name: add_guarded_debits
UPDATE account SET debits = debits + ?2 WHERE id = ?1 AND debits + leased + ?2 <= credits;

-- name: insert_transfer
INSERT INTO transfer
(id, leg, debit_account, credit_account, amount, kind, reference, idempotency_key, author, reason, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: find_transfer_made
SELECT debit_account, credit_account, amount, kind FROM transfer WHERE idempotency_key = ?;

-- name: statement
SELECT t.id, t.leg, t.created_at, t.kind, a.name, t.credit_account = a.id, t.amount, t.author, t.reason
FROM account AS a JOIN transfer AS t ON t.debit_account = a.id OR t.credit_account = a.id
WHERE a.organisation_id = ?1 AND a.kind IN ('cust', 'promo', 'receivable') AND (t.id, t.leg) > (?2, ?3)
ORDER BY t.id, t.leg LIMIT ?4;

-- name: sums_by_account
SELECT a.id, a.name, a.kind, a.credits, a.debits, a.leased,
    coalesce((SELECT sum(t.amount) FROM transfer AS t WHERE t.credit_account = a.id), 0),
    coalesce((SELECT sum(t.amount) FROM transfer AS t WHERE t.debit_account = a.id), 0)
FROM account AS a ORDER BY a.id;
