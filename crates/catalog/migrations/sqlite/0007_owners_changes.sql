-- One row: the number of the last change that an owner made.
CREATE TABLE change_number (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL) STRICT;
INSERT INTO change_number (one, number) VALUES (1, 0);

-- What was changed, by whom and from where. `before` and `after` are JSON without secrets; `cuts` is a JSON list of what the
-- change ends.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    cuts TEXT
) STRICT;
CREATE INDEX audit_by_subject ON audit (kind, subject, number);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_of_devices ON audit (number) WHERE kind = 'device';

-- The change that made the row what it is; 0: none that is known.
ALTER TABLE user_groups ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE parents ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX devices_by_group ON devices (group_id);

-- Keys of services (`access`, whose secret is kept, because it signs) and of owners (`api`, of whose secret only the SHA-256
-- is kept, in lower-case hex).
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('access', 'api')),
    instance TEXT NOT NULL,
    scopes TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    changed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE key_secrets (
    key_id TEXT NOT NULL REFERENCES keys (key_id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    secret TEXT NOT NULL,
    valid_until_ms INTEGER,
    PRIMARY KEY (key_id, generation)
) STRICT;
CREATE INDEX key_secrets_by_secret ON key_secrets (secret);
INSERT INTO keys (key_id, kind, instance, scopes, note, created_at_ms, expires_at_ms, disabled)
SELECT key_id, 'access', instance, 'topics groups devices meetings channels stamps', '', 0, NULL, 0 FROM access_keys;
INSERT INTO key_secrets (key_id, generation, secret) SELECT key_id, 1, secret FROM access_keys;
INSERT INTO keys (key_id, kind, instance, scopes, note, created_at_ms, expires_at_ms, disabled)
SELECT 'api-' || substr(secret_sha256, 1, 16), 'api', '', 'admin', label, 0, NULL, 0 FROM api_keys;
INSERT INTO key_secrets (key_id, generation, secret)
SELECT 'api-' || substr(secret_sha256, 1, 16), 1, secret_sha256 FROM api_keys;
DROP TABLE access_keys;
DROP TABLE api_keys;

CREATE TABLE links (
    link_id TEXT PRIMARY KEY,
    secret_sha256 TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (user_id),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    changed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX links_by_user ON links (user_id, link_id);
CREATE INDEX links_by_expiry ON links (expires_at_ms);
INSERT INTO links (link_id, secret_sha256, user_id, created_at_ms)
SELECT substr(secret_sha256, 1, 16), secret_sha256, user_id, 0 FROM login_links;
DROP TABLE login_links;

-- A user may be removed while news of its devices may still come.
CREATE TABLE gone_devices (client_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
INSERT INTO gone_devices (client_id, user_id, at_ms) SELECT client_id, user_id, at_ms FROM removed_devices;
DROP TABLE removed_devices;
ALTER TABLE gone_devices RENAME TO removed_devices;
CREATE INDEX removed_devices_by_time ON removed_devices (at_ms);
