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
    payer_id INTEGER REFERENCES account (id),
    credits INTEGER NOT NULL DEFAULT 0 CHECK (credits >= 0),
    debits INTEGER NOT NULL DEFAULT 0 CHECK (debits >= 0),
    leased INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0),
    expires_at REAL,
    created_at REAL NOT NULL,
    CHECK (kind NOT IN ('cust', 'promo', 'budget') OR debits + leased <= credits)
) STRICT;

-- Promotions by whose bought credit they are spent before.
CREATE INDEX account_of_payer ON account (payer_id) WHERE payer_id IS NOT NULL;

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

-- One row for each start of a process that spends: its number fences what it commits.
CREATE TABLE epoch (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL
) STRICT;

-- What a process may spend of an account without asking. One without an epoch belongs to a job's reservation.
CREATE TABLE lease (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account (id),
    epoch_id INTEGER REFERENCES epoch (id),
    job BLOB,
    granted INTEGER NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0,
    active INTEGER NOT NULL DEFAULT 1,
    expires_at REAL NOT NULL,
    CHECK (0 <= settled AND settled <= granted),
    CHECK ((epoch_id IS NULL) <> (job IS NULL))
) STRICT;

CREATE INDEX lease_active ON lease (epoch_id) WHERE active = 1;

-- A hold and what became of it. `budgets` is a JSON list of account ids; `charged` is what the payer paid of `cost`.
CREATE TABLE reservation (
    id BLOB PRIMARY KEY,
    epoch_id INTEGER REFERENCES epoch (id),
    payer_id INTEGER NOT NULL REFERENCES account (id),
    budgets TEXT NOT NULL,
    hold INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'reaped', 'adjusted')),
    cost INTEGER NOT NULL DEFAULT 0,
    charged INTEGER NOT NULL DEFAULT 0,
    refunded INTEGER NOT NULL DEFAULT 0,
    deadline REAL,
    opened_at REAL NOT NULL,
    CHECK (checkpoint <= hold),
    CHECK (refunded <= charged)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservation_open ON reservation (epoch_id) WHERE state = 'open';

CREATE TABLE reservation_leg (
    reservation_id BLOB NOT NULL REFERENCES reservation (id),
    position INTEGER NOT NULL,
    lease_id INTEGER NOT NULL REFERENCES lease (id),
    group_id INTEGER NOT NULL REFERENCES account (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    PRIMARY KEY (reservation_id, position)
) STRICT, WITHOUT ROWID;

-- What a batch was answered: sent again, it is answered the same and changes nothing.
CREATE TABLE batch (
    epoch_id INTEGER NOT NULL REFERENCES epoch (id),
    seq INTEGER NOT NULL,
    results BLOB NOT NULL,
    PRIMARY KEY (epoch_id, seq)
) STRICT, WITHOUT ROWID;
