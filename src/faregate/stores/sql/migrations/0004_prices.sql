-- The prices that an operator has put on record, each list whole and for ever: `prices` is a JSON object of model ->
-- its version and entries (core/money.py), null where it had none. For people; what is served are the settings.
CREATE TABLE price_list (
    id INTEGER PRIMARY KEY,
    applied_at REAL NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    prices TEXT NOT NULL
) STRICT;

CREATE TRIGGER price_list_is_not_changed BEFORE UPDATE ON price_list
BEGIN
    SELECT RAISE(ABORT, 'a price list is for ever');
END;

CREATE TRIGGER price_list_is_not_deleted BEFORE DELETE ON price_list
BEGIN
    SELECT RAISE(ABORT, 'a price list is for ever');
END;
