"""The short management services of the examples run a call of two real terminals, and are killed while they do."""

import json
import os
import pwd
import random
import shutil
import subprocess
import tempfile
import time
import unittest

import paho.mqtt.client as paho

from convoke_test import Terminal as Client, request
from server import ROOT
from services import ServiceCase
from terminal import Terminal

EXAMPLES = os.path.join(ROOT, "examples", "management-service")
# Kept for the next run.
LIBRARIES = os.path.join(ROOT, "build", "java")


class Calls:
    """What each does; `command` starts what `build` has put into a folder."""

    ROUNDS = int(os.environ.get("CONVOKE_SERVICE_KILL_ROUNDS", 2))

    @classmethod
    def setUpClass(cls):
        cls.built = tempfile.TemporaryDirectory(prefix="convoke-example-")
        cls.addClassCleanup(cls.built.cleanup)
        # Where what was built and fetched before is; the other tests have set another one.
        cls.build(cls.built.name, os.environ | {"HOME": pwd.getpwuid(os.getuid()).pw_dir})

    def setUp(self):
        super().setUp()
        self.alice, self.bob = Terminal(self, "alice", media=True), Terminal(self, "bob", media=True)
        for terminal in (self.alice, self.bob):
            terminal.find("synchronised")

    def own_environment(self):
        folder, server = self.server.folder.name, self.server
        addresses = {"API": f"http://127.0.0.1:{server.http}", "QUEUE": f"127.0.0.1:{server.queue}"}
        return addresses | {"DATA": os.path.join(folder, "meetings.json"), "HOME": folder}

    def ask(self, terminal, what, **fields):
        terminal.do(what, **fields)
        self.assertTrue(terminal.is_acknowledged(), f"{what} of {terminal.name}")

    def kill_within(self, most_s):
        """While it does what it was asked, or before, or after."""
        time.sleep(self.random.random() * most_s)
        self.kill_service()

    def test_a_call_is_rung_once_answered_and_ended_though_its_service_is_killed(self):
        seed = int(os.environ.get("CONVOKE_SEED", time.time_ns() % 1_000_000))
        print(f"seed {seed}", flush=True)
        self.random, answered = random.Random(seed), []
        for round in range(self.ROUNDS):
            most_s = 0.1 if round else 0
            self.ask(self.alice, "call", user="bob")
            self.kill_within(most_s)
            self.run_service()
            ring = self.bob.find("ring", **{"from": "alice"})["invitation"]
            self.alice.find("ringing", user="bob")
            if round % 2 == 0:
                self.kill_within(0)
            self.ask(self.bob, "accept", invitation=ring)
            if round % 2 == 1:
                self.kill_within(most_s)
            self.run_service()
            self.bob.find("admitted")
            self.alice.find("accepted", user="bob")
            for terminal, other in ((self.alice, "bob"), (self.bob, "alice")):
                terminal.find("first_frame", user=other, source="camera")
            answered.append(ring)
            self.ask(self.alice, "leave")
            self.bob.find("ended", reason="left", by="alice")
            self.alice.find("ended", reason="left")
        self.assertEqual([event["invitation"] for event in self.bob.seen if event["event"] == "ring"], answered)
        for terminal in (self.alice, self.bob):
            self.assertEqual(len([event for event in terminal.seen if event["event"] == "admitted"]), self.ROUNDS)

    def test_who_gives_up_leaves_a_missed_call_and_one_device_answers_for_all(self):
        laptop = Terminal(self, "bob", "laptop")
        laptop.find("synchronised")
        self.ask(self.alice, "call", user="bob")
        ring = self.bob.find("ring", **{"from": "alice"})["invitation"]
        laptop.find("ring", invitation=ring)
        self.ask(self.alice, "cancel")
        for terminal in (self.bob, laptop):
            terminal.find("missed", invitation=ring)
        self.alice.find("ended", reason="cancelled")
        self.ask(self.alice, "call", user="bob")
        ring = self.bob.find("ring", **{"from": "alice"})["invitation"]
        laptop.find("ring", invitation=ring)
        self.ask(laptop, "reject", invitation=ring)
        self.alice.find("rejected", user="bob")
        self.alice.find("ended", reason="declined")
        self.assertEqual(self.bob.find("ring_ended", invitation=ring)["reason"], "declined_elsewhere")
        self.ask(self.alice, "call", user="nobody")
        self.alice.find("refused", code="not_allowed")
        for terminal in (self.bob, laptop):
            terminal.kill()
        self.ask(self.alice, "call", user="bob")
        self.alice.find("admitted")
        self.ask(self.alice, "cancel")
        self.alice.find("ended", reason="cancelled")
        before = len(self.bob.seen)
        self.bob.start()
        self.bob.find("missed", **{"from": "alice"})
        self.assertFalse([event for event in self.bob.seen[before:] if event["event"] == "ring"], "a ring of a call that is over")

    def test_a_call_goes_on_over_a_restart_of_the_server(self):
        self.ask(self.alice, "call", user="bob")
        ring = self.bob.find("ring", **{"from": "alice"})["invitation"]
        self.server.kill()
        self.server.start()
        for terminal in (self.alice, self.bob):
            terminal.find("synchronised")
        self.ask(self.bob, "accept", invitation=ring)
        for terminal, other in ((self.alice, "bob"), (self.bob, "alice")):
            terminal.find("first_frame", user=other, source="camera")
        self.ask(self.bob, "leave")
        self.alice.find("ended", reason="left", by="bob")

    def test_what_makes_no_sense_is_refused_and_the_next_request_is_answered(self):
        login = self.server.register("carol", "paho")
        carol = Client(login["client_id"], login["username"], login["password"], paho.MQTTv5)
        carol.connect(self.server.mqtt)
        self.addCleanup(carol.close)
        for text in ("", "{", "[]", "null", "{}", '{"id": null}', '{"type": "state"}'):
            carol.publish("meeting-up/create", text)
        meeting = "01930000-0000-7000-8000-00000000000a"
        senseless = [
            request("create", meeting=meeting, media="video", callees=[None]),
            request("create", meeting=meeting, media="video", callees=["carol"]),
            request("create", meeting=meeting, media="smoke", callees=["bob"]),
            request("create", meeting="../users/bob", media="video", callees=["bob"]),
            request("create", meeting=meeting, media="video", callees="bob"),
            request("create", media="video", callees=["bob"]),
            request("accept", meeting=meeting), request("leave"), request("nonsense", meeting=meeting),
            request("history"), request(None), request(7),
        ]
        for text in senseless:
            carol.publish("meeting-up/create", text)
            answer = json.loads(carol.message().payload)
            self.assertEqual((answer["type"], answer["in_reply_to"]), ("refused", json.loads(text)["id"]), text)
            self.assertIn(answer["code"], ("invalid", "not_allowed"), text)
        carol.publish("meeting-up/state", request("state"))
        self.assertEqual(json.loads(carol.message().payload)["user"], "carol")
        carol.publish("meeting-up/contacts", request("contacts"))
        contacts = json.loads(carol.message().payload)["users"]
        self.assertEqual({user["user"]: user["presence"] for user in contacts}, {"alice": "online", "bob": "online"})
        self.assertIsNone(self.service.poll(), "it has ended")


def go():
    return shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")


@unittest.skipUnless(go(), "Go is not installed")
class Go(Calls, ServiceCase):
    @classmethod
    def build(cls, folder, environment):
        command = [go(), "build", "-o", os.path.join(folder, "service"), "."]
        subprocess.run(command, cwd=os.path.join(EXAMPLES, "go"), env=environment, check=True)

    def command(self):
        return [os.path.join(self.built.name, "service")]


@unittest.skipUnless(shutil.which("javac") and shutil.which("mvn"), "Java and Maven are not installed")
class Java(Calls, ServiceCase):
    @classmethod
    def build(cls, folder, environment):
        where = os.path.join(EXAMPLES, "java")
        copy = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", f"-DoutputDirectory={LIBRARIES}"]
        subprocess.run(copy, cwd=where, env=environment, check=True)
        sources = [name for name in os.listdir(where) if name.endswith(".java")]
        subprocess.run(["javac", "-cp", f"{LIBRARIES}/*", "-d", folder, *sources], cwd=where, check=True)

    def command(self):
        return ["java", f"-Duser.home={self.server.folder.name}", "-cp", f"{self.built.name}:{LIBRARIES}/*", "Service"]


if __name__ == "__main__":
    unittest.main()
