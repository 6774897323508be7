#!/usr/bin/env python3
"""A management service of one's own: runs the meetings of a Convoke server whose built-in service is off.

    requests of terminals  ── queue: meeting-up ──▶ decide ──▶ SQLite ──▶ carry ──▶ channels (HTTP), and then
    who comes and goes     ── queue: <Group>_MQTT ──▶                       ring-down, meeting-down (queue)
    what the media does    ── HTTP: channel events ──▶

One thread decides, so that every meeting has one history; a request is acknowledged once its decision is on disk. One thread
carries out what was decided, as often as it takes: a channel is put before anybody is told how to join it, and a signal keeps
its id however often it is sent. Killed at any moment, the service goes on where it stood.
"""

import argparse
import json
import logging
import os
import queue
import sqlite3
import threading
import time
import unicodedata
import uuid

from rocketmq import ClientConfiguration, Credentials, FilterExpression, Message, Producer, SimpleConsumer

import meetings
from api import Api, Failed, Unavailable
from meetings import MEETING_DOWN, RING_DOWN, Decision, Refused, member_of, ring_of
from store import Store

log = logging.getLogger("meetings")
REQUESTS = "meeting-up"
READS = ("state", "contacts", "history", "seen")
DIRECTIONS = "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
# A call that comes later is none that anybody waits for.
CREATE_MS = 30_000
# So long the answer to `contacts` may be old, so that many who ask cost no more than one.
ONLINE_KEPT_MS = 2_000
# Rings in one answer to `state`, which has to fit into a message.
RINGS_SHOWN_MAX = 20
# What this service had in its hands when it was killed comes again after INVISIBLE_S.
INVISIBLE_S, POLL_S, FEED_WAIT_S, RETRY_S = 10, 10, 20, 0.3
# Past it nothing is received until something is decided.
WAITING_MAX = 1_000


def now_ms():
    return time.time_ns() // 1_000_000


# Fields without which a request says nothing.
NEEDED = {
    "create": ("callees", "media"), "invite": ("callees",), "ringing": ("invitation",), "accept": ("invitation",),
    "reject": ("invitation", "reason"), "seen": ("invitation",), "mute": ("track",), "unmute": ("track",),
    "block": ("user", "track"), "unblock": ("user", "track"), "ask_unmute": ("user", "track"), "kick": ("user",),
}


def check(up):
    """Raises where a field is nothing that can be meant."""
    texts = [up.get(name) for name in ("user", "callee", "invitation", "title", "meeting")]
    lists = up.get("callees", [])
    choices = up.get("track") in (None, "audio", "video"), up.get("reason") in (None, "declined", "busy")
    are_texts = all(text is None or isinstance(text, str) for text in texts + lists) and None not in lists
    is_whole = all(up.get(name) is not None for name in NEEDED.get(up["type"], ()))
    if not are_texts or not all(choices) or not is_whole or len(lists) > meetings.CALLEES_MAX:
        raise Refused("invalid", "a field of the request is missing, or has no value that can be meant")
    if up["type"] not in READS:
        up["meeting"] = str(uuid.UUID(up["meeting"]))


def shown(title):
    """What people see of a title: no control characters, none that change the direction of others."""
    kept = [sign for sign in title or "" if unicodedata.category(sign) not in ("Cc", "Cs", "Zl", "Zp")]
    return "".join(sign for sign in kept if sign not in DIRECTIONS)[:meetings.TITLE_MAX].strip() or None


