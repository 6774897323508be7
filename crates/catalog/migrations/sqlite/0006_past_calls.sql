-- Calls that are over for a user: one row for each user and meeting.
CREATE TABLE past_calls (
    id INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL,
    meeting TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    duration_ms INTEGER,
    document TEXT NOT NULL,
    UNIQUE (user_id, meeting)
) STRICT;

CREATE INDEX past_calls_by_user ON past_calls (user_id, started_at_ms, meeting);
CREATE INDEX past_calls_by_age ON past_calls (started_at_ms);
