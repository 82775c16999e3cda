-- The sums by day of the counters that few calls have (usage_row.rare): sound, pictures, seconds, characters, searches.
-- A row for each that counts something, so that a day of ordinary calls has none. Sums end at 2^63 - 1.
CREATE TABLE usage_day_rare (
    day INTEGER NOT NULL,
    organisation_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    counter TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (day, organisation_id, project_id, key_id, model, counter)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_day_rare
SELECT CAST(u.received_at AS INTEGER) / 86400, u.organisation_id, u.project_id, u.key_id, u.model, j.key, sum(j.value)
FROM usage AS u, json_each(iif(json_valid(u.rare), u.rare, '{}')) AS j
WHERE u.rare <> '' AND typeof(j.value) = 'integer' GROUP BY 1, 2, 3, 4, 5, 6;
