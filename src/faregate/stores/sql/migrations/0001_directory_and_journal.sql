-- Who may call (organisation, project, api_key, key_secret), what was done to that (audit), what was called (usage).
-- Times are unix seconds. Lists are JSON arrays of strings.

CREATE TABLE organisation (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_at REAL NOT NULL
) STRICT;

CREATE TABLE project (
    id TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisation (id),
    name TEXT NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_at REAL NOT NULL,
    UNIQUE (organisation_id, name)
) STRICT;

CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES project (id),
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    allowed_models TEXT NOT NULL DEFAULT '[]',
    allowed_addresses TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE INDEX api_key_by_project ON api_key (project_id, created_at);

-- The keyed hashes that open a key. More than one only while a rotation's grace lasts: valid_until says how long.
CREATE TABLE key_secret (
    key_id TEXT NOT NULL REFERENCES api_key (id),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    pepper_version TEXT NOT NULL,
    created_at REAL NOT NULL,
    valid_until REAL,
    PRIMARY KEY (key_id, digest)
) STRICT, WITHOUT ROWID;

-- Proves which pepper made the digests, without saying what it is.
CREATE TABLE pepper_mark (
    version TEXT PRIMARY KEY,
    mark BLOB NOT NULL CHECK (length(mark) = 32)
) STRICT, WITHOUT ROWID;

-- Counts every change of the tables above; processes poll it to know when what they have cached is old.
CREATE TABLE directory_revision (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO directory_revision (only_row, revision) VALUES (1, 0);

-- hash = SHA-256 over the previous row's hash and this row, so that a row changed behind our back shows.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    address TEXT,
    request_id TEXT,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    previous_hash BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_is_appended BEFORE INSERT ON audit
WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM audit)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- What many requests have in common, once: who asked for what, how it was served, how it ended. `fingerprint` is a
-- hash of the other columns. Absent texts are ''.
CREATE TABLE usage_context (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    organisation_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    method TEXT NOT NULL,
    operation TEXT NOT NULL,
    dialect TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    region TEXT NOT NULL,
    replica TEXT NOT NULL,
    error_kind TEXT NOT NULL,
    source TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    status INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    suspect INTEGER NOT NULL
) STRICT;

-- One row per request; never content. Keyed by the request id, a UUIDv7, so that rows append. Token classes are
-- disjoint. Times to first byte and total are milliseconds; a first_byte_ms of -1 and a text of '' are absent ones.
CREATE TABLE usage_row (
    id BLOB PRIMARY KEY,
    context_id INTEGER NOT NULL REFERENCES usage_context (id),
    received_at REAL NOT NULL,
    client_address TEXT NOT NULL,
    client_request_id TEXT NOT NULL,
    upstream_request_id TEXT NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    first_byte_ms REAL NOT NULL,
    total_ms REAL NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The usage record as core/call.py has it, for queries.
CREATE VIEW usage AS
SELECT r.id, r.received_at, c.organisation_id, c.project_id, c.key_id, c.method, c.operation, c.dialect,
       r.client_address, nullif(r.client_request_id, '') AS client_request_id, c.model_asked, c.model, c.provider,
       c.upstream_model, nullif(r.upstream_request_id, '') AS upstream_request_id, c.region, c.replica, c.attempts,
       c.stream, c.status, nullif(c.error_kind, '') AS error_kind, r.input, r.cache_read, r.cache_write, r.output,
       r.reasoning, c.source, c.suspect, nullif(r.first_byte_ms, -1.0) AS first_byte_ms, r.total_ms, r.bytes_in,
       r.bytes_out
FROM usage_row AS r JOIN usage_context AS c ON c.id = r.context_id;
