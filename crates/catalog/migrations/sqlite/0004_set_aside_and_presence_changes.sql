-- Why a meeting is left alone: it cannot be read. It is kept for an operator.
ALTER TABLE meetings ADD COLUMN set_aside TEXT;
DROP INDEX meetings_live;
CREATE INDEX meetings_live ON meetings (id) WHERE NOT ended AND set_aside IS NULL;
CREATE INDEX meetings_set_aside ON meetings (id) WHERE set_aside IS NOT NULL;

-- Messages that cannot be sent, as they were in the outbox; kept for an operator.
CREATE TABLE outbox_set_aside (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    properties TEXT NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL
) STRICT;

-- Whose presence may have changed, once each: the later change has the higher number, and none is ever given again.
CREATE TABLE presence_changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL UNIQUE
) STRICT;
