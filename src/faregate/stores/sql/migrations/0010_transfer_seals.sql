-- Proof that transfers are what they were (ledger/seals.py).

-- One row for each day (days since 1970 UTC) that is over: how many transfers were made on it, and SHA-256 over the
-- digest of the day before and these transfers.
CREATE TABLE transfer_seal (
    day INTEGER PRIMARY KEY,
    transfers INTEGER NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;

CREATE TRIGGER transfer_seal_is_not_changed BEFORE UPDATE ON transfer_seal
BEGIN
    SELECT RAISE(ABORT, 'a seal is for ever');
END;

CREATE TRIGGER transfer_seal_is_not_deleted BEFORE DELETE ON transfer_seal
BEGIN
    SELECT RAISE(ABORT, 'a seal is for ever');
END;

-- The transfers of a day, in the order of their keys: one that is made late has the old id of its request.
CREATE INDEX transfer_of_day ON transfer (CAST(created_at AS INTEGER) / 86400);
