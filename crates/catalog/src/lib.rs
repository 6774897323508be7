//! Users, devices, grants, meetings: one contract on SQL.
