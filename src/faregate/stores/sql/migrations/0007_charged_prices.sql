-- Every price that calls were charged by, for ever: a record names its model and version, and by them its charge can be
-- computed again. `entries` is a JSON list (core/money.py).
CREATE TABLE charged_price (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    entries TEXT NOT NULL,
    PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;