class Decider:
    """Takes what comes, one after the other."""

    def __init__(self, store, api, wake):
        self.store, self.api, self.wake = store, api, wake
        # Who is there, as asked a moment ago.
        self.known, self.online, self.online_ms = [], set(), 0

    def request(self, message):
        """A request of a terminal. The broker's stamps say who has sent it; what the body says of that is never believed."""
        client, user = message.properties.get("clientId"), message.properties.get("convokeUser")
        try:
            up = json.loads(message.body)
            kind, request = up["type"], str(uuid.UUID(up["id"]))
        except Exception:  # Whatever it is, there is no id to answer to.
            return log.warning("a request of %s cannot be read", client)
        if not client or self.store.one("SELECT 1 FROM handled WHERE request = ?", request):
            return
        actor = {"user": user, "name": user, "client": client, "request": request}
        try:
            found = self.api.user(user) if user else None
            if found is None:
                raise Refused("not_allowed", "this login belongs to no user")
            actor["name"] = found["name"]
            check(up)
            arrived_ms = int(message.properties.get("convokeArrivedMs") or 0)
            if kind in READS:
                getattr(self, kind)(up, actor)
            elif up["expires_at_ms"] < now_ms() or kind == "create" and now_ms() - arrived_ms > CREATE_MS:
                raise Refused("expired", "the request came after its time: ask for your state")
            elif kind == "create":
                self.create(up, actor)
            else:
                self.about_meeting(kind, up, actor)
        except Refused as refusal:
            self.refuse(actor, up, refusal.code, refusal.words)
        except (Unavailable, sqlite3.OperationalError):
            raise  # The server, or the disk, is not there: everything waits for it.
        except Exception as error:  # Nobody else waits for a request that nobody understands.
            self.refuse(actor, up, "invalid", f"the request cannot be understood: {error!r}")

    def refuse(self, actor, up, code, words):
        meeting = up.get("meeting")
        self.reply(actor, "refused", {"code": code, "words": words[:500]}, meeting if isinstance(meeting, str) else None)

    def reply(self, actor, kind, body, meeting=None, more=(), change=lambda store: None):
        """An answer that no meeting's decision has caused."""
        answer = meetings.signal(MEETING_DOWN, actor["client"], kind, body, now_ms(), meeting, actor["request"])
        with self.store as store:
            change(store)
            store.send([answer, *more])
            store.handled(actor["request"], now_ms())
        self.wake.set()

    def commit(self, decision, spent=None):
        """The decision, what it tells, and that its request is handled: all or nothing."""
        meeting = decision.finish()
        with self.store as store:
            store.put(meeting)
            store.send(decision.sends)
            store.miss(decision.missed)
            if decision.actor:
                store.handled(decision.actor["request"], decision.now)
            if spent:
                store.db.execute("INSERT OR IGNORE INTO spent VALUES (?, ?, ?)", (spent, meeting["id"], decision.now))
        self.wake.set()

    def create(self, up, actor):
        user, names = actor["user"], list(dict.fromkeys(up["callees"]))
        if user in names or len(names) > meetings.CALLEES_MAX or up["media"] not in ("audio", "video"):
            raise Refused("invalid", f"a call names {meetings.CALLEES_MAX} others at most, and audio or video")
        if self.store.meeting(up["meeting"]):
            raise Refused("taken", "this meeting id is in use: make a new one")
        if self.store.involved(user, "in"):
            raise Refused("already_in_call", "you are in another call")
        for other in map(self.store.meeting, self.store.involved(user, "rung")):
            ring = ring_of(other, user)
            if names == [ring["by"]] and member_of(other, ring["by"]):
                # Two people call each other: the later create is the accept of the first one's ring.
                decision = Decision(other, now_ms(), actor)
                decision.accept(ring)
                return self.commit(decision, spent=up["meeting"])
        title, callees = shown(up.get("title")), self.callees(names)
        asked = {"id": up["meeting"], "media": up["media"], "title": title, "callees": callees}
        self.commit(meetings.create(asked, now_ms(), actor))

    def callees(self, names):
        found = []
        for name in names:
            user = self.api.user(name)
            if user is None:
                raise Refused("not_allowed", "there is no such user")
            devices = self.api.devices(name)
            found.append({
                "user": name, "name": user["name"], "busy": bool(self.store.involved(name, "in")),
                "devices": [device["client_id"] for device in devices],
                "online": any(device["online"] for device in devices),
            })
        return found

    def about_meeting(self, kind, up, actor):
        user = actor["user"]
        own = self.store.one("SELECT meeting FROM spent WHERE id = ?", up["meeting"]) or up["meeting"]
        meeting = self.store.meeting(own)
        if not meeting or user not in meetings.concerned(meeting):
            raise Refused("not_allowed", "there is no such meeting for you")
        decision, end = Decision(meeting, now_ms(), actor), meeting["end"]
        if kind in ("accept", "join") and any(other != own for other in self.store.involved(user, "in")):
            raise Refused("already_in_call", "you are in another call")
        if kind in ("ringing", "accept", "reject"):
            ring = next((ring for ring in meeting["rings"] if ring["id"] == up["invitation"]), None)
            if ring is None:
                raise Refused("not_allowed", "there is no such invitation for you: ask for your state")
            getattr(decision, kind)(ring, *([up["reason"]] if kind == "reject" else []))
        elif end:
            by = {"by": end["by"]} if end["by"] else {}
            decision.answer("ended", {"rev": meeting["rev"] + 1, "reason": end["reason"]} | by)
        else:
            arguments = {
                "roster": decision.must_be_in, "join": decision.join, "leave": decision.leave, "destroy": decision.destroy,
                "invite": lambda: decision.invite(self.callees(set(up["callees"]) - {user})),
                "cancel": lambda: decision.cancel(up.get("callee")), "kick": lambda: decision.kick(up["user"]),
                "mute": lambda: decision.mute(up.get("user"), up["track"]), "unmute": lambda: decision.unmute(up["track"]),
                "block": lambda: decision.block(up["user"], up["track"], True),
                "unblock": lambda: decision.block(up["user"], up["track"], False),
                "ask_unmute": lambda: decision.ask_unmute(up["user"], up["track"]),
            }
            arguments[kind]()
        self.commit(decision)

    def state(self, up, actor):
        """All that stands for this user on this device. A device that an open ring does not know is entered into it."""
        user, client, rings = actor["user"], actor["client"], []
        rung = self.store.involved(user, "rung")
        for meeting in map(self.store.meeting, rung[:RINGS_SHOWN_MAX]):
            ring = ring_of(meeting, user)
            if all(device["client"] != client for device in ring["devices"]):
                decision = Decision(meeting, now_ms())
                ring["devices"].append(decision.device(client))
                self.commit(decision)
            device = next(device for device in ring["devices"] if device["client"] == client)
            rings.append(meetings.invitation(meeting, ring, device))
        body = {"user": user, "name": actor["name"], "rings": rings}
        body |= {"outcomes": self.store.missed(user), "rings_left_out": len(rung) > RINGS_SHOWN_MAX}
        for meeting in map(self.store.meeting, self.store.involved(user, "in")[:1]):
            member = member_of(meeting, user)
            here = {"join": meetings.join(meeting, user, member)} if member["client"] == client else {}
            body["call"] = {"meeting": meeting["id"], "media": meeting["media"], "here": bool(here)} | here
            body["call"]["roster"] = meetings.roster(meeting)
        self.reply(actor, "state", body)

    def contacts(self, up, actor):
        """Asked once; what changes later is not told here."""
        if now_ms() - self.online_ms > ONLINE_KEPT_MS:
            self.online, self.known, self.online_ms = self.api.online_users(), self.api.users(), now_ms()
        users = []
        for user in self.known:
            online = "online" if user["user"] in self.online else "offline"
            presence = "in_call" if self.store.involved(user["user"], "in") else online
            users.append({"user": user["user"], "name": user["name"], "presence": presence})
        self.reply(actor, "contacts", {"users": [user for user in users if user["user"] != actor["user"]]})

    def history(self, up, actor):
        """Not kept here."""
        self.reply(actor, "history", {"calls": []})

    def seen(self, up, actor):
        """Seen on one device is seen on all."""
        invitation, user = up["invitation"], actor["user"]
        outcome = next((one for one in self.store.missed(user) if one["invitation"] == invitation), None)
        body = {"invitation": invitation, "rev": outcome["rev"] + 1 if outcome else 0}
        others = [device["client_id"] for device in self.api.devices(user)] if outcome else []
        news = [
            meetings.signal(RING_DOWN, client, "seen", body, now_ms(), key=invitation, rev=body["rev"])
            for client in others if client != actor["client"]
        ]
        forget = lambda store: store.db.execute("DELETE FROM missed WHERE invitation = ? AND user = ?", (invitation, user))
        self.reply(actor, "seen", body, more=news, change=forget)

    # Events

    def status(self, message):
        """A device came or went. What has a sender was published by somebody: the broker's own events have none."""
        if message.properties.get("clientId"):
            return
        try:
            event = json.loads(message.body)
            client, kind = event["clientId"], event["eventType"]
        except (ValueError, KeyError, TypeError):
            return log.warning("who came or went cannot be read")
        for meeting in self.living():
            if any(member["client"] == client for member in meeting["members"]):
                online, goodbye = self.api.is_online(client), kind == "disconnect"
                self.event(meeting, lambda decision: decision.line(client, online, goodbye))

    def media(self, answer):
        """What the RTC server reports, at least once and in order; after a gap or a restart, all that is there."""
        if answer.get("snapshot") is not None:
            all_there = [one for channel in answer["snapshot"] for one in channel["participants"] if one["connected"]]
            there = {one["participation"]: one["connection"] for one in all_there}
            for meeting in self.living():
                known = [member["participation"] for member in meeting["members"]]
                self.event(meeting, lambda decision: [
                    decision.media(one, "back" if one in there else "left", there.get(one, 0), anew=True) for one in known
                ])
            # All that live are put again, and those end that are still there though they are over.
            self.store.db.execute("UPDATE meetings SET put_rev = -1 WHERE ended_ms IS NULL")
            open_channels = [(channel["channel"],) for channel in answer["snapshot"]]
            self.store.db.executemany("UPDATE meetings SET put_rev = -1 WHERE id = ?", open_channels)
        for event in answer["events"]:
            meeting = self.store.meeting(event["channel"])
            if meeting and not meeting["end"] and event["type"] in ("joined", "lost", "back", "left"):
                told = event["participation"], event["type"], event["connection"]
                self.event(meeting, lambda decision: decision.media(*told))
        with self.store as store:
            store.db.execute("DELETE FROM feed")
            store.db.execute("INSERT INTO feed VALUES (?)", (json.dumps(answer["cursor"]),))
        self.wake.set()

    def time(self, _):
        for meeting in self.store.all("SELECT id FROM meetings WHERE due_ms <= ?", now_ms()):
            try:
                self.event(self.store.meeting(meeting), lambda decision: decision.time())
            except (KeyError, TypeError, ValueError):  # A defect, which is that meeting's alone.
                log.exception("what is due in %s is not decided; again in a minute", meeting)
                self.store.db.execute("UPDATE meetings SET due_ms = ? WHERE id = ?", (now_ms() + 60_000, meeting))

    def living(self):
        return [json.loads(document) for document in self.store.all("SELECT document FROM meetings WHERE ended_ms IS NULL")]

    def event(self, meeting, act):
        before, decision = json.dumps(meeting), Decision(meeting, now_ms())
        act(decision)
        if json.dumps(meeting) != before:
            self.commit(decision)


