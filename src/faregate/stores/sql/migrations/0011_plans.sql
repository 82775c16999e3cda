-- What an organisation may do, beside what it pays for (core/plans.py). Bodies are JSON.

-- The name of its plan; null for the default one of those that never paid, or of those that did.
ALTER TABLE organisation ADD COLUMN plan TEXT;

-- What narrows its plan (Bounds).
ALTER TABLE organisation ADD COLUMN bounds TEXT NOT NULL DEFAULT '{}';

-- What narrows the plan for a project, or for a key (Overrides).
ALTER TABLE project ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}';

ALTER TABLE api_key ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}';

-- Plans made by command; others stand in the settings, or in the house's file.
CREATE TABLE plan (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests and tokens a minute that are reserved for an organisation, and the shares that its projects and keys have of
-- them. A key's share is part of its project's where that has one, else of the organisation's; the *_shared columns
-- are the sums of the shares that are part of a row's own.
CREATE TABLE throughput (
    subject_id TEXT PRIMARY KEY,
    subject TEXT NOT NULL CHECK (subject IN ('organisation', 'project', 'key')),
    organisation_id TEXT NOT NULL REFERENCES organisation (id),
    project_id TEXT REFERENCES project (id),
    requests INTEGER CHECK (requests >= 0),
    tokens INTEGER CHECK (tokens >= 0),
    requests_shared INTEGER NOT NULL DEFAULT 0 CHECK (requests_shared >= 0),
    tokens_shared INTEGER NOT NULL DEFAULT 0 CHECK (tokens_shared >= 0),
    CHECK (requests_shared <= coalesce(requests, 0)),
    CHECK (tokens_shared <= coalesce(tokens, 0))
) STRICT, WITHOUT ROWID;

CREATE INDEX throughput_of_organisation ON throughput (organisation_id);
