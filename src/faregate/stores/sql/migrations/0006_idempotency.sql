-- Which idempotency keys a project has used, and for what: 24 hours each. The answers are not here.
-- `fingerprint` is SHA-256 of method, path and body. `running_until` is null once the run has ended; until then it is
-- under way for as long as its process's epoch has not ended, and never beyond that time.
CREATE TABLE idempotency_key (
    id INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    request_id TEXT NOT NULL,
    epoch_id INTEGER NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    running_until REAL,
    UNIQUE (project_id, key)
) STRICT;

CREATE INDEX idempotency_key_by_end ON idempotency_key (expires_at);
