"""Eclipse Paho for Python against a real server: what existing MQTT clients may rely on."""

import json
import queue
import time
import unittest
import uuid

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from server import Server

WAIT_S = 10
SERVICE = "GID_dev@@@service"


class Terminal:
    """One Paho client with its received messages in a queue."""

    def __init__(self, client_id, username, password, version, clean=False):
        self.messages, self.connects, self.ends = queue.Queue(), queue.Queue(), queue.Queue()
        options = {} if version == paho.MQTTv5 else {"clean_session": clean}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, **options)
        self.client.username_pw_set(username, password)
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_connect = lambda _c, _d, flags, reason, _p: self.connects.put((flags, reason))
        self.client.on_disconnect = lambda _c, _d, _f, reason, _p: self.ends.put(reason)
        self.version, self.clean = version, clean

    def connect(self, port):
        options = {}
        if self.version == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if self.clean else 3600
            options = {"clean_start": self.clean, "properties": properties}
        self.client.connect("localhost", port, **options)
        self.client.loop_start()
        return self.connects.get(timeout=WAIT_S)

    def publish(self, topic, payload, properties=None):
        info = self.client.publish(topic, payload, qos=1, properties=properties)
        info.wait_for_publish(WAIT_S)
        return info

    def subscribe(self, topic):
        """Whether each answer is a refusal."""
        answers = queue.Queue()
        self.client.on_subscribe = lambda _client, _data, _id, reasons, _p: answers.put(reasons)
        self.client.subscribe(topic, qos=1)
        return [reason.is_failure for reason in answers.get(timeout=WAIT_S)]

    def message(self):
        return self.messages.get(timeout=WAIT_S)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def request(kind, **fields):
    now = int(time.time() * 1000)
    signal = {"v": 1, "id": uuid7(), "type": kind, "sent_at_ms": now, "expires_at_ms": now + 30_000}
    return json.dumps(signal | fields)


def uuid7():
    value = (int(time.time() * 1000) << 80) | (uuid.uuid4().int & ((1 << 80) - 1))
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(uuid.UUID(int=value))


