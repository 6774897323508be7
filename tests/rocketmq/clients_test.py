"""The official RocketMQ 5 client for Python, and raw requests of its protocol, against a real server."""

import contextlib
import datetime
import hashlib
import hmac
import json
import os
import queue
import socket
import struct
import tempfile
import threading
import time
import unittest
import urllib.error

# Where the client writes its log, whatever it is told.
LOGS = tempfile.TemporaryDirectory(prefix="convoke-rocketmq-")
os.environ["HOME"] = LOGS.name

import grpc
import paho.mqtt.client as paho
from rocketmq import (
    ClientConfiguration,
    ConsumeResult,
    Credentials,
    FilterExpression,
    Message,
    MessageListener,
    Producer,
    PushConsumer,
    SimpleConsumer,
)
from rocketmq.grpc_protocol import MessagingServiceStub, definition_pb2 as of, service_pb2 as wire
from rocketmq.v5.exception import BadRequestException, NotFoundException

from convoke_test import Terminal, request
from server import Server

WAIT_S = 30
CODE = of.Code


def message(topic, body=b"hello", group=None, **properties):
    made = Message()
    if group:
        made.message_group = group
    made.topic, made.body = topic, body
    for name, value in properties.items():
        made.add_property(name, value)
    return made


class Listener(MessageListener):
    """Fails with what it sees for the first time as often as told."""

    def __init__(self, failures=0):
        self.seen, self.failures = queue.Queue(), failures

    def consume(self, message):
        self.seen.put((bytes(message.body), message.delivery_attempt))
        return ConsumeResult.FAILURE if message.delivery_attempt <= self.failures else ConsumeResult.SUCCESS


class Case(unittest.TestCase):
    SETTINGS = {}

    def setUp(self):
        self.server = Server()
        names = {"queue.topics": '["orders","bills","later:delay","steps:fifo"]', "queue.groups": '["shop","audit","line:fifo"]'}
        self.server.settings = names | self.SETTINGS
        self.server.start()
        self.addCleanup(self.server.stop)
        with open(os.path.join(self.server.data, "access-key")) as file:
            key = json.load(file)
        self.key = key["key_id"], key["secret"]

    def configuration(self, key=None):
        return ClientConfiguration(f"127.0.0.1:{self.server.queue}", Credentials(*(key or self.key)))

    def started(self, client):
        client.startup()
        self.addCleanup(client.shutdown)
        return client

    def producer(self, *topics, key=None):
        return self.started(Producer(self.configuration(key), topics))

    def consumer(self, group="shop", topic="orders", tags="*", key=None):
        subscription = {topic: FilterExpression(tags)}
        return self.started(SimpleConsumer(self.configuration(key), group, subscription, await_duration=5))

    def received(self, consumer, count=1):
        found = []
        while len(found) < count:
            batch = consumer.receive(32, 10)
            self.assertTrue(batch, f"nothing came after {found}")
            found += batch
        return found

    def made_key(self, name, scopes, **more):
        made = self.server.api("keys", {"key": name, "kind": "access", "scopes": scopes} | more)
        return made["key"], made["secret"]

    def refused(self, kind, code, call, *args):
        with self.assertRaises(kind) as caught:
            call(*args)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return str(caught.exception)


