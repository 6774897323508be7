"""Convoke's HTTP API, as far as a management service needs it. One connection a thread, kept open."""

import base64
import http.client
import json
import ssl
import threading
import urllib.parse


class Unavailable(Exception):
    """Try again: the request may have been done."""


class Failed(Exception):
    """The server's refusal: its status and its problem document (RFC 9457)."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status


class Api:
    def __init__(self, address, key_id, secret, ca=None):
        self.url, self.headers = urllib.parse.urlsplit(address), {"content-type": "application/json"}
        self.headers["authorization"] = "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()
        self.tls = ssl.create_default_context(cafile=ca) if self.url.scheme == "https" else None
        self.local = threading.local()

    def request(self, method, path, body=None, timeout_s=10):
        try:
            connection = self.connection(timeout_s)
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), self.headers)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.local.connection = None
            raise Unavailable(f"{method} {path}: {error!r}") from error
        # A key that may do nothing now may be mended, and a server that is full have room again.
        if status >= 500 or status in (401, 403, 409, 429):
            raise Unavailable(f"{method} {path}: {status}")
        answer = json.loads(content or b"null")
        if status >= 400:
            raise Failed(status, answer or {})
        return answer

    def connection(self, timeout_s):
        kept = getattr(self.local, "connection", None)
        if kept is None:
            secure = {"context": self.tls} if self.tls else {}
            kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
            kept = self.local.connection = kind(self.url.hostname, self.url.port, **secure)
        kept.timeout = timeout_s
        if kept.sock:
            kept.sock.settimeout(timeout_s)
        return kept

    # People

    def user(self, user):
        """None: there is no such user."""
        try:
            return self.request("GET", f"/users/{urllib.parse.quote(user, safe='')}")
        except Failed as refusal:
            if refusal.status in (400, 404):
                return None
            raise

    def users(self):
        return self.request("GET", "/users?limit=200")["items"]

    def online_users(self):
        """All who have a device that is connected now."""
        found, query = set(), "limit=200"
        while query:
            part = self.request("GET", f"/devices?{query}")
            found |= {device["user"] for device in part["items"] if device["online"]}
            query = part.get("next") and f"limit=200&after={urllib.parse.quote(part['next'], safe='')}"
        return found

    def devices(self, user):
        """Of a user who is there."""
        return self.request("GET", f"/devices?limit=32&user={urllib.parse.quote(user, safe='')}")["items"]

    def is_online(self, client):
        return self.request("POST", "/devices:query", {"client_ids": [client]})["items"][0]["online"]

    # Channels

    def put(self, channel, rev, desired):
        """The channel as it is to be from this revision of the meeting on; None ends it."""
        return self.request("PUT", f"/channels/{channel}", {"rev": rev, "desired": desired})

    def token(self, rev, join):
        """What lets this participation in."""
        who = {name: join[name] for name in ("participation", "user", "client")}
        return self.request("POST", f"/channels/{join['channel']}/tokens", {"rev": rev} | who)

    def events(self, cursor, wait_s):
        """What happened in this service's channels since `cursor`; waits until something does."""
        query = urllib.parse.urlencode((cursor or {}) | {"wait_s": wait_s})
        return self.request("GET", f"/channels:events?{query}", timeout_s=wait_s + 10)
