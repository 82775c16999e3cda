-- Answers under idempotency keys, where the operator wants them kept; each goes with its key's row.
-- `sealed` is a nonce and AES-256-GCM under a key that is not in the database, bound to the row it is of.
CREATE TABLE idempotency_answer (
    key_row_id INTEGER PRIMARY KEY REFERENCES idempotency_key (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL
) STRICT;
