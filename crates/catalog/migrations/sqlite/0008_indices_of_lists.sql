-- Lists are read in parts, in the order of their ids: each filter finds its part without a look at the rest, and without a sort.
DROP INDEX devices_by_group;
CREATE INDEX devices_by_group ON devices (group_id, client_id);
DROP INDEX devices_by_user;
CREATE INDEX devices_by_user ON devices (user_id, client_id);
CREATE INDEX grants_by_parent ON grants (parent, group_id);
DROP INDEX audit_of_devices;
CREATE INDEX audit_by_kind ON audit (kind, number);
CREATE INDEX audit_by_actor ON audit (actor, number);