class Clients(Case):
    def test_a_message_arrives_as_it_was_sent_and_once_it_is_acknowledged_it_is_over(self):
        producer, consumer = self.producer("orders"), self.consumer()
        sent = message("orders", b"\x00\xff body", colour=" red ", json='{"😀": ""}')
        sent.tag, sent.keys = "new tag", "k1"
        receipt = producer.send(sent)
        (got,) = self.received(consumer)
        self.assertEqual((got.message_id, got.topic, bytes(got.body)), (receipt.message_id, "orders", b"\x00\xff body"))
        self.assertEqual((got.tag, got.keys, got.properties), ("new tag", {"k1"}, {"colour": " red ", "json": '{"😀": ""}'}))
        self.assertEqual((got.delivery_attempt, got.corrupted), (1, False))
        consumer.ack(got)
        self.refused(BadRequestException, CODE.INVALID_RECEIPT_HANDLE, consumer.ack, got)
        producer.send(message("orders", b"next"))
        (following,) = self.received(consumer)
        self.assertEqual(bytes(following.body), b"next")

    def test_each_group_gets_each_message_and_a_tag_leaves_the_others_out(self):
        producer = self.producer("orders")
        for number, tag in enumerate(["a", "b", "c"]):
            sent = message("orders", b"%d" % number)
            sent.tag = tag
            producer.send(sent)
        everything = self.received(self.consumer("audit"), 3)
        self.assertEqual([bytes(got.body) for got in everything], [b"0", b"1", b"2"])
        some = self.received(self.consumer("shop", tags="a || c"), 2)
        self.assertEqual([got.tag for got in some], ["a", "c"])

    def test_a_message_comes_again_at_once_when_its_consumer_says_so_and_its_old_receipt_is_void(self):
        self.producer("orders").send(message("orders"))
        consumer = self.consumer()
        (first,) = self.received(consumer)
        old = first.receipt_handle
        consumer.change_invisible_duration(first, 0)
        (second,) = self.received(consumer)
        self.assertEqual((second.message_id, second.delivery_attempt), (first.message_id, 2))
        first.receipt_handle = old
        self.refused(BadRequestException, CODE.INVALID_RECEIPT_HANDLE, consumer.ack, first)
        consumer.ack(second)

    def test_a_push_consumer_gets_again_what_it_could_not_process(self):
        listener = Listener(failures=1)
        consumer = PushConsumer(self.configuration(), "shop", listener, {"orders": FilterExpression()})
        self.started(consumer)
        producer = self.producer("orders")
        producer.send(message("orders", b"one"))
        seen = [listener.seen.get(timeout=WAIT_S) for _ in range(2)]
        self.assertEqual(seen, [(b"one", 1), (b"one", 2)])

    def test_what_a_push_consumer_leaves_behind_comes_to_another_at_once(self):
        self.producer("orders").send(message("orders"))
        raw = self.enterContext(Raw.opened(self))
        (first,) = raw.received(auto_renew=True)
        group = of.Resource(name="shop")
        left = raw.stub.NotifyClientTermination(wire.NotifyClientTerminationRequest(group=group), metadata=raw.metadata())
        self.assertEqual(left.status.code, CODE.OK)
        (second,) = raw.received(auto_renew=True)
        self.assertEqual((first.message_id, second.delivery_attempt), (second.message_id, 2))
        self.assertEqual(raw.ack(first.receipt_handle).status.code, CODE.INVALID_RECEIPT_HANDLE)
        self.assertEqual(raw.ack(second.receipt_handle).status.code, CODE.OK)

    def test_what_a_push_consumer_has_not_read_comes_again_at_once(self):
        raw = self.enterContext(Raw.opened(self))
        # The client reads one ahead; the next is larger than what goes without being read.
        for _ in range(2):
            raw.send([raw.message("orders", body=b"x" * (3 << 20))])
        lost = raw.begin_receive(auto_renew=True)
        self.assertEqual(next(lost).status.code, CODE.OK)
        lost.cancel()
        with Raw.opened(self) as other:
            again = []
            while f"01{1:032d}" not in [got.message_id for got in again]:
                came = other.received(auto_renew=True)
                self.assertTrue(came, "what was not read has not come")
                again += came
            self.assertEqual(again[-1].delivery_attempt, 2)
            self.assertEqual(other.ack(again[-1].receipt_handle).status.code, CODE.OK)

    def test_many_acknowledgements_of_one_request_have_an_entry_each(self):
        raw = self.enterContext(Raw.opened(self))
        raw.send([raw.message("orders") for _ in range(31)])
        asked = wire.AckMessageRequest(group=of.Resource(name="shop"), topic=of.Resource(name="orders"))
        for got in raw.received():
            asked.entries.add(message_id=got.message_id, receipt_handle=got.receipt_handle)
        asked.entries.add(message_id="x", receipt_handle="garbage")
        answer = raw.stub.AckMessage(asked, metadata=raw.metadata())
        self.assertEqual(answer.status.code, CODE.MULTIPLE_RESULTS)
        self.assertEqual([entry.message_id for entry in answer.entries], [entry.message_id for entry in asked.entries])
        codes = [entry.status.code for entry in answer.entries]
        self.assertEqual(codes, [CODE.OK] * 31 + [CODE.INVALID_RECEIPT_HANDLE])

    def test_what_was_sent_survives_a_kill_and_a_receipt_does_not(self):
        producer, consumer = self.producer("orders"), self.consumer()
        receipts = [producer.send(message("orders", b"%d" % number)) for number in range(20)]
        (first, *_) = self.received(consumer)
        self.server.kill()
        self.server.start()
        self.refused(BadRequestException, CODE.INVALID_RECEIPT_HANDLE, consumer.ack, first)
        again = self.received(consumer, len(receipts))
        self.assertEqual({got.message_id for got in again}, {receipt.message_id for receipt in receipts})

    def test_a_message_is_handed_out_at_its_time_or_recalled_before(self):
        producer, consumer = self.producer("later"), self.consumer(topic="later")
        now = int(time.time())
        soon, recalled = message("later", b"soon"), message("later", b"recalled")
        soon.delivery_timestamp, recalled.delivery_timestamp = now + 2, now + 5
        receipt = producer.send(recalled)
        producer.send(soon)
        self.assertEqual(producer.recall_message("later", receipt.recall_handle), receipt.message_id)
        self.refused(NotFoundException, CODE.NOT_FOUND, producer.recall_message, "later", receipt.recall_handle)
        self.refused(BadRequestException, CODE.BAD_REQUEST, producer.recall_message, "later", "garbage")
        (got,) = self.received(consumer)
        self.assertEqual(bytes(got.body), b"soon")
        self.assertGreaterEqual(time.time(), now + 2)
        # The one that was recalled would have come by now.
        self.assertEqual(consumer.receive(32, 10), [])
        far = message("later")
        far.delivery_timestamp = now + 25 * 3600
        self.refused(BadRequestException, CODE.ILLEGAL_DELIVERY_TIME, producer.send, far)

    def test_a_delayed_message_survives_a_kill_and_can_still_be_recalled(self):
        producer, at = self.producer("later"), int(time.time()) + 3600
        delayed = message("later")
        delayed.delivery_timestamp = at
        receipt = producer.send(delayed)
        self.server.kill()
        self.server.start()
        self.assertEqual(producer.recall_message("later", receipt.recall_handle), receipt.message_id)

    def test_a_topic_keeps_its_type_and_the_start_says_how_to_write_it(self):
        self.server.kill()
        self.server.settings["queue.topics"] = '["later"]'
        with self.assertRaises(AssertionError):
            self.server.start()
        self.assertIn("write later:delay there", self.server.log())

    def test_the_same_port_speaks_tls(self):
        with open(self.server.ca, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(f"localhost:{self.server.queue}", credentials) as channel:
            raw = Raw(self, MessagingServiceStub(channel))
            self.assertEqual(raw.send([raw.message("orders")]).status.code, CODE.OK)


class Fifo(Case):
    def send(self, *bodies):
        """Each to the message group of its first letter."""
        producer = self.producer("steps")
        for body in bodies:
            producer.send(message("steps", body.encode(), group=body[0]))

    def taken(self, consumer):
        """What comes to a consumer that takes one after the other."""
        (got,) = self.received(consumer)
        return bytes(got.body).decode(), got.delivery_attempt, got

    def test_messages_of_a_group_come_in_their_order_over_redelivery_and_a_kill(self):
        self.send("a1", "a2", "b1", "a3")
        consumer = self.consumer("line", "steps")
        first = self.received(consumer, 2)
        self.assertEqual([(bytes(got.body), got.message_group) for got in first], [(b"a1", "a"), (b"b1", "b")])
        # All that follows waits for these.
        self.assertEqual(self.consumer("line", "steps").receive(32, 10), [])
        consumer.ack(first[1])
        consumer.change_invisible_duration(first[0], 0)
        self.assertEqual(self.taken(consumer)[:2], ("a1", 2))
        self.server.kill()
        self.server.start()
        for body, attempt in (("a1", 3), ("a2", 1), ("a3", 1)):
            *came, got = self.taken(consumer)
            self.assertEqual(came, [body, attempt])
            consumer.ack(got)
        self.assertEqual(consumer.receive(32, 10), [])

    def test_a_push_consumer_processes_a_message_again_before_the_next_one_of_its_group(self):
        processed = queue.Queue()

        class FailsOnce(MessageListener):
            def consume(self, message):
                results = [ConsumeResult.FAILURE, ConsumeResult.SUCCESS]
                result = results[min(self.count, 1)]
                self.count += 1
                processed.put(bytes(message.body))
                return result

            count = 0

        self.started(PushConsumer(self.configuration(), "line", FailsOnce(), {"steps": FilterExpression()}))
        self.send("a1", "a2", "a3")
        came = [processed.get(timeout=WAIT_S) for _ in range(4)]
        self.assertEqual(came, [b"a1", b"a1", b"a2", b"a3"])

    def test_what_a_consumer_gives_up_is_among_the_dead_letters_and_the_next_one_comes(self):
        self.send("a1", "a2")
        raw = self.enterContext(Raw.opened(self))
        of_line = {"group": "line", "topic": "steps"}
        (first,) = raw.received(**of_line)
        self.assertEqual(first.message_type, of.MessageType.FIFO)
        # For another group it is no receipt; nothing happens.
        self.assertEqual(raw.give_up(first.receipt_handle, "shop", "steps").status.code, CODE.OK)
        self.assertEqual(raw.received(**of_line, poll_s=5), [])
        self.assertEqual(raw.give_up(first.receipt_handle, **of_line).status.code, CODE.OK)
        (second,) = raw.received(**of_line)
        self.assertEqual(second.message_group, "a")
        self.assertEqual(raw.ack(first.receipt_handle, **of_line).status.code, CODE.INVALID_RECEIPT_HANDLE)
        (letter,) = raw.received(group="audit", topic="%DLQ%line")
        self.assertEqual(letter.message_id, first.message_id)
        # Clients ask again for ever what is refused.
        self.assertEqual(raw.give_up(first.receipt_handle, **of_line).status.code, CODE.OK)
        self.server.kill()
        self.server.start()
        with Raw.opened(self) as raw:
            self.assertEqual(raw.give_up(second.receipt_handle, **of_line).status.code, CODE.OK)
            (again,) = raw.received(**of_line)
            self.assertEqual((again.message_id, again.delivery_attempt), (second.message_id, 2))
            self.assertEqual(raw.give_up("garbage", **of_line).status.code, CODE.INVALID_RECEIPT_HANDLE)

    def test_clients_are_told_which_groups_and_topics_are_fifo(self):
        raw = self.enterContext(Raw.opened(self))
        for group, is_fifo, assigned in (("line", True, 0), ("shop", False, -1), ("nobody", False, -1)):
            subscription = of.Subscription(group=of.Resource(name=group))
            settings = of.Settings(client_type=of.ClientType.PUSH_CONSUMER, subscription=subscription)
            command = wire.TelemetryCommand(settings=settings)
            (answer,) = raw.stub.Telemetry(iter([command]), metadata=raw.metadata())
            self.assertEqual(answer.settings.subscription.fifo, is_fifo, group)
            asked = wire.QueryAssignmentRequest(topic=of.Resource(name="steps"), group=of.Resource(name=group))
            asked.endpoints.addresses.add(host="127.0.0.1", port=1)
            (assignment,) = raw.stub.QueryAssignment(asked, metadata=raw.metadata()).assignments
            self.assertEqual(assignment.message_queue.id, assigned, group)
        (found,) = raw.route("steps").message_queues
        self.assertEqual(list(found.accept_message_types), [of.MessageType.FIFO])


class Names(Case):
    """Topics and groups that an owner makes while the server runs."""

    def setUp(self):
        super().setUp()
        self.server.api("queue-topics", {"topic": "paid", "type": "fifo"})
        self.server.api("queue-groups", {"group": "slow", "max_attempts": 2, "fifo": True})

    def refused_by_api(self, *asked, **how):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.server.api(*asked, **how)
        return caught.exception.code, json.load(caught.exception)["code"]

    def test_what_an_owner_made_outlives_a_kill_and_a_start_of_the_configuration(self):
        self.server.kill()
        self.server.settings["queue.groups"] = '["shop","audit","slow"]'
        self.server.start()
        slow = self.server.api("queue-groups/slow", None, method="GET")
        self.assertEqual(slow, {"group": "slow", "max_attempts": 2, "fifo": True, "topics": []})
        self.assertEqual(self.server.api("queue-topics/paid", None, method="GET")["type"], "fifo")
        names = [group["group"] for group in self.server.api("queue-groups", None, method="GET")["items"]]
        self.assertEqual(names, ["audit", "line", "shop", "slow"])

    def test_a_fifo_push_consumer_gives_up_after_the_attempts_of_its_group_and_goes_on(self):
        processed = queue.Queue()

        class FailsWithPoison(MessageListener):
            def consume(self, message):
                processed.put(bytes(message.body))
                return ConsumeResult.FAILURE if b"poison" in bytes(message.body) else ConsumeResult.SUCCESS

        self.started(PushConsumer(self.configuration(), "slow", FailsWithPoison(), {"paid": FilterExpression()}))
        producer = self.producer("paid")
        for body in (b"poison", b"next"):
            producer.send(message("paid", body, group="a"))
        self.assertEqual([processed.get(timeout=WAIT_S) for _ in range(3)], [b"poison", b"poison", b"next"])
        (letter,) = self.server.api("queue-groups/slow/dead-letters", None, method="GET")["items"]
        self.assertEqual(letter["payload"], "poison")
        redrive = f"queue-groups/slow/dead-letters/{letter['message_id']}/redrive"
        self.assertEqual(self.refused_by_api(redrive, {"topic": "orders"}), (400, "invalid_topic"))
        self.assertEqual(self.server.api(redrive, {"topic": "paid"})["topic"], "paid")
        self.assertEqual(processed.get(timeout=WAIT_S), b"poison")

    def test_what_a_group_has_to_consume_is_shown(self):
        producer, raw = self.producer("paid"), self.enterContext(Raw.opened(self))
        for body in (b"1", b"2", b"3"):
            producer.send(message("paid", body, group="a"))
        (first,) = raw.received(group="slow", topic="paid")
        shown = self.server.api("queue-groups/slow", None, method="GET")["topics"]
        self.assertEqual(shown, [{"topic": "paid", "waiting": 2, "in_flight": 1, "due_again": 0}])

    def test_names_that_are_taken_or_are_none_are_refused(self):
        for asked, expected in (
            (("queue-topics", {"topic": "paid", "type": "normal"}), (409, "exists")),
            (("queue-topics", {"topic": "%DLQ%slow"}), (400, "invalid_body")),
            (("queue-topics", {"topic": "a b"}), (400, "invalid_body")),
            (("queue-groups", {"group": "slow", "max_attempts": 3}), (409, "exists")),
            (("queue-groups", {"group": "convoke-broker"}), (400, "invalid_body")),
        ):
            self.assertEqual(self.refused_by_api(*asked), expected, asked)
        updated = self.server.api("queue-groups/slow", {"max_attempts": 3}, method="PATCH")
        self.assertEqual(updated, {"group": "slow", "max_attempts": 3, "fifo": True})


class Bridge(Case):
    def test_a_service_sees_who_has_published_and_reaches_a_terminal(self):
        alice = self.server.register("alice", "phone")
        terminal = Terminal(alice["client_id"], alice["username"], alice["password"], paho.MQTTv5)
        terminal.connect(self.server.mqtt)
        self.addCleanup(terminal.close)
        self.server.api("topics", {"topic": "shop-up", "rule": "to_queue"})
        self.server.api("topics", {"topic": "shop-down", "rule": "from_queue"})
        self.server.api("grants", {"group": "GID_dev", "topic": "shop-up", "rights": ["publish"]})
        terminal.publish("shop-up/buy", b"pear")
        (got,) = self.received(self.consumer(topic="shop-up"))
        self.assertEqual(bytes(got.body), b"pear")
        self.assertEqual(got.properties["clientId"], alice["client_id"])
        self.assertEqual(got.properties["convokeUser"], "alice")
        self.assertEqual(got.properties["mqttSecondTopic"], "/buy")
        producer = self.producer("shop-down")
        producer.send(message("shop-down", b"sold", mqttSecondTopic=f"/p2p/{alice['client_id']}/sold"))
        answer = terminal.message()
        self.assertEqual((answer.topic, answer.payload), (f"shop-down/p2p/{alice['client_id']}/sold", b"sold"))


    def test_on_no_way_in_a_sender_says_that_it_is_another(self):
        alice = self.server.register("alice", "phone")
        terminal = Terminal(alice["client_id"], alice["username"], alice["password"], paho.MQTTv5)
        terminal.connect(self.server.mqtt)
        self.addCleanup(terminal.close)
        self.server.api("topics", {"topic": "shop-up", "rule": "to_queue"})
        self.server.api("grants", {"group": "GID_dev", "topic": "shop-up", "rights": ["publish"]})
        stamps = {"clientId": "GID_dev@@@bob", "convokeUser": "bob", "convokeArrivedMs": "1"}
        forged = paho.Properties(paho.PacketTypes.PUBLISH)
        forged.UserProperty = list(stamps.items())
        terminal.publish("shop-up/buy", b"by MQTT", forged)
        self.server.api("messages", {"topic": "shop-up/buy", "payload": "by the API", "properties": stamps})
        by_mqtt, by_api = self.received(self.consumer(topic="shop-up"), 2)
        self.assertEqual((by_mqtt.properties["clientId"], by_mqtt.properties["convokeUser"]), (alice["client_id"], "alice"))
        for got in (by_mqtt, by_api):
            own = {name: got.properties[name] for name in stamps if name in got.properties}
            self.assertFalse(own.items() & stamps.items(), got.properties)


class Permissions(Case):
    def test_a_forged_terminal_is_refused(self):
        key = self.made_key("plain", ["topics"])
        producer = self.producer("orders", "meeting-up", key=key)
        alice = self.server.register("alice", "phone")["client_id"]
        for name in ("clientId", "convokeUser", "convokeArrivedMs"):
            forged = message("meeting-up", request("state").encode(), **{name: alice})
            words = self.refused(BadRequestException, CODE.ILLEGAL_MESSAGE_PROPERTY_KEY, producer.send, forged)
            self.assertIn("stamps", words)
        # That a terminal is there is told by the broker.
        self.refused(NotFoundException, CODE.TOPIC_NOT_FOUND, producer.send, message("GID_dev_MQTT", b"{}"))
        stamps = self.made_key("stamps", ["topics", "stamps"])
        self.producer("orders", key=stamps).send(message("orders", clientId=alice))
        (got,) = self.received(self.consumer())
        self.assertEqual(got.properties, {"clientId": alice})

    def test_who_has_not_signed_learns_nothing(self):
        with self.assertRaisesRegex(Exception, "failed to fetch topic:orders route"):
            self.producer("orders", key=("dev", "wrong")).send(message("orders"))
        for key in (("dev", "wrong"), ("nobody", "wrong"), ("", ""), None):
            raw = self.enterContext(Raw.opened(self, key=key))
            for answer in (raw.route("orders"), raw.send([raw.message("orders")]), raw.receive()[0]):
                self.assertEqual(answer.status.code, CODE.UNAUTHORIZED)

    def test_unknown_and_forbidden_look_alike(self):
        key = self.made_key("narrow", ["topics"])
        self.server.api("topics", {"topic": "mine-up", "rule": "both"})
        self.server.api("topics", {"topic": "theirs", "rule": "both"})
        self.server.api("grants", {"key": "narrow", "topic": "mine-up", "rights": ["publish"]})
        raw = self.enterContext(Raw.opened(self, key=key))
        self.assertEqual(raw.send([raw.message("mine-up")]).status.code, CODE.OK)
        answers = []
        for topic in ("orders", "theirs", "nowhere", "%DLQ%shop"):
            for answer in (raw.route(topic), raw.send([raw.message(topic)]), raw.receive(topic=topic)[0]):
                answers.append((answer.status.code, answer.status.message.replace(topic, "…")))
        # To publish was granted, to receive was not; nor what a terminal is shown as another topic.
        answers += [(raw.receive(topic="mine-up")[0].status.code, answers[0][1])]
        shown = raw.message("mine-up", mqttRealTopic="ring-down/p2p/GID_dev@@@x")
        answers += [(raw.send([shown]).status.code, answers[0][1])]
        nowhere = raw.message("mine-up", mqttRealTopic="$SYS/x")
        answers += [(raw.send([nowhere]).status.code, answers[0][1])]
        p2p = raw.message("mine-up", mqttSecondTopic="/p2p/GID_dev@@@x")
        answers += [(raw.send([p2p]).status.code, answers[0][1])]
        self.assertEqual(set(answers), {(CODE.TOPIC_NOT_FOUND, answers[0][1])})

    def test_what_is_shown_as_the_topic_is_one_of_mqtt(self):
        self.server.api("topics", {"topic": "mine-up", "rule": "both"})
        raw = self.enterContext(Raw.opened(self))
        for shown, code in (("mine-up/a", CODE.OK), ("/a", CODE.OK), ("$SYS/x", CODE.TOPIC_NOT_FOUND), ("nowhere/x", CODE.TOPIC_NOT_FOUND)):
            self.assertEqual(raw.send([raw.message("mine-up", mqttRealTopic=shown)]).status.code, code, shown)

    def test_the_messages_of_the_services_inside_are_not_taken_away_from_them(self):
        raw = self.enterContext(Raw.opened(self))
        for group in ("convoke-meeting", "convoke-broker", "nobody"):
            (answer, *_) = raw.receive(group=group, topic="meeting-up")
            self.assertEqual(answer.status.code, CODE.CONSUMER_GROUP_NOT_FOUND)
        self.assertEqual(raw.send([raw.message("%DLQ%shop")]).status.code, CODE.TOPIC_NOT_FOUND)

    def test_a_key_that_is_removed_while_it_waits_gets_nothing(self):
        raw = self.enterContext(Raw.opened(self, key=self.made_key("leaver", ["topics"])))
        waiting = raw.begin_receive()
        self.server.api("keys/leaver", None, method="DELETE")
        self.producer("orders").send(message("orders"))
        (answer, *_) = list(waiting)
        self.assertIn(answer.status.code, (CODE.TOPIC_NOT_FOUND, CODE.UNAUTHORIZED))
        (got,) = self.received(self.consumer())
        self.assertEqual(bytes(got.body), b"hello")

    def test_a_key_uses_the_consumer_groups_that_it_names_and_no_others(self):
        key = self.made_key("shopkeeper", ["topics"], consumer_groups=["shop", "later"])
        raw = self.enterContext(Raw.opened(self, key=key))
        self.assertEqual(raw.send([raw.message("orders")]).status.code, CODE.OK)
        (got,) = raw.received()
        for group in ("audit", "nobody"):
            (answer, *_) = raw.receive(group=group)
            codes = [answer.status.code, raw.ack(got.receipt_handle, group=group).status.code]
            codes.append(raw.give_up(got.receipt_handle, group=group).status.code)
            asked = wire.ChangeInvisibleDurationRequest(receipt_handle=got.receipt_handle)
            asked.group.name, asked.topic.name = group, "orders"
            codes.append(raw.stub.ChangeInvisibleDuration(asked, metadata=raw.metadata()).status.code)
            asked = wire.QueryAssignmentRequest(topic=of.Resource(name="orders"), group=of.Resource(name=group))
            asked.endpoints.addresses.add(host="127.0.0.1", port=1)
            codes.append(raw.stub.QueryAssignment(asked, metadata=raw.metadata()).status.code)
            self.assertEqual(set(codes), {CODE.FORBIDDEN}, group)
        # What a group is like is told to those alone who may use it.
        subscription = of.Subscription(group=of.Resource(name="line"))
        settings = of.Settings(client_type=of.ClientType.PUSH_CONSUMER, subscription=subscription)
        (answer,) = raw.stub.Telemetry(iter([wire.TelemetryCommand(settings=settings)]), metadata=raw.metadata())
        self.assertFalse(answer.settings.subscription.fifo)
        self.assertEqual(raw.receive(group="later")[0].status.code, CODE.CONSUMER_GROUP_NOT_FOUND)
        consumer = self.consumer("audit", key=key)
        with self.assertRaisesRegex(Exception, "audit"):
            consumer.receive(32, 10)
        waiting = raw.begin_receive()
        self.server.api("keys/shopkeeper", {"consumer_groups": []}, method="PATCH")
        raw.send([raw.message("orders")])
        self.assertEqual(list(waiting)[0].status.code, CODE.FORBIDDEN)
        self.server.api("keys/shopkeeper", {"consumer_groups": None}, method="PATCH")
        self.assertEqual(len(raw.received(group="audit")), 2)

    def test_a_secret_that_ends_while_it_waits_gets_nothing(self):
        key = self.made_key("leaver", ["topics"])
        raw = self.enterContext(Raw.opened(self, key=key))
        waiting = raw.begin_receive()
        # A second is enough for the poll to have begun, and for the time to be over once it was seen.
        end = int(time.time() * 1000) + 1_000
        self.server.api("keys/leaver", {"expires_at_ms": end}, method="PATCH")
        while self.raw_code(key) != CODE.UNAUTHORIZED:
            time.sleep(0.05)
        self.producer("orders").send(message("orders"))
        (answer, *_) = list(waiting)
        self.assertIn(answer.status.code, (CODE.TOPIC_NOT_FOUND, CODE.UNAUTHORIZED))
        (got,) = self.received(self.consumer())
        self.assertEqual((bytes(got.body), got.delivery_attempt), (b"hello", 2))

    def raw_code(self, key):
        with Raw.opened(self, key=key) as raw:
            return raw.route("orders").status.code

    def test_a_receipt_is_good_for_its_group_alone(self):
        raw = self.enterContext(Raw.opened(self))
        raw.send([raw.message("orders")])
        handle = raw.received()[0].receipt_handle
        self.assertEqual(raw.ack(handle, group="audit").status.code, CODE.INVALID_RECEIPT_HANDLE)
        self.assertEqual(raw.ack(handle, topic="bills").status.code, CODE.INVALID_RECEIPT_HANDLE)
        guessed = handle.rsplit(".", 1)[0]
        self.assertEqual(raw.ack(guessed).status.code, CODE.INVALID_RECEIPT_HANDLE)
        self.assertEqual(raw.ack(handle).status.code, CODE.OK)


class Strangers(Case):
    def closed(self, connection):
        """Reads until the server closes; what it said."""
        connection.settimeout(WAIT_S)
        return b"".join(iter(lambda: connection.recv(4096), b""))

    def test_a_connection_without_a_request_is_closed(self):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">BHBBI", 0, 0, 4, 0, 0)
        with socket.create_connection(("127.0.0.1", self.server.queue)) as silent:
            silent.sendall(preface)
            self.closed(silent)

    def test_a_connection_on_which_all_requests_are_refused_is_closed_though_they_never_stop(self):
        unsigned = self.enterContext(Raw.opened(self, key=None))
        channel_ended = threading.Event()

        def see(state):
            if state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
                channel_ended.set()

        self.assertEqual(unsigned.route("orders").status.code, CODE.UNAUTHORIZED)
        unsigned.channel.subscribe(see)
        until = time.monotonic() + WAIT_S
        while not channel_ended.is_set() and time.monotonic() < until:
            with contextlib.suppress(grpc.RpcError):
                unsigned.route("orders")
        self.assertTrue(channel_ended.is_set(), "it went on for ever")
        # Who comes in by the same address is served.
        signed = self.enterContext(Raw.opened(self))
        self.assertEqual(signed.route("orders").status.code, CODE.OK)


