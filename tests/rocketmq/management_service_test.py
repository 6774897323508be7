"""The management service of the examples runs the calls of a server whose own is off, with real terminals."""

import contextlib
import json
import os
import queue
import random
import sqlite3
import sys
import tempfile
import time
import unittest
import uuid

# Where the client writes its log, whatever it is told.
LOGS = tempfile.TemporaryDirectory(prefix="convoke-service-")
os.environ["HOME"] = LOGS.name

import paho.mqtt.client as paho
from rocketmq import ClientConfiguration, Credentials, Message, Producer

from server import ROOT
from services import ServiceCase
from terminal import Terminal

WAIT_S = 30
SERVICE = os.path.join(ROOT, "examples", "management-service", "python", "service.py")
sys.path.insert(0, os.path.dirname(SERVICE))

import meetings


class Case(ServiceCase):
    def command(self):
        data = os.path.join(self.server.folder.name, "meetings.sqlite")
        server = ["--api", f"http://127.0.0.1:{self.server.http}", "--queue", f"127.0.0.1:{self.server.queue}"]
        return [sys.executable, SERVICE, *server, "--data", data]


class Calls(Case):
    def test_a_call_is_rung_answered_heard_muted_and_ended(self):
        alice, bob, laptop = Terminal(self, "alice", media=True), Terminal(self, "bob", media=True), Terminal(self, "bob", "laptop")
        for terminal in (alice, bob, laptop):
            terminal.find("synchronised")
        alice.do("call", user="bob")
        alice.find("admitted")
        ring = bob.find("ring", **{"from": "alice"})
        laptop.find("ring", invitation=ring["invitation"])
        alice.find("ringing", user="bob")
        bob.do("accept")
        bob.find("admitted")
        alice.find("accepted", user="bob")
        self.assertEqual(laptop.find("ring_ended")["reason"], "answered_elsewhere")
        for terminal, other in ((alice, "bob"), (bob, "alice")):
            terminal.find("first_frame", user=other, source="camera")
        alice.do("mute", track="video", user="bob")
        bob.find("muted", track="video", by="alice")
        alice.do("leave")
        bob.find("ended", reason="left", by="alice")
        alice.find("ended", reason="left")


