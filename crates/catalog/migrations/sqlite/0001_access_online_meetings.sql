-- One row: the revision of everything that `Catalog::access` returns.
CREATE TABLE access_revision (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
INSERT INTO access_revision (one, revision) VALUES (1, 1);

CREATE TABLE user_groups (group_id TEXT PRIMARY KEY) STRICT;

-- `folded` is the name in lower case: parents are unique without regard to case.
CREATE TABLE parents (
    parent TEXT PRIMARY KEY,
    folded TEXT NOT NULL UNIQUE,
    rule TEXT NOT NULL
) STRICT;

CREATE TABLE access_keys (
    key_id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    instance TEXT NOT NULL
) STRICT;

CREATE TABLE grants (
    group_id TEXT NOT NULL REFERENCES user_groups (group_id),
    parent TEXT NOT NULL REFERENCES parents (parent),
    PRIMARY KEY (group_id, parent)
) STRICT;

CREATE TABLE users (user_id TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE INDEX users_by_name ON users (name, user_id);

CREATE TABLE devices (
    client_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id),
    group_id TEXT NOT NULL REFERENCES user_groups (group_id),
    name TEXT,
    key_id TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX devices_by_user ON devices (user_id);
CREATE INDEX devices_by_expiry ON devices (expires_at_ms);

CREATE TABLE api_keys (secret_sha256 TEXT PRIMARY KEY, label TEXT NOT NULL) STRICT;
CREATE TABLE login_links (
    secret_sha256 TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id)
) STRICT;

-- Connections of which an event was heard. A cleaned one stays for a while: its `connect` may come late or again.
CREATE TABLE connections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    cleaned INTEGER NOT NULL CHECK (cleaned IN (0, 1)),
    at_ms INTEGER NOT NULL,
    UNIQUE (client_id, channel_id)
) STRICT;
CREATE INDEX connections_by_client ON connections (client_id, id);
CREATE INDEX connections_cleaned ON connections (at_ms) WHERE cleaned;

CREATE TABLE presence (
    client_id TEXT PRIMARY KEY,
    online INTEGER NOT NULL CHECK (online IN (0, 1)),
    since_ms INTEGER NOT NULL
) STRICT;

-- `forget_at_ms` is set by the first pruning after the end.
CREATE TABLE meetings (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    document TEXT NOT NULL,
    ended INTEGER NOT NULL CHECK (ended IN (0, 1)),
    forget_at_ms INTEGER
) STRICT;
CREATE INDEX meetings_live ON meetings (id) WHERE NOT ended;
CREATE INDEX meetings_ended ON meetings (forget_at_ms) WHERE ended;

CREATE TABLE timers (
    meeting TEXT NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    PRIMARY KEY (meeting, key)
) STRICT;
CREATE INDEX timers_by_due ON timers (due_ms);

CREATE TABLE engagements (
    meeting TEXT NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    exclusive INTEGER NOT NULL CHECK (exclusive IN (0, 1)),
    PRIMARY KEY (meeting, user_id)
) STRICT;
CREATE INDEX engagements_by_user ON engagements (user_id);
-- One live call a user.
CREATE UNIQUE INDEX engagements_exclusive ON engagements (user_id) WHERE exclusive;

CREATE TABLE handled (signal TEXT PRIMARY KEY, keep_until_ms INTEGER NOT NULL) STRICT;
CREATE INDEX handled_by_time ON handled (keep_until_ms);

-- AUTOINCREMENT: the number of a message that is gone is never given again.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    properties TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE outcomes (
    user_id TEXT NOT NULL,
    invitation TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (user_id, invitation)
) STRICT;
CREATE INDEX outcomes_by_time ON outcomes (user_id, at_ms);

CREATE TABLE creates (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE INDEX creates_by_user ON creates (user_id, at_ms);
CREATE INDEX creates_by_time ON creates (at_ms);
