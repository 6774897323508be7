-- Whose device a client id was: news of its last connection may still come. One that is registered again is not in it.
CREATE TABLE removed_devices (
    client_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id),
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX removed_devices_by_time ON removed_devices (at_ms);
