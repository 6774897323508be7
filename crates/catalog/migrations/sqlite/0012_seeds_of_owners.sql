-- Whether an owner has made a thing anew under a name that the program had seeded: it is the owner's from there on. Of what
-- was made already the log of changes tells.
ALTER TABLE seeds ADD COLUMN is_owners INTEGER NOT NULL DEFAULT 0 CHECK (is_owners IN (0, 1));
UPDATE seeds SET is_owners = 1 WHERE EXISTS (
    SELECT 1 FROM audit WHERE audit.kind = seeds.kind AND audit.subject = seeds.subject AND audit.action = 'create'
);
