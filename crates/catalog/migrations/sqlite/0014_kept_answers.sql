-- Answers to requests that carried an idempotency key, written with the change that they tell of. `place` counts the answers
-- of one caller. What an answer says is sealed: it may hold a secret.
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    place INTEGER NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (caller, idempotency_key)
) STRICT;
CREATE UNIQUE INDEX answers_by_place ON answers (caller, place);
CREATE INDEX answers_by_time ON answers (created_at_ms);
