"""What the service remembers, in SQLite: each decision is one transaction, synced before anything is acknowledged or sent."""

import json
import sqlite3

import meetings

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS meetings(
    id TEXT PRIMARY KEY, rev INTEGER, put_rev INTEGER DEFAULT 0, due_ms INTEGER, ended_ms INTEGER, document TEXT);
CREATE INDEX IF NOT EXISTS meetings_due ON meetings(due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS meetings_unput ON meetings(id) WHERE put_rev < rev;
CREATE TABLE IF NOT EXISTS involved(user TEXT, meeting TEXT, how TEXT, PRIMARY KEY(user, meeting));
CREATE TABLE IF NOT EXISTS handled(request TEXT PRIMARY KEY, at_ms INTEGER);
CREATE TABLE IF NOT EXISTS spent(id TEXT PRIMARY KEY, meeting TEXT, at_ms INTEGER);
CREATE TABLE IF NOT EXISTS outbox(number INTEGER PRIMARY KEY AUTOINCREMENT, signal TEXT);
CREATE TABLE IF NOT EXISTS missed(invitation TEXT PRIMARY KEY, user TEXT, outcome TEXT);
CREATE TABLE IF NOT EXISTS feed(cursor TEXT);
"""
KEPT_MS = 4 * 24 * 3_600_000


class Store:
    """One for each thread; all are the same file."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.db.executescript(SCHEMA)

    def __enter__(self):
        self.db.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind, *_):
        self.db.execute("ROLLBACK" if kind else "COMMIT")

    def all(self, sql, *values):
        return [row[0] for row in self.db.execute(sql, values)]

    def one(self, sql, *values):
        return next(iter(self.all(sql, *values)), None)

    def meeting(self, meeting):
        document = self.one("SELECT document FROM meetings WHERE id = ?", meeting)
        return document and json.loads(document)

    def put(self, meeting):
        """The document, and who is in it or is rung by it."""
        end = meeting["end"]
        values = meeting["id"], meeting["rev"], meetings.due_ms(meeting), end and end["at_ms"], json.dumps(meeting)
        self.db.execute(
            "INSERT INTO meetings(id, rev, due_ms, ended_ms, document) VALUES (?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE "
            "SET rev = excluded.rev, due_ms = excluded.due_ms, ended_ms = excluded.ended_ms, document = excluded.document",
            values)
        self.db.execute("DELETE FROM involved WHERE meeting = ?", (meeting["id"],))
        if not end:
            rung = {ring["user"]: "rung" for ring in meetings.open_rings(meeting)}
            inside = {member["user"]: "in" for member in meeting["members"]}
            rows = [(user, meeting["id"], how) for user, how in (rung | inside).items()]
            self.db.executemany("INSERT INTO involved VALUES (?, ?, ?)", rows)

    def involved(self, user, how):
        """Living meetings that a user is `in`, or is `rung` by."""
        return self.all("SELECT meeting FROM involved WHERE user = ? AND how = ? ORDER BY meeting DESC", user, how)

    def send(self, signals):
        self.db.executemany("INSERT INTO outbox(signal) VALUES (?)", [(json.dumps(signal),) for signal in signals])

    def handled(self, request, now_ms):
        self.db.execute("INSERT OR IGNORE INTO handled VALUES (?, ?)", (request, now_ms))

    def miss(self, missed):
        rows = [(invitation, user, json.dumps(outcome)) for invitation, user, outcome in missed]
        self.db.executemany("INSERT OR REPLACE INTO missed VALUES (?, ?, ?)", rows)

    def missed(self, user):
        found = self.all("SELECT outcome FROM missed WHERE user = ? ORDER BY invitation DESC LIMIT 50", user)
        return [json.loads(outcome) for outcome in found]

    def prune(self, now_ms):
        for table, column in (("meetings", "ended_ms"), ("handled", "at_ms"), ("spent", "at_ms")):
            self.db.execute(f"DELETE FROM {table} WHERE {column} < ?", (now_ms - KEPT_MS,))