class InClear(Case):
    SETTINGS = {"queue.plaintext": "never"}

    def test_a_connection_by_which_nobody_comes_in_is_closed(self):
        fields = {
            ":method": "POST", ":scheme": "http", ":path": "/apache.rocketmq.v2.MessagingService/Heartbeat",
            ":authority": "x", "content-type": "application/grpc", "te": "trailers",
        }
        headers = b"".join(b"\0" + b"".join(bytes([len(part)]) + part.encode() for part in field) for field in fields.items())
        end_of_stream_and_headers = 0x5
        frames = struct.pack(">BHBBI", 0, 0, 4, 0, 0)
        frames += struct.pack(">BHBBI", 0, len(headers), 1, end_of_stream_and_headers, 1) + headers
        with socket.create_connection(("127.0.0.1", self.server.queue), timeout=WAIT_S) as silent:
            silent.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames)
            said = b"".join(iter(lambda: silent.recv(4096), b""))
        self.assertIn(b"without TLS", said)

    def test_a_request_in_clear_is_told_that_it_needs_tls(self):
        raw = self.enterContext(Raw.opened(self))
        answer = raw.route("orders")
        self.assertEqual(answer.status.code, CODE.FORBIDDEN)
        self.assertIn("TLS", answer.status.message)


class Limits(Case):
    def setUp(self):
        super().setUp()
        self.raw = self.enterContext(Raw.opened(self))

    def sent(self, *messages):
        return self.raw.send(list(messages)).status.code

    def test_what_may_not_be_sent_has_its_code(self):
        raw = self.raw
        self.assertEqual(self.sent(raw.message("orders", body=b"x" * (4 << 20))), CODE.OK)
        self.assertEqual(self.sent(raw.message("orders", body=b"x" * ((4 << 20) + 1))), CODE.MESSAGE_BODY_TOO_LARGE)
        self.assertEqual(self.sent(raw.message("orders", body=b"")), CODE.MESSAGE_BODY_EMPTY)
        self.assertEqual(self.sent(), CODE.MESSAGE_CORRUPTED)
        self.assertEqual(self.sent(raw.message("orders"), raw.message("bills")), CODE.MESSAGE_CORRUPTED)
        self.assertEqual(self.sent(*[raw.message("orders")] * 33), CODE.PAYLOAD_TOO_LARGE)
        self.assertEqual(self.sent(raw.message("orders", big="x" * 17_000)), CODE.MESSAGE_PROPERTIES_TOO_LARGE)
        self.assertEqual(self.sent(raw.message("orders", KEYS="x")), CODE.ILLEGAL_MESSAGE_PROPERTY_KEY)
        self.assertEqual(self.sent(raw.message("a b")), CODE.ILLEGAL_TOPIC)
        fifo = raw.message("orders")
        fifo.system_properties.message_group = "one"
        self.assertEqual(self.sent(fifo), CODE.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE)
        self.assertEqual(self.sent(raw.message("later")), CODE.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE)
        self.assertEqual(self.sent(raw.message("steps")), CODE.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE)
        nameless = raw.message("orders")
        nameless.system_properties.message_id = ""
        self.assertEqual(self.sent(nameless), CODE.ILLEGAL_MESSAGE_ID)

    def test_a_batch_has_an_entry_for_each_message(self):
        answer = self.raw.send([self.raw.message("orders", body=b"%d" % number) for number in range(32)])
        self.assertEqual([entry.status.code for entry in answer.entries], [CODE.OK] * 32)
        got = [answer.message.body for answer in self.raw.receive(batch_size=40) if answer.HasField("message")]
        self.assertEqual(got, [b"%d" % number for number in range(32)])

    def test_a_poll_says_what_is_wrong_with_it_in_the_order_of_rocketmq(self):
        for seconds in (9, 12 * 3600 + 1, -1):
            self.assertEqual(self.raw.receive(invisible_s=seconds)[0].status.code, CODE.ILLEGAL_INVISIBLE_TIME)
        answers = self.raw.receive(filter=of.FilterExpression(type=of.FilterType.SQL, expression="a > 1"))
        self.assertEqual(answers[0].status.code, CODE.ILLEGAL_FILTER_EXPRESSION)
        self.assertEqual([answer.WhichOneof("content") for answer in answers], ["status", "delivery_timestamp"])
        for size in (0, -1):
            self.assertEqual(self.raw.receive(batch_size=size)[0].status.code, CODE.BAD_REQUEST)
        empty = self.raw.receive(poll_s=1)
        self.assertEqual(empty[0].status.code, CODE.MESSAGE_NOT_FOUND)
        self.raw.send([self.raw.message("orders")])
        found = [answer.WhichOneof("content") for answer in self.raw.receive()]
        self.assertEqual(found, ["status", "message", "delivery_timestamp"])

    def test_a_time_of_birth_that_has_not_come_is_taken_as_now(self):
        sent = self.raw.message("orders")
        sent.system_properties.born_timestamp.seconds = 2**62
        self.assertEqual(self.sent(sent), CODE.OK)
        (got,) = self.raw.received()
        self.assertLessEqual(got.born_timestamp.seconds, time.time())
        self.assertGreater(got.born_timestamp.seconds, time.time() - WAIT_S)

    def test_many_sends_at_the_same_time_wait_for_each_other(self):
        message = self.raw.message("orders", body=b"x" * 1024)
        asked = wire.SendMessageRequest(messages=[message])
        answers = [self.raw.stub.SendMessage.future(asked, metadata=self.raw.metadata()) for _ in range(600)]
        self.assertEqual({answer.result().status.code for answer in answers}, {CODE.OK})

    def test_large_messages_one_after_the_other_are_all_taken_although_segments_are_made(self):
        body = os.urandom((4 << 20) - 4096)
        codes = [self.sent(self.raw.message("bills", body=body)) for _ in range(40)]
        self.assertEqual(set(codes), {CODE.OK})

    def test_sends_that_say_nothing_keep_nobody_else_from_sending(self):
        weak = self.made_key("weak", ["groups"])
        end = threading.Event()
        self.addCleanup(end.set)

        def silence():
            end.wait()
            yield b""

        def silent_sends(raw):
            method = raw.channel.stream_unary("/apache.rocketmq.v2.MessagingService/SendMessage")
            return [method.future(silence(), metadata=raw.metadata()) for _ in range(40)]

        refused = silent_sends(self.enterContext(Raw.opened(self, key=weak)))
        for answer in refused:
            self.assertIn(b"scope topics", answer.result(timeout=WAIT_S))
        held = [send for _ in range(4) for send in silent_sends(self.enterContext(Raw.opened(self)))]
        self.assertEqual(self.sent(self.raw.message("orders")), CODE.OK)
        self.assertFalse(any(send.done() for send in held))

    def test_what_is_not_served_says_so(self):
        stub, metadata = self.raw.stub, self.raw.metadata()
        for call, asked in (
            (stub.PullMessage, wire.PullMessageRequest()),
            (stub.QueryOffset, wire.QueryOffsetRequest()),
            (stub.UpdateOffset, wire.UpdateOffsetRequest()),
            (stub.GetOffset, wire.GetOffsetRequest()),
        ):
            with self.assertRaises(grpc.RpcError) as caught:
                answer = call(asked, metadata=metadata)
                list(answer) if hasattr(answer, "__iter__") else None
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        for call, asked in (
            (stub.EndTransaction, wire.EndTransactionRequest()),
        ):
            self.assertEqual(call(asked, metadata=metadata).status.code, CODE.NOT_IMPLEMENTED)

    def test_hostile_bytes_end_a_request_and_nothing_else(self):
        path = "/apache.rocketmq.v2.MessagingService/"
        for method in ("SendMessage", "ReceiveMessage", "AckMessage", "QueryRoute"):
            call = self.raw.channel.unary_unary(path + method)
            for garbage in (b"\xff" * 64, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x80" * 2_000):
                with self.assertRaises(grpc.RpcError):
                    call(garbage, metadata=self.raw.metadata())
        too_large = self.raw.channel.unary_unary(path + "AckMessage")
        with self.assertRaises(grpc.RpcError):
            too_large(b"\x0a" + b"\xff\xff\x3f" + b"x" * 1_048_575, metadata=self.raw.metadata())
        self.assertEqual(self.sent(self.raw.message("orders")), CODE.OK)

    def test_the_telemetry_of_one_connection_is_bounded(self):
        streams = [self.raw.stub.Telemetry(iter([self.raw.settings()]), metadata=self.raw.metadata()) for _ in range(16)]
        for stream in streams:
            self.assertEqual(next(stream).status.code, CODE.OK)
        # The requests of these have ended, and with them the streams, one after the other.
        for stream in streams:
            self.assertEqual(list(stream), [])
        (answer,) = self.raw.stub.Telemetry(iter([self.raw.settings()]), metadata=self.raw.metadata())
        self.assertEqual(answer.settings.publishing.max_body_size, 4 << 20)

    def test_the_first_bytes_of_the_older_protocol_are_answered(self):
        header = json.dumps({"code": 105, "opaque": 77, "serializeTypeCurrentRPC": "JSON"}).encode()
        with socket.create_connection(("127.0.0.1", self.server.queue)) as old:
            old.sendall(struct.pack(">II", 4 + len(header), len(header)) + header)
            said = b"".join(iter(lambda: old.recv(4096), b""))
        answer = json.loads(said[8:])
        self.assertEqual((answer["opaque"], answer["flag"]), (77, 1))
        self.assertIn("RocketMQ 5 gRPC", answer["remark"])

    def test_a_connection_that_speaks_something_else_is_closed(self):
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01garbage", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\x00" * 8):
            with socket.create_connection(("127.0.0.1", self.server.queue)) as other:
                other.sendall(said)
                with contextlib.suppress(ConnectionError):
                    while other.recv(4096):
                        pass
        self.assertEqual(self.sent(self.raw.message("orders")), CODE.OK)


