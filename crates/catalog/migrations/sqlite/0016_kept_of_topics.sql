-- How long, in seconds, messages of a parent topic wait for who is off, at most; 0: not at all; NULL: as long as any.
ALTER TABLE parents ADD COLUMN kept_s INTEGER CHECK (kept_s >= 0);
