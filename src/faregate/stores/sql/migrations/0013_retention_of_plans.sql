-- Organisations whose plan keeps records for less time than the operator does: what of theirs may be gone.
CREATE TABLE usage_retention_of (
    organisation_id TEXT PRIMARY KEY,
    deleted_before REAL NOT NULL
) STRICT, WITHOUT ROWID;