class Hostile(Case):
    def test_requests_that_nobody_understands_are_refused_and_hold_nobody_up(self):
        alice, bob = Terminal(self, "alice"), Terminal(self, "bob")
        for terminal in (alice, bob):
            terminal.find("synchronised")
        device = self.server.register("mallory", "phone")
        answers, link = queue.Queue(), paho.Client(paho.CallbackAPIVersion.VERSION2, device["client_id"], clean_session=False)
        link.username_pw_set(device["username"], device["password"])
        link.on_message = lambda _link, _data, message: answers.put(json.loads(message.payload))
        link.connect("127.0.0.1", self.server.mqtt)
        link.loop_start()
        self.addCleanup(link.loop_stop)
        now = time.time_ns() // 1_000_000

        def ask(kind, **fields):
            up = {"v": 1, "id": str(uuid.uuid4()), "type": kind, "meeting": str(uuid.uuid4())}
            up |= {"sent_at_ms": now, "expires_at_ms": now + 60_000} | fields
            link.publish(f"meeting-up/{kind}", json.dumps(up), qos=1)
            return up["id"]

        for garbage in (b"", b"[]", b"{", b"[" * 60_000, b'{"id":7,"type":"state"}', b"\xff"):
            link.publish("meeting-up/create", garbage, qos=1)
        wrong = [None, 7, -1, 1.5, True, "", "x" * 9_000, "\u0000", [], [[]], {}, {"a": 1}, 10 ** 400]
        good = {"callees": ["alice"], "media": "video"}
        creates = [good | {name: value} for name in (*good, "title", "meeting", "expires_at_ms", "type") for value in wrong]
        asked = [ask("create", **fields) for fields in creates]
        fields = ("user", "track", "invitation", "reason", "callee", "callees", "meeting")
        kinds = ("mute", "block", "kick", "accept", "reject", "cancel", "invite", "seen", "state")
        asked += [ask(kind, **{name: value}) for kind in kinds for name in fields for value in wrong]
        self.say_nonsense_about_devices()
        alice.do("call", user="bob")
        bob.find("ring", **{"from": "alice"})
        said = {answers.get(timeout=WAIT_S)["in_reply_to"] for _ in range(len(asked) // 2)}
        self.assertLessEqual(said, set(asked))


    def say_nonsense_about_devices(self):
        credentials = Credentials(self.environment["KEY_ID"], self.environment["SECRET"])
        producer = Producer(ClientConfiguration(f"127.0.0.1:{self.server.queue}", credentials), ("GID_dev_MQTT",))
        producer.startup()
        self.addCleanup(producer.shutdown)
        for body in (b"nonsense", b"[]", b"{}", b'{"clientId":7,"eventType":null}'):
            message = Message()
            message.topic, message.body = "GID_dev_MQTT", body
            producer.send(message)


class Machine(unittest.TestCase):
    def test_a_call_whose_two_members_go_at_the_same_time_ends_once(self):
        alice = {"user": "alice", "name": "Alice", "client": "a", "request": "1"}
        callee = {"user": "bob", "name": "Bob", "busy": False, "devices": ["b"], "online": True}
        asked = {"id": "m", "media": "video", "title": None, "callees": [callee]}
        meeting = meetings.create(asked, 0, alice).finish()
        answer = meetings.Decision(meeting, 0, {"user": "bob", "name": "Bob", "client": "b", "request": "2"})
        answer.accept(meetings.ring_of(meeting, "bob"))
        answer.finish()
        gone = meetings.Decision(meeting, 1)
        for client in ("a", "b"):
            gone.line(client, False, False)
        gone.finish()
        over = meetings.Decision(meeting, meetings.due_ms(meeting))
        over.time()
        self.assertEqual(over.finish()["end"]["reason"], "left")
        self.assertIsNone(meetings.wish(meeting))
        self.assertEqual(sorted(send["client"] for send in over.sends), ["a", "b"])


class Kills(Case):
    """The service and the server are killed at random while calls are made; what was acknowledged is carried out, and each
    device of a callee has one ring or one missed call of each invitation."""

    ROUNDS = int(os.environ.get("CONVOKE_SERVICE_KILL_ROUNDS", 6))

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("CONVOKE_SEED", time.time_ns() % 1_000_000))
        print(f"seed {seed}", flush=True)
        self.random, self.kills = random.Random(seed), {"service": 0, "server": 0}
        names = [("alice", "phone"), ("bob", "phone"), ("bob", "laptop"), ("carol", "phone")]
        self.alice, self.bob, self.laptop, self.carol = self.all = [Terminal(self, *name) for name in names]
        for terminal in self.all:
            terminal.find("synchronised")

    def perhaps_kill(self):
        """Within the time that a decision takes, or not at all."""
        what = self.random.choice(["service", "server", None])
        if what is None:
            return
        time.sleep(self.random.random() * 0.08)
        self.kills[what] += 1
        if what == "service":
            self.kill_service()
            self.run_service()
        else:
            self.server.kill()
            self.server.start()

    def ask(self, terminal, what, **fields):
        """A request that the server has acknowledged. One that it has not is not kept, and is made again."""
        while True:
            terminal.until_connected()
            terminal.do(what, **fields)
            if terminal.is_acknowledged():
                return self.perhaps_kill()

    def test_each_device_has_one_ring_or_one_missed_call_whatever_is_killed(self):
        for _ in range(self.ROUNDS):
            self.random.choice([self.answered, self.answered, self.cancelled, self.declined, self.missed_while_off])()
        self.check_rings()
        print(f"killed {self.kills}", flush=True)
        self.assertGreater(sum(self.kills.values()), 0, "nothing was killed")

    def answered(self):
        self.ask(self.alice, "call", user="bob")
        ring = self.bob.find("ring", **{"from": "alice"})["invitation"]
        self.laptop.find("ring", invitation=ring)
        self.ask(self.bob, "accept", invitation=ring)
        self.bob.find("admitted")
        self.laptop.find("ring_ended", invitation=ring)
        self.ask(self.alice, "invite", user="carol")
        ring = self.carol.find("ring", **{"from": "alice"})["invitation"]
        self.ask(self.carol, "accept", invitation=ring)
        self.carol.find("admitted")
        self.ask(self.alice, "block", user="carol", track="audio")
        self.carol.find("blocked", track="audio", blocked=True)
        self.ask(self.alice, "destroy")
        for terminal in (self.alice, self.bob, self.carol):
            terminal.find("ended", reason="destroyed")

    def cancelled(self):
        self.ask(self.alice, "call", user="bob")
        ring = self.bob.find("ring", **{"from": "alice"})["invitation"]
        self.laptop.find("ring", invitation=ring)
        self.ask(self.alice, "cancel")
        for terminal in (self.bob, self.laptop):
            terminal.find("missed", invitation=ring)
        self.ask(self.bob, "seen", invitation=ring)
        self.laptop.find("seen", invitation=ring)

    def declined(self):
        self.ask(self.bob, "call", user="carol")
        ring = self.carol.find("ring", **{"from": "bob"})["invitation"]
        self.ask(self.carol, "reject", invitation=ring)
        self.bob.find("rejected", user="carol")
        self.bob.find("ended", reason="declined")

    def missed_while_off(self):
        self.carol.kill()
        self.ask(self.alice, "call", user="carol")
        self.alice.find("admitted")
        self.ask(self.alice, "cancel")
        self.alice.find("ended", reason="cancelled")
        self.until_sent()
        before = len(self.carol.seen)
        self.carol.start()
        self.carol.find("missed", **{"from": "alice"})
        self.assertFalse([event for event in self.carol.seen[before:] if event["event"] == "ring"], "a ring of a call that is over")

    def until_sent(self):
        """What was decided is on its way, and has had a moment to get into the inboxes: each topic has a way of its own."""
        with contextlib.closing(sqlite3.connect(os.path.join(self.server.folder.name, "meetings.sqlite"))) as store:
            while store.execute("SELECT 1 FROM outbox").fetchone():
                time.sleep(0.05)
        time.sleep(1)

    def check_rings(self):
        for terminal in self.all:
            terminal.until_connected()
            begun = [event["invitation"] for event in terminal.seen if event["event"] == "ring" and not event["resumed"]]
            missed = [event["invitation"] for event in terminal.seen if event["event"] == "missed"]
            self.assertEqual(len(begun), len(set(begun)), f"{terminal.name} has rung twice")
            self.assertEqual(len(missed), len(set(missed)), f"{terminal.name} has missed a call twice")


if __name__ == "__main__":
    unittest.main()
