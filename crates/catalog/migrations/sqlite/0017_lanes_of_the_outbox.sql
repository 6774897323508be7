-- Messages of one lane are sent in the order of their creation, by one service at a time: the lane of those that wait is
-- their receiver and topic, as the meeting service names it.
ALTER TABLE outbox ADD COLUMN lane TEXT NOT NULL DEFAULT '';
UPDATE outbox SET lane = COALESCE(
    (SELECT topic || ' ' || json_extract(value, '$[1]') FROM json_each(properties)
     WHERE json_extract(value, '$[0]') = 'receiver'), '')
WHERE json_valid(properties);
