-- Tokens that were revoked before their time, by their id (UUID), until that time is over. `key_id` is that of the key which
-- had applied for it; NULL: the owner's.
CREATE TABLE revoked_tokens (
    token_id TEXT PRIMARY KEY,
    key_id TEXT,
    expires_at_ms INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT;
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at_ms);
