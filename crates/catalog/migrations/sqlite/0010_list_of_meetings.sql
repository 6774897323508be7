-- When a meeting was created, and when it ended for those who were in it: before its channel is closed. Of meetings that are
-- there already: the time in the id (UUIDv7), and the end that the document names.
ALTER TABLE meetings ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meetings ADD COLUMN ended_at_ms INTEGER;
UPDATE meetings SET created_at_ms = (
    WITH RECURSIVE digit (place) AS (VALUES (1) UNION ALL SELECT place + 1 FROM digit WHERE place < 12)
    SELECT SUM((instr('0123456789abcdef', substr(replace(id, '-', ''), place, 1)) - 1) << (4 * (12 - place))) FROM digit
);
UPDATE meetings SET ended_at_ms = CASE
    WHEN json_valid(document) AND json_type(document, '$.end.at_ms') = 'integer' THEN json_extract(document, '$.end.at_ms')
    WHEN ended THEN created_at_ms
END;
CREATE INDEX meetings_by_creation ON meetings (created_at_ms, id);
CREATE INDEX meetings_live_by_creation ON meetings (created_at_ms, id) WHERE ended_at_ms IS NULL;
CREATE INDEX meetings_ended_by_creation ON meetings (created_at_ms, id) WHERE ended_at_ms IS NOT NULL;
