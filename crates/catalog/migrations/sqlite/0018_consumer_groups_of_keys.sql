-- The consumer groups by which an access key may receive from the queue, with spaces between; NULL: any.
ALTER TABLE keys ADD COLUMN consumer_groups TEXT;
