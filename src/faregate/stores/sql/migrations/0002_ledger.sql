-- Money (double entry): accounts, transfers between two of them, and the leases and reservations through which a
-- process spends. Amounts are nano-USD.

-- `credits`, `debits` and `leased` run along for the kinds that guard a balance: what customers prepaid (cust), what
-- they were given (promo), what a scope may spend (budget), what they owe (receivable). Of all other kinds a balance is
-- the sum of its transfers, so that no two requests wait for one row.
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    organisation_id TEXT,
    credits INTEGER NOT NULL DEFAULT 0 CHECK (credits >= 0),
    debits INTEGER NOT NULL DEFAULT 0 CHECK (debits >= 0),
    leased INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0),
    expires_at REAL,
    created_at REAL NOT NULL,
    CHECK (kind NOT IN ('cust', 'promo', 'budget') OR debits + leased <= credits)
) STRICT;

CREATE INDEX account_of_organisation ON account (organisation_id) WHERE organisation_id IS NOT NULL;

-- One debit, one credit, for ever. A charge has the request's id, and a leg for each account it was taken from; a move
-- by hand has an id of its own, an author and a reason. `idempotency_key` keeps a move from being made twice.
CREATE TABLE transfer (
    id BLOB NOT NULL,
    leg INTEGER NOT NULL,
    debit_account INTEGER NOT NULL REFERENCES account (id),
    credit_account INTEGER NOT NULL REFERENCES account (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    kind TEXT NOT NULL,
    reference BLOB,
    idempotency_key TEXT,
    author TEXT,
    reason TEXT,
    created_at REAL NOT NULL,
    PRIMARY KEY (id, leg),
    CHECK (debit_account <> credit_account)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX transfer_made_once ON transfer (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE INDEX transfer_debits ON transfer (debit_account, id);

CREATE INDEX transfer_credits ON transfer (credit_account, id);

CREATE TRIGGER transfer_is_not_changed BEFORE UPDATE ON transfer
BEGIN
    SELECT RAISE(ABORT, 'a transfer is for ever');
END;

CREATE TRIGGER transfer_is_not_deleted BEFORE DELETE ON transfer
BEGIN
    SELECT RAISE(ABORT, 'a transfer is for ever');
END;
