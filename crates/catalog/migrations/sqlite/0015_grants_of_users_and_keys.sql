-- A grant is of a group, a user or an access key. `grantee` names it as the log of changes does: the Group ID as it is,
-- `user:<user>`, `key:<key>`. `rights` are names with spaces between.
CREATE TABLE new_grants (
    grantee TEXT NOT NULL,
    parent TEXT NOT NULL REFERENCES parents (parent),
    group_id TEXT REFERENCES user_groups (group_id),
    user_id TEXT REFERENCES users (user_id),
    key_id TEXT REFERENCES keys (key_id) ON DELETE CASCADE,
    rights TEXT NOT NULL,
    changed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (grantee, parent),
    CHECK ((group_id IS NOT NULL) + (user_id IS NOT NULL) + (key_id IS NOT NULL) = 1)
) STRICT;
INSERT INTO new_grants (grantee, parent, group_id, rights, changed)
SELECT group_id, parent, group_id, 'publish', changed FROM grants;
DROP TABLE grants;
ALTER TABLE new_grants RENAME TO grants;
CREATE INDEX grants_by_parent ON grants (parent, grantee);
CREATE INDEX grants_by_group ON grants (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX grants_by_user ON grants (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX grants_by_key ON grants (key_id) WHERE key_id IS NOT NULL;

-- The key has, or had, a grant: it may do what its grants name, and nothing else.
ALTER TABLE keys ADD COLUMN is_narrowed INTEGER NOT NULL DEFAULT 0 CHECK (is_narrowed IN (0, 1));
