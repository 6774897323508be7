-- A tie has a kind: `in`, `rung` or `left`. Only `in` is exclusive.
CREATE TABLE ties (
    meeting TEXT NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('in', 'rung', 'left')),
    PRIMARY KEY (meeting, user_id)
) STRICT;
INSERT INTO ties (meeting, user_id, kind)
SELECT meeting, user_id, CASE WHEN exclusive THEN 'in' ELSE 'rung' END FROM engagements;
DROP TABLE engagements;
ALTER TABLE ties RENAME TO engagements;
CREATE INDEX engagements_by_user ON engagements (user_id);
-- One live call a user.
CREATE UNIQUE INDEX engagements_exclusive ON engagements (user_id) WHERE kind = 'in';
