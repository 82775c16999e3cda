-- Responses that are kept for an hour, where several processes serve them (contract.md 7.6): for `previous_response_id`,
-- look-ups and references to their items. `sealed` is a nonce and AES-256-GCM under a key that is not in the database,
-- bound to the project and the response.
CREATE TABLE kept_response (
    id INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    response_id TEXT NOT NULL,
    expires_at REAL NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (project_id, response_id)
) STRICT;

CREATE INDEX kept_response_by_end ON kept_response (expires_at);

-- Which response an item stands in.
CREATE TABLE kept_response_item (
    project_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    response_row_id INTEGER NOT NULL REFERENCES kept_response (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, item_id, response_row_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_response_item_by_response ON kept_response_item (response_row_id);
