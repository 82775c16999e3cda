-- name: find_account
SELECT id, name, kind, organisation_id, credits, debits, leased, expires_at FROM account WHERE name = ?;

-- name: find_account_by_id
SELECT id, name, kind, organisation_id, credits, debits, leased, expires_at FROM account WHERE id = ?;

-- name: insert_account
INSERT INTO account (name, kind, organisation_id, payer_id, expires_at, created_at) VALUES (?, ?, ?, ?, ?, ?)
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
WHERE a.organisation_id = ?1 AND (a.kind IN ('cust', 'promo', 'receivable') OR a.name LIKE 'metered:%') AND (t.id, t.leg) > (?2, ?3)
ORDER BY t.id, t.leg LIMIT ?4;

-- name: sums_by_account
-- In halves: the allowances of a few metered organisations alone are more than 64 bits hold.
WITH credited AS (
    SELECT credit_account AS account_id, sum(amount >> 32) AS high, sum(amount & 4294967295) AS low
    FROM transfer GROUP BY credit_account
), debited AS (
    SELECT debit_account AS account_id, sum(amount >> 32) AS high, sum(amount & 4294967295) AS low
    FROM transfer GROUP BY debit_account
)
SELECT a.id, a.name, a.kind, a.credits, a.debits, a.leased,
    coalesce(c.high, 0), coalesce(c.low, 0), coalesce(d.high, 0), coalesce(d.low, 0)
FROM account AS a
LEFT JOIN credited AS c ON c.account_id = a.id
LEFT JOIN debited AS d ON d.account_id = a.id
ORDER BY a.id;

-- name: insert_epoch
INSERT INTO epoch (node, started_at) VALUES (?, ?) RETURNING id;

-- name: epochs_not_ended
SELECT id, node FROM epoch WHERE ended_at IS NULL;

-- name: end_epoch
UPDATE epoch SET ended_at = ?2 WHERE id = ?1;

-- name: delete_answered_batches
DELETE FROM batch WHERE epoch_id = ?1 AND seq < ?2;

-- name: find_lease
SELECT account_id, granted, settled, active FROM lease WHERE id = ?;

-- name: write_lease
UPDATE lease SET granted = ?2, settled = ?3, active = ?4 WHERE id = ?1;

-- name: charge_leased
UPDATE account SET debits = debits + ?2, leased = leased - ?3 WHERE id = ?1;

-- name: write_reservations
INSERT INTO reservation (id, epoch_id, payer_id, budgets, hold, state, cost, charged, opened_at) VALUES