class Courier:
    """Carries out what was decided: channels first, then signals in their order."""

    def __init__(self, store, api, producer):
        self.store, self.api, self.producer = store, api, producer

    def carry(self):
        self.put_channels()
        for number, text in self.store.db.execute("SELECT number, signal FROM outbox ORDER BY number LIMIT 50").fetchall():
            signal = json.loads(text)
            if signal["expires_at_ms"] > now_ms():
                self.put_channels()
                try:
                    self.producer.send(self.message(signal))
                except Failed as refusal:
                    log.error("a signal to %s cannot be sent: %s", signal["client"], refusal)
            self.store.db.execute("DELETE FROM outbox WHERE number = ?", (number,))
        return self.store.one("SELECT 1 FROM outbox")

    def put_channels(self):
        for document in self.store.all("SELECT document FROM meetings WHERE put_rev < rev"):
            meeting = json.loads(document)
            try:
                self.api.put(meeting["id"], meeting["rev"], meetings.wish(meeting))
            except (Failed, KeyError, TypeError) as error:  # Nothing that another try would mend.
                log.error("the channel of %s is not put: %r", meeting["id"], error)
            self.store.db.execute("UPDATE meetings SET put_rev = ? WHERE id = ?", (meeting["rev"], meeting["id"]))

    def message(self, signal):
        names = ("id", "meeting", "sent_at_ms", "expires_at_ms", "in_reply_to", "rev")
        envelope = {"v": 1, "type": signal["kind"]} | {name: signal[name] for name in names if signal[name] is not None}
        left_s = -(-(signal["expires_at_ms"] - now_ms()) // 1_000)
        body = self.with_joins(signal["body"])
        if signal["kind"] == "state":
            body["now_ms"] = now_ms()  # Terminals set their clocks by it.
        message = Message()
        message.topic, message.body = signal["topic"], json.dumps(envelope | body).encode()
        properties = {
            "mqttSecondTopic": f"/p2p/{signal['client']}/{signal['kind']}", "qoslevel": "1",
            "cleansessionflag": "false", "mqtt5ContentType": "application/json", "mqtt5MsgExpireInterval": str(left_s),
        }
        collapse = {"collapseKey": signal["key"], "collapseVersion": str(signal["rev"])} if signal["key"] else {}
        for name, value in (properties | collapse).items():
            message.add_property(name, value)
        return message

    def with_joins(self, body):
        """Each `join` completed by where and by what to join, fresh at each sending."""
        if isinstance(body, list):
            return [self.with_joins(item) for item in body]
        if not isinstance(body, dict):
            return body
        return {name: self.granted(value) if name == "join" else self.with_joins(value) for name, value in body.items()}

    def granted(self, join):
        rev = self.store.one("SELECT rev FROM meetings WHERE id = ?", join["channel"])
        grant = self.api.token(rev, join)
        shown = {name: join[name] for name in ("channel", "user", "participation", "profile")}
        return shown | {name: grant[name] for name in ("app", "endpoints", "token")}


class Service:
    def __init__(self, options, key_id, secret):
        self.options, self.wake, self.work = options, threading.Event(), queue.Queue(WAITING_MAX)
        self.api = Api(options.api, key_id, secret, options.ca)
        self.configuration = ClientConfiguration(options.queue, Credentials(key_id, secret))

    def run(self):
        status = f"{self.options.group_id}_MQTT"
        requests, devices = lambda: self.consume(REQUESTS, "request"), lambda: self.consume(status, "status")
        for act in (requests, devices, self.follow, self.carry):
            threading.Thread(target=until_done, args=(act,), daemon=True).start()
        decider, pruned_ms = Decider(Store(self.options.data), self.api, self.wake), 0
        print("The management service is ready.", flush=True)
        while True:
            kind, what, done = self.next_work()
            until_decided(lambda: getattr(decider, kind)(what))
            until_decided(lambda: decider.time(None))
            try:
                done()
            except Exception as error:  # It comes again, and is recognised. The client has a dozen kinds of its own.
                log.warning("what was decided is not acknowledged: %s", error)
            if now_ms() - pruned_ms > 3_600_000:
                decider.store.prune(now_ms())
                pruned_ms = now_ms()

    def next_work(self):
        try:
            return self.work.get(timeout=0.2)
        except queue.Empty:
            return "time", None, lambda: None

    def consume(self, topic, kind):
        group, subscription = self.options.consumer_group, {topic: FilterExpression()}
        consumer = SimpleConsumer(self.configuration, group, subscription, await_duration=POLL_S)
        consumer.startup()
        while True:
            for message in until_done(lambda: consumer.receive(32, INVISIBLE_S)) or ():
                self.work.put((kind, message, lambda message=message: consumer.ack(message)))

    def follow(self):
        """The feed of the RTC server's events, from where the last one was stored."""
        store, stored = Store(self.options.data), threading.Event()
        while True:
            cursor = store.one("SELECT cursor FROM feed")
            answer = until_done(lambda: self.api.events(cursor and json.loads(cursor), FEED_WAIT_S))
            stored.clear()
            self.work.put(("media", answer, stored.set))
            stored.wait()

    def carry(self):
        producer = Producer(self.configuration, (RING_DOWN, MEETING_DOWN))
        producer.startup()
        courier = Courier(Store(self.options.data), self.api, producer)
        while True:
            self.wake.clear()
            if not until_done(courier.carry):
                self.wake.wait(1)


def until_decided(act):
    """Waits for the server and for the disk. What else fails is a defect, which holds up nothing but itself."""
    while True:
        try:
            return act()
        except (Unavailable, sqlite3.OperationalError) as error:
            log.warning("nothing can be decided: %s; again", error)
        except Exception:
            return log.exception("something was not decided")
        time.sleep(RETRY_S)


def until_done(act):
    """While the server is away, everything waits."""
    while True:
        try:
            return act()
        except (Unavailable, Failed) as error:
            log.warning("the server cannot be asked: %s; again", error)
        except Exception:
            log.exception("something was not done; again")
        time.sleep(RETRY_S)


def main():
    keys = "The access key is read from KEY_ID and SECRET."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=keys)
    parser.add_argument("--api", default="http://127.0.0.1:8080", help="the server's HTTP address")
    parser.add_argument("--ca", help="the authority to trust, PEM, for https")
    parser.add_argument("--queue", default="127.0.0.1:8081", help="the server's queue.listen")
    parser.add_argument("--group-id", default="GID_dev", help="the group whose devices call each other")
    parser.add_argument("--consumer-group", default="meetings", help="the consumer group of this service")
    parser.add_argument("--data", default="meetings.sqlite", help="the file that remembers everything")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    Service(parser.parse_args(), os.environ["KEY_ID"], os.environ["SECRET"]).run()


if __name__ == "__main__":
    main()
