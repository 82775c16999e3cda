-- name: last_price_list
SELECT id, applied_at, author, reason, prices FROM price_list ORDER BY id DESC LIMIT 1;

-- name: insert_price_list
INSERT INTO price_list (id, applied_at, author, reason, prices) VALUES (?, ?, ?, ?, ?);

-- name: next_price_lists
SELECT id, applied_at, author, reason, prices FROM price_list WHERE id > ? ORDER BY id LIMIT ?;

-- name: note_charged_price
INSERT INTO charged_price (model, version, entries) VALUES (?, ?, ?) ON CONFLICT (model, version) DO NOTHING;

-- name: find_charged_price
SELECT entries FROM charged_price WHERE model = ? AND version = ?;
