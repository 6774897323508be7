-- What the program has made by itself: what its configuration names, and what `--dev` is for. Each thing is made once; what
-- an owner makes of it stays, also that it is gone.
CREATE TABLE seeds (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('configuration', 'dev')),
    PRIMARY KEY (kind, subject)
) STRICT;

-- What an earlier `--dev` has made: it has no time of creation, as what owners create has.
INSERT INTO seeds (kind, subject, origin)
SELECT 'key', key_id, 'dev' FROM keys WHERE key_id = 'dev' AND kind = 'access' AND created_at_ms = 0;
INSERT INTO seeds (kind, subject, origin)
SELECT 'user', user_id, 'dev' FROM users
WHERE user_id IN ('alice', 'bob', 'carol') AND EXISTS (SELECT 1 FROM seeds WHERE kind = 'key' AND origin = 'dev');
INSERT INTO seeds (kind, subject, origin)
SELECT 'link', link_id, 'dev' FROM links
WHERE created_at_ms = 0 AND user_id IN (SELECT subject FROM seeds WHERE kind = 'user' AND origin = 'dev');
