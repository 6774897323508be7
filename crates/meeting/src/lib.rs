//! The service that runs meetings.
