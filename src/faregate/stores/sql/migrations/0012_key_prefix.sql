-- What a key begins with, which says whose door it opens; '' for the main house's.
ALTER TABLE api_key ADD COLUMN prefix TEXT NOT NULL DEFAULT '';
