-- What grows in a meeting. A document that was written whole gets its parts with the next change of its meeting.
CREATE TABLE meeting_parts (
    meeting TEXT NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind <> ''),
    place INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (meeting, kind, place)
) STRICT, WITHOUT ROWID;