class Raw:
    """Requests as they are on the wire, signed by hand."""

    def __init__(self, case, stub, key=(), channel=None):
        self.stub, self.channel = stub, channel
        self.key = case.key if key == () else key
        self.numbers = iter(range(1_000_000))

    @classmethod
    @contextlib.contextmanager
    def opened(cls, case, key=()):
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        # Each has a connection of its own.
        options.append(("grpc.use_local_subchannel_pool", 1))
        # What it takes without reading does not grow.
        options.append(("grpc.http2.bdp_probe", 0))
        with grpc.insecure_channel(f"127.0.0.1:{case.server.queue}", options) as channel:
            yield cls(case, MessagingServiceStub(channel), key, channel)

    def metadata(self):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        given = [("x-mq-client-id", "raw"), ("x-mq-date-time", now)]
        if self.key is None:
            return given
        key_id, secret = self.key
        tag = hmac.new(secret.encode(), now.encode(), hashlib.sha1).hexdigest()
        signed = f"MQv2-HMAC-SHA1 Credential={key_id}, SignedHeaders=x-mq-date-time, Signature={tag}"
        return [*given, ("authorization", signed)]

    def message(self, topic, body=b"hello", **properties):
        system = of.SystemProperties(message_id=f"01{next(self.numbers):032d}", message_type=of.MessageType.NORMAL)
        return of.Message(topic=of.Resource(name=topic), body=body, user_properties=properties, system_properties=system)

    def settings(self):
        publishing = of.Publishing(topics=[of.Resource(name="orders")])
        settings = of.Settings(client_type=of.ClientType.PRODUCER, publishing=publishing)
        return wire.TelemetryCommand(settings=settings)

    def send(self, messages):
        return self.stub.SendMessage(wire.SendMessageRequest(messages=messages), metadata=self.metadata())

    def route(self, topic):
        endpoints = of.Endpoints(scheme=of.AddressScheme.IPv4, addresses=[of.Address(host="127.0.0.1", port=1)])
        asked = wire.QueryRouteRequest(topic=of.Resource(name=topic), endpoints=endpoints)
        return self.stub.QueryRoute(asked, metadata=self.metadata())

    def begin_receive(self, group="shop", topic="orders", invisible_s=10, batch_size=32, poll_s=20, filter=None, auto_renew=False):
        asked = wire.ReceiveMessageRequest(
            group=of.Resource(name=group),
            message_queue=of.MessageQueue(topic=of.Resource(name=topic), id=-1),
            filter_expression=filter,
            batch_size=batch_size,
            auto_renew=auto_renew,
        )
        asked.invisible_duration.seconds = invisible_s
        asked.long_polling_timeout.seconds = poll_s
        return self.stub.ReceiveMessage(asked, metadata=self.metadata())

    def receive(self, **options):
        return list(self.begin_receive(**options))

    def received(self, **options):
        """The system properties of what has come."""
        return [answer.message.system_properties for answer in self.receive(**options) if answer.HasField("message")]

    def give_up(self, handle, group="shop", topic="orders"):
        asked = wire.ForwardMessageToDeadLetterQueueRequest(receipt_handle=handle, message_id="x")
        asked.group.name, asked.topic.name = group, topic
        return self.stub.ForwardMessageToDeadLetterQueue(asked, metadata=self.metadata())

    def ack(self, handle, group="shop", topic="orders"):
        asked = wire.AckMessageRequest(group=of.Resource(name=group), topic=of.Resource(name=topic))
        asked.entries.add(message_id="x", receipt_handle=handle)
        return self.stub.AckMessage(asked, metadata=self.metadata())


if __name__ == "__main__":
    unittest.main()