class Case(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.server.start()
        self.addCleanup(self.server.stop)

    def device(self, user, version, clean=False):
        login = self.server.register(user, "paho")
        terminal = Terminal(login["client_id"], login["username"], login["password"], version, clean)
        return terminal, login["client_id"]

    def service(self):
        username, password = self.server.service(SERVICE)
        terminal = Terminal(SERVICE, username, password, paho.MQTTv5, clean=True)
        terminal.connect(self.server.mqtt)
        self.addCleanup(terminal.close)
        return terminal


class Messages(Case):
    def test_a_p2p_message_waits_for_a_device_that_never_connected_in_both_versions(self):
        service = self.service()
        for version, user in [(paho.MQTTv311, "old"), (paho.MQTTv5, "new")]:
            with self.subTest(version=version):
                terminal, client_id = self.device(user, version)
                topic = f"meeting-down/p2p/{client_id}/greeting"
                service.publish(topic, b"hello")
                terminal.connect(self.server.mqtt)
                self.addCleanup(terminal.close)
                message = terminal.message()
                self.assertEqual((message.topic, message.payload, message.qos), (topic, b"hello", 1))

    def test_what_was_acknowledged_survives_a_killed_server_in_order(self):
        service = self.service()
        terminal, client_id = self.device("bob", paho.MQTTv5)
        for n in range(50):
            service.publish(f"meeting-down/p2p/{client_id}/n", str(n))
        self.server.kill()
        self.server.start()
        terminal.connect(self.server.mqtt)
        self.addCleanup(terminal.close)
        self.assertEqual([int(terminal.message().payload) for _ in range(50)], list(range(50)))

    def test_an_end_user_may_not_reach_another_directly(self):
        _, bob = self.device("bob", paho.MQTTv5)
        alice, _ = self.device("alice", paho.MQTTv5)
        alice.connect(self.server.mqtt)
        self.addCleanup(alice.close)
        answers = queue.Queue()
        alice.client.on_publish = lambda _c, _d, _mid, reason, _p: answers.put(reason)
        alice.client.publish(f"meeting-down/p2p/{bob}/spoof", b"x", qos=1)
        self.assertEqual(answers.get(timeout=WAIT_S).value, 0x87)


class Grants(Case):
    def test_a_device_subscribes_by_a_grant_until_it_is_taken_back(self):
        self.server.api("topics", {"topic": "chat", "rule": "none"})
        for version, user in [(paho.MQTTv311, "old"), (paho.MQTTv5, "new")]:
            with self.subTest(version=version):
                terminal, _ = self.device(user, version)
                terminal.connect(self.server.mqtt)
                self.addCleanup(terminal.close)
                self.assertEqual(terminal.subscribe("chat/#"), [True])
                self.server.api("grants", {"user": user, "topic": "chat", "rights": ["subscribe", "publish"]})
                self.assertEqual(terminal.subscribe("chat/#"), [False])
                terminal.publish("chat/a", b"granted")
                self.assertEqual(terminal.message().payload, b"granted")
                self.server.api(f"grants/user:{user}/chat", {"rights": ["publish"]}, "PATCH")
                reason = terminal.ends.get(timeout=WAIT_S)
                if version == paho.MQTTv5:
                    self.assertEqual(reason.value, 0x87)
                # Paho comes back by itself.
                flags, _ = terminal.connects.get(timeout=WAIT_S)
                self.assertTrue(flags.session_present)
                self.assertEqual(terminal.subscribe("chat/#"), [True])
                terminal.publish("chat/a", b"to nobody")
                self.assertTrue(terminal.messages.empty())


class Logins(Case):
    def test_a_wrong_password_is_refused_with_the_code_of_each_version(self):
        for version, words in [(paho.MQTTv311, "Bad user name or password"), (paho.MQTTv5, "Bad user name or password")]:
            with self.subTest(version=version):
                terminal, _ = self.device("bob", version)
                terminal.client.username_pw_set(self.server.register("bob", "paho")["username"], "wrong")
                _, reason = terminal.connect(self.server.mqtt)
                terminal.client.loop_stop()
                self.assertTrue(reason.is_failure)
                self.assertEqual(str(reason), words)

    def test_a_second_connection_takes_the_session_over_and_the_first_is_ended(self):
        first, _ = self.device("bob", paho.MQTTv5)
        login = self.server.register("bob", "paho")
        first.client.username_pw_set(login["username"], login["password"])
        first.connect(self.server.mqtt)
        first.client.reconnect_delay_set(min_delay=60, max_delay=60)
        second = Terminal(login["client_id"], login["username"], login["password"], paho.MQTTv5)
        flags, _ = second.connect(self.server.mqtt)
        self.addCleanup(second.close)
        self.assertTrue(flags.session_present)
        # Paho reads a reason only from a DISCONNECT with properties, so only the end is checked here.
        first.ends.get(timeout=WAIT_S)
        first.client.loop_stop()

    def test_tls_is_offered_with_the_built_in_authority(self):
        terminal, _ = self.device("bob", paho.MQTTv5)
        terminal.client.tls_set(ca_certs=self.server.ca)
        _, reason = terminal.connect(self.server.mqtts)
        self.addCleanup(terminal.close)
        self.assertFalse(reason.is_failure)


class Tokens(Case):
    CLIENT = "GID_dev@@@guest-1"

    def terminal(self, username, password, version):
        terminal = Terminal(self.CLIENT, username, password, version, clean=True)
        _, reason = terminal.connect(self.server.mqtt)
        self.assertFalse(reason.is_failure)
        self.addCleanup(terminal.client.loop_stop)
        terminal.client.reconnect_delay_set(min_delay=60, max_delay=60)
        return terminal

    def ends_in_ms(self, seconds):
        return int((time.time() + seconds) * 1000)

    def apply(self, resources, seconds=3600):
        wish = {"actions": "RW", "resources": resources, "client_id": self.CLIENT}
        return self.server.api("tokens", wish | {"expires_at_ms": self.ends_in_ms(seconds)})

    def test_a_token_of_the_api_is_used_renewed_and_revoked(self):
        self.server.api("topics", {"topic": "chat", "rule": "none"})
        for version in [paho.MQTTv311, paho.MQTTv5]:
            with self.subTest(version=version):
                token = self.apply(["chat/a"])
                terminal = self.terminal(token["username"], token["password"], version)
                self.assertEqual(terminal.subscribe("chat/a"), [False])
                self.assertEqual(terminal.subscribe("chat/b"), [True])
                terminal.publish("chat/a", "one")
                self.assertEqual(terminal.message().payload, b"one")
                newer = self.apply(["chat/#"])
                terminal.publish("$SYS/uploadToken", json.dumps({"token": newer["token"], "type": "RW"}))
                self.assertEqual(terminal.subscribe("chat/b"), [False])
                self.server.api("tokens:revoke", {"token": newer["token"]})
                notice = terminal.message()
                self.assertEqual(notice.topic, "$SYS/tokenInvalidNotice")
                self.assertEqual(json.loads(notice.payload), {"code": 3, "type": "RW"})
                terminal.ends.get(timeout=WAIT_S)

    def test_a_token_of_the_older_service_logs_in(self):
        self.server.api("topics", {"topic": "chat", "rule": "none"})
        signed = {
            "actions": "R,W", "resources": "chat/a,chat/+/b", "expireTime": str(self.ends_in_ms(3600)),
            "serviceName": "mq", "instanceId": "convoke",
        }
        answer = self.server.legacy("apply", signed, {"proxyType": "MQTT"})
        self.assertEqual((answer["success"], answer["code"]), (True, 200))
        terminal = self.terminal(answer["username"], "RW|" + answer["tokenData"], paho.MQTTv311)
        self.assertEqual(terminal.subscribe("chat/a"), [False])
        self.assertEqual(self.server.legacy("query", {"token": answer["tokenData"]}, {})["code"], 200)


class Signalling(Case):
    def test_a_call_rings_at_a_paho_client(self):
        bob, bob_id = self.device("bob", paho.MQTTv311)
        bob.connect(self.server.mqtt)
        alice, alice_id = self.device("alice", paho.MQTTv5)
        alice.connect(self.server.mqtt)
        self.addCleanup(bob.close)
        self.addCleanup(alice.close)
        meeting = uuid7()
        alice.publish("meeting-up/create", request("create", meeting=meeting, callees=["bob"], media="audio"))
        ring = bob.message()
        self.assertEqual(ring.topic, f"ring-down/p2p/{bob_id}/invitation")
        invitation = json.loads(ring.payload)
        self.assertEqual((invitation["meeting"], invitation["from"]), (meeting, "alice"))
        told = alice.message().topic
        if told.endswith("/waiting"):  # the service may not have heard yet that Bob has connected
            told = alice.message().topic
        self.assertEqual(told, f"meeting-down/p2p/{alice_id}/admitted")


if __name__ == "__main__":
    unittest.main()