-- name: reservation_values
(?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: reservation_conflict
ON CONFLICT (id) DO UPDATE SET state = excluded.state, cost = excluded.cost, charged = excluded.charged
WHERE reservation.state = 'open';

-- name: write_legs
INSERT INTO reservation_leg (reservation_id, position, lease_id, group_id, amount) VALUES

-- name: leg_values
(?, ?, ?, ?, ?)

-- name: write_transfers
INSERT INTO transfer (id, leg, debit_account, credit_account, amount, kind, reference, created_at) VALUES

-- name: transfer_values
(?, ?, ?, ?, ?, ?, ?, ?)

-- name: open_reservations_among
SELECT r.id, r.epoch_id, r.payer_id, r.budgets, r.hold, r.opened_at, l.lease_id, l.group_id, l.amount
FROM reservation AS r JOIN reservation_leg AS l ON l.reservation_id = r.id
WHERE r.state = 'open' AND r.deadline IS NULL AND r.id IN

-- name: in_order_of_legs
ORDER BY r.id, l.position;

-- name: limit_given
SELECT coalesce(sum(iif(credit_account = ?1, amount, -amount)), 0) FROM transfer
WHERE (debit_account = ?1 OR credit_account = ?1) AND kind = 'limit';

-- name: has_bought
SELECT 1 FROM transfer WHERE credit_account = ? AND kind = 'topup' LIMIT 1;

-- name: left_of_charge
SELECT payer_id, charged - refunded FROM reservation WHERE id = ?;

-- name: find_batch
SELECT results FROM batch WHERE epoch_id = ? AND seq = ?;

-- name: insert_batch
INSERT INTO batch (epoch_id, seq, results) VALUES (?, ?, ?);

-- name: usable_accounts
SELECT id, credits - debits - leased, coalesce(expires_at, ?3) FROM account
WHERE (id = ?1 OR payer_id = ?1) AND (expires_at IS NULL OR expires_at > ?2)
ORDER BY coalesce(expires_at, ?3), id;

-- name: lease_out
UPDATE account SET leased = leased + ?2 WHERE id = ?1 AND debits + leased + ?2 <= credits;

-- name: insert_lease
INSERT INTO lease (account_id, epoch_id, job, granted, expires_at) VALUES (?, ?, ?, ?, ?) RETURNING id;

-- name: active_leases
SELECT id FROM lease WHERE epoch_id = ? AND active = 1;

-- name: active_leases_of_job
SELECT id FROM lease WHERE job = ? AND active = 1;

-- name: renew_leases
UPDATE lease SET expires_at = ?2 WHERE epoch_id = ?1 AND active = 1;

-- name: shrink_lease
UPDATE lease SET granted = granted - ?2 WHERE id = ?1 AND active = 1;

-- name: give_back
UPDATE account SET leased = leased - ?2 WHERE id = (SELECT account_id FROM lease WHERE id = ?1);

-- name: give_back_rest
UPDATE account SET leased = leased - coalesce(
    (SELECT l.granted - l.settled FROM lease AS l WHERE l.id = ?1 AND l.active = 1), 0)
WHERE id = (SELECT account_id FROM lease WHERE id = ?1);

-- name: close_lease
UPDATE lease SET active = 0 WHERE id = ?;

-- name: close_empty_lease
UPDATE lease SET active = 0 WHERE id = ? AND granted = settled;

-- name: lease_is_active
SELECT 1 FROM lease WHERE id = ? AND active = 1;

-- name: settle_lease
UPDATE lease SET settled = settled + ?2 WHERE id = ?1 RETURNING account_id;

-- name: debit_leased
UPDATE account SET debits = debits + ?2, leased = leased - ?2 WHERE id = ?1;

-- name: insert_reservation
INSERT INTO reservation (id, epoch_id, payer_id, budgets, hold, deadline, opened_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING;

-- name: insert_leg
INSERT INTO reservation_leg (reservation_id, position, lease_id, group_id, amount) VALUES (?, ?, ?, ?, ?);

-- name: find_reservation
SELECT payer_id, budgets, hold, state, charged, deadline FROM reservation WHERE id = ?;

-- name: legs_of_reservation
SELECT lease_id, group_id, amount FROM reservation_leg WHERE reservation_id = ? ORDER BY position;

-- name: raise_checkpoint
UPDATE reservation SET checkpoint = max(checkpoint, min(?2, hold)), context_id = coalesce(?3, context_id)
WHERE id = ?1 AND state = 'open';

-- name: end_reservation
UPDATE reservation SET state = ?2, cost = ?3, charged = ?4 WHERE id = ?1;

-- name: insert_usage_transfer
INSERT INTO transfer (id, leg, debit_account, credit_account, amount, kind, reference, created_at)
VALUES (?1, (SELECT coalesce(max(leg) + 1, 0) FROM transfer WHERE id = ?1), ?2, ?3, ?4, ?5, ?1, ?6);

-- name: charged_accounts
SELECT a.id, coalesce((SELECT sum(t.amount) FROM transfer AS t WHERE t.id = ?1 AND t.debit_account = a.id), 0)
    - coalesce((SELECT sum(t.amount) FROM transfer AS t WHERE t.id = ?1 AND t.credit_account = a.id), 0)
FROM account AS a WHERE a.id = ?2 OR a.payer_id = ?2
ORDER BY coalesce(a.expires_at, ?3) DESC, a.id DESC;

-- name: ended_epochs
SELECT DISTINCT epoch_id FROM lease WHERE active = 1 AND epoch_id IS NOT NULL AND expires_at < ?;

-- name: ended_jobs
SELECT DISTINCT job FROM lease WHERE active = 1 AND job IS NOT NULL AND expires_at < ?;

-- name: charge_checkpoints
-- Each leg bears what those before it in its group have left of the checkpoint, up to its amount (records.shares).
INSERT INTO transfer (id, leg, debit_account, credit_account, amount, kind, reference, created_at)
SELECT id, position, account_id, CASE WHEN group_id = payer_id THEN ?2 ELSE ?3 END, share, 'usage', id, ?4 FROM (
    SELECT r.id, r.payer_id, g.position, g.group_id, l.account_id,
        min(g.amount, r.checkpoint + g.amount
            - sum(g.amount) OVER (PARTITION BY r.id, g.group_id ORDER BY g.position)) AS share
    FROM reservation AS r
    JOIN reservation_leg AS g ON g.reservation_id = r.id
    JOIN lease AS l ON l.id = g.lease_id
    WHERE r.epoch_id = ?1 AND r.state = 'open' AND r.checkpoint > 0
) WHERE share > 0;

-- name: settle_charged_leases
UPDATE lease SET settled = settled + c.charged FROM (
    SELECT g.lease_id, sum(t.amount) AS charged
    FROM reservation AS r
    JOIN reservation_leg AS g ON g.reservation_id = r.id
    JOIN transfer AS t ON t.id = g.reservation_id AND t.leg = g.position
    WHERE r.epoch_id = ?1 AND r.state = 'open' AND r.checkpoint > 0 GROUP BY g.lease_id
) AS c WHERE lease.id = c.lease_id;

-- name: debit_charged_accounts
UPDATE account SET debits = debits + c.charged, leased = leased - c.charged FROM (
    SELECT t.debit_account, sum(t.amount) AS charged
    FROM reservation AS r JOIN transfer AS t ON t.id = r.id
    WHERE r.epoch_id = ?1 AND r.state = 'open' AND r.checkpoint > 0 GROUP BY t.debit_account
) AS c WHERE account.id = c.debit_account;

-- name: reap_reservations
UPDATE reservation SET state = 'reaped', cost = checkpoint, charged = checkpoint
WHERE epoch_id = ?1 AND state = 'open';

-- name: open_job
SELECT id, payer_id, budgets, hold, checkpoint FROM reservation WHERE id = ? AND state = 'open';

-- name: next_leg
SELECT coalesce(max(leg) + 1, 0) FROM transfer WHERE id = ?;

-- name: find_refund_made
SELECT reference, kind FROM transfer WHERE idempotency_key = ?;

-- name: refunds_made
SELECT t.created_at, sum(t.amount) FROM transfer AS t JOIN account AS a ON a.id = t.credit_account
WHERE t.id = ?1 AND t.kind = 'refund' AND (a.id = ?2 OR a.payer_id = ?2)
GROUP BY t.created_at ORDER BY t.created_at;

-- name: raise_refunded
UPDATE reservation SET refunded = refunded + ?2, state = CASE state WHEN 'reaped' THEN 'adjusted' ELSE state END
WHERE id = ?1 AND refunded + ?2 <= charged;

-- name: leased_otherwise
SELECT a.name, a.leased, coalesce(sum(l.granted - l.settled), 0) FROM account AS a
LEFT JOIN lease AS l ON l.account_id = a.id AND l.active = 1
GROUP BY a.id HAVING a.leased <> coalesce(sum(l.granted - l.settled), 0) ORDER BY a.id;

-- name: charged_otherwise
SELECT * FROM (
    SELECT r.id, r.state, r.cost, r.charged,
        coalesce((SELECT sum(t.amount) FROM transfer AS t JOIN account AS a ON a.id = t.debit_account
            WHERE t.id = r.id AND t.kind = 'usage' AND (a.id = r.payer_id OR a.payer_id = r.payer_id)), 0)
        - coalesce((SELECT sum(t.amount) FROM transfer AS t JOIN account AS a ON a.id = t.credit_account
            WHERE t.id = r.id AND t.kind = 'correction' AND (a.id = r.payer_id OR a.payer_id = r.payer_id)), 0) AS paid,
        coalesce((SELECT sum(t.amount) FROM transfer AS t WHERE t.id = r.id AND t.kind = 'writeoff'), 0) AS written_off
    FROM reservation AS r
) WHERE charged <> paid OR cost <> charged + written_off OR (state = 'open' AND cost <> 0);

-- name: accounts_out_of_order
SELECT coalesce(a.payer_id, a.id), a.name, a.credits - a.debits, a.leased, coalesce(sum(l.granted - l.settled), 0)
FROM account AS a
LEFT JOIN lease AS l ON l.account_id = a.id AND l.active = 1
WHERE a.kind IN ('cust', 'promo', 'budget')
GROUP BY a.id HAVING a.debits + a.leased > a.credits OR a.leased <> coalesce(sum(l.granted - l.settled), 0);

-- name: charged_otherwise_since
SELECT * FROM (
    SELECT r.payer_id, r.id, r.cost, r.charged,
        coalesce((SELECT sum(iif(t.kind = 'usage', t.amount, -t.amount)) FROM transfer AS t
            JOIN account AS a ON a.id = iif(t.kind = 'usage', t.debit_account, t.credit_account)
            WHERE t.id = r.id AND t.kind IN ('usage', 'correction')
            AND (a.id = r.payer_id OR a.payer_id = r.payer_id)), 0) AS paid
    FROM (SELECT * FROM reservation WHERE id >= ? AND state <> 'open' ORDER BY id DESC LIMIT 20000) AS r
) WHERE charged <> paid;

-- name: charges_of_nobody
SELECT t.id, sum(t.amount) FROM transfer AS t
WHERE t.kind = 'usage' AND NOT EXISTS (SELECT 1 FROM reservation AS r WHERE r.id = t.id) GROUP BY t.id;

-- name: charged_without_usage
SELECT r.id, r.charged, u.cost FROM reservation AS r LEFT JOIN usage_row AS u ON u.id = r.id
WHERE r.charged > 0 AND r.deadline IS NULL AND r.id >= ? AND coalesce(u.cost, -1) <> r.charged;

-- name: open_of_the_ended
SELECT r.id, r.epoch_id FROM reservation AS r JOIN epoch AS e ON e.id = r.epoch_id
WHERE r.state = 'open' AND e.ended_at IS NOT NULL;

-- name: leased_to_the_ended
SELECT a.name, l.id, l.granted - l.settled FROM lease AS l
JOIN epoch AS e ON e.id = l.epoch_id JOIN account AS a ON a.id = l.account_id
WHERE l.active = 1 AND e.ended_at IS NOT NULL;

-- name: ledger_counts
SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM lease WHERE active = 1),
    (SELECT count(*) FROM reservation WHERE state = 'open');

-- name: first_day
SELECT max(0, min(CAST(created_at AS INTEGER) / 86400)) FROM transfer;

-- name: transfers_of_day
-- Texts as their bytes: who changed one may have left what is no text.
SELECT CAST(created_at AS INTEGER) / 86400, id, leg, debit_account, credit_account, amount, CAST(kind AS BLOB),
    reference, CAST(idempotency_key AS BLOB), CAST(author AS BLOB), CAST(reason AS BLOB), created_at
FROM transfer WHERE CAST(created_at AS INTEGER) / 86400 = ?1 AND (id, leg) > (?2, ?3) ORDER BY id, leg LIMIT ?4;

-- name: all_transfers
-- As transfers_of_day, of every day: read by the key of the table alone, so that no index is believed.
SELECT CAST(created_at AS INTEGER) / 86400, id, leg, debit_account, credit_account, amount, CAST(kind AS BLOB),
    reference, CAST(idempotency_key AS BLOB), CAST(author AS BLOB), CAST(reason AS BLOB), created_at
FROM transfer NOT INDEXED WHERE (id, leg) > (?1, ?2) ORDER BY id, leg LIMIT ?3;

-- name: insert_seal
INSERT INTO transfer_seal (day, transfers, digest) VALUES (?, ?, ?) ON CONFLICT (day) DO NOTHING;

-- name: find_seal
SELECT day, transfers, digest FROM transfer_seal WHERE day = ?;

-- name: last_seal
SELECT day, transfers, digest FROM transfer_seal ORDER BY day DESC LIMIT 1;

-- name: all_seals
SELECT day, transfers, digest FROM transfer_seal ORDER BY day;
