#!/usr/bin/env python3
"""Writes the seeds of fuzz/corpus: one of each kind of input, valid, and each known bad form. Written from the
specifications and the format tables, not with our encoders. Findings are added to the corpus by hand and stay there."""

import json
import struct
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
UUIDS = [f"0190a000-0000-7000-8000-{n:012x}" for n in range(20)]
NOW = 1_800_000_000_000


def write(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


# --- MQTT: hexadecimal, and 'text' between quotes, as in crates/mqtt/tests/it/bytes.rs


def raw(notation):
    out = b""
    for token in notation.split():
        out += token[1:-1].encode() if token.startswith("'") else bytes.fromhex(token)
    return out


def frame(first, body):
    length, header = len(body), bytes([first])
    while True:
        header += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
        length >>= 7
        if not length:
            return header + body


def packet(first, notation):
    return frame(first, raw(notation))


CONNECT_3 = packet(0x10, "0004 'MQTT' 04 02 003c 0001 'a'")
CONNECT_5 = packet(0x10, "0004 'MQTT' 05 02 003c 00 0001 'a'")

CLIENT_SENDS = {
    "connect-3": CONNECT_3,
    "connect-5": CONNECT_5,
    "connect-3.1": packet(0x10, "0006 'MQIsdp' 03 02 003c 0001 'a'"),
    "connect-3-will-user-password": packet(0x10, "0004 'MQTT' 04 c6 003c 0001 'a' 0001 'w' 0001 'x' 0001 'u' 0001 'p'"),
    "connect-5-password-alone": packet(0x10, "0004 'MQTT' 05 42 003c 00 0000 0002 00 'p'"),
    "connect-5-all": packet(
        0x10,
        "0004 'MQTT' 05 f6 003c 26 11ffffffff 21000a 2700000100 220000 1901 1700 26 0001 'k' 0001 'v' "
        "15 0001 'm' 16 0002 0102 0001 'a' 09 1800000005 03 0001 't' 0001 'w' 0001 'x' 0001 'u' 0001 'p'",
    ),
    "connect-level-6": packet(0x10, "0004 'MQTT' 06 02 003c 00 0001 'a'"),
    "connect-cut-level": packet(0x10, "0004 'MQTT' ff"),
    "connect-shorter-than-its-level": raw("10 01 00 04 'MQTT' 05 02 003c 0000 01 'a'"),
    "connect-other-name": packet(0x10, "0004 'MQTX' 05 02 003c 00 0001 'a'"),
    "connect-reserved-flag": packet(0x10, "0004 'MQTT' 05 03 003c 00 0001 'a'"),
    "connect-window-0": packet(0x10, "0004 'MQTT' 05 02 003c 03 210000 0001 'a'"),
    "publish-3-qos0": packet(0x30, "0001 't' 'payload'"),
    "publish-3-qos1-dup": packet(0x3A, "0001 't' 0001 'payload'"),
    "publish-5-qos1": packet(0x32, "0001 't' 0001 00 'payload'"),
    "publish-5-qos2-retain": packet(0x35, "0001 't' ffff 00"),
    "publish-5-all": packet(
        0x32,
        "0003 'a/b' 0007 28 0101 0200000009 03 0001 't' 08 0001 'r' 09 0002 'cc' 0b ffffff7f 0b01 "
        "26 0001 'k' 0001 'v' 26 0000 0000 '{}'",
    ),
    "publish-5-alias": packet(0x30, "0000 03 230001 'x'"),
    "publish-qos3": packet(0x36, "0001 't' 0001"),
    "publish-wildcard": packet(0x30, "0003 'a/#' 00"),
    "publish-not-utf8": packet(0x30, "0002 ff fe 00"),
    "publish-surrogate": packet(0x30, "0003 eda080 00"),
    "publish-nul": packet(0x30, "0001 00 00"),
    "publish-id-0": packet(0x32, "0001 't' 0000 00"),
    "publish-long-varint": raw("30 8080808001"),
    "publish-announces-256mb": raw("30 ffffff7f 0001 't'"),
    "publish-property-twice": packet(0x30, "0001 't' 04 0101 0101"),
    "publish-property-cut": packet(0x30, "0001 't' 05 02 0000"),
    "puback-3": packet(0x40, "0009"),
    "puback-5-reason": packet(0x40, "0009 10"),
    "puback-5-all": packet(0x40, "0009 87 09 1f 0001 'r' 26 0000 0000"),
    "pubrec": packet(0x50, "0005"),
    "pubrel": packet(0x62, "0005"),
    "pubrel-without-flag": packet(0x60, "0005"),
    "pubcomp": packet(0x70, "0005 92"),
    "subscribe-3": packet(0x82, "0002 0003 'a/+' 01 0001 'b' 00"),
    "subscribe-5": packet(0x82, "0002 02 0b05 0003 'a/#' 2e 000a '$share/g/x' 01"),
    "subscribe-none": packet(0x82, "0002 00"),
    "subscribe-reserved-bits": packet(0x82, "0002 00 0001 'a' c0"),
    "unsubscribe-3": packet(0xA2, "0003 0003 'a/+'"),
    "unsubscribe-5": packet(0xA2, "0003 00 0003 'a/#' 0001 'b'"),
    "pingreq": packet(0xC0, ""),
    "pingreq-body": packet(0xC0, "00"),
    "disconnect": packet(0xE0, ""),
    "disconnect-5-expiry": packet(0xE0, "00 05 1100000009"),
    "auth": packet(0xF0, "18 09 15 0001 'm' 16 0002 0102"),
    "type-0": raw("0000"),
}
SERVER_SENDS = {
    "connack-3": packet(0x20, "01 00"),
    "connack-3-refused": packet(0x20, "00 05"),
    "connack-5": packet(0x20, "00 00 00"),
    "connack-5-all": packet(
        0x20, "01 00 1e 1100000009 12 0002 'id' 1304b0 21 0080 2700020000 2401 2500 2a00".replace("1e", "1c")
    ),
    "connack-5-refused": packet(0x20, "00 87 05 1f 0002 'no'"),
    "suback-3": packet(0x90, "0001 00 80"),
    "suback-5": packet(0x90, "0001 00 01 8f"),
    "unsuback-3": packet(0xB0, "0001"),
    "unsuback-5": packet(0xB0, "0001 00 00 11"),
    "pingresp": packet(0xD0, ""),
    "disconnect-5-taken-over": packet(0xE0, "8e 00"),
    "disconnect-5-moved": packet(0xE0, "9d 07 1c 0004 'host'"),
}


def mqtt():
    for name, content in {**CLIENT_SENDS, **SERVER_SENDS}.items():
        write("mqtt_decoder", name, content)
    for version, connect in (("3", CONNECT_3), ("5", CONNECT_5)):
        p = "" if version == "3" else " 00"
        session = b"".join(
            [
                connect,
                packet(0x30, f"0001 't'{p} 'payload'"),
                packet(0x32, f"0001 't' 0001{p}"),
                packet(0x82, f"0002{p} 0003 'a/+' 01 0001 'b' 00"),
                packet(0xC0, ""),
                packet(0x3A, f"0001 't' 0001{p}"),
                packet(0xA2, f"0003{p} 0003 'a/+'"),
                packet(0x40, "0009"),
                packet(0x62, "0005"),
                packet(0xE0, ""),
            ]
        )
        for step in (1, 7, 64):
            write("mqtt_server", f"session-{version}-by-{step}", bytes([step]) + session)
        write("mqtt_server", f"too-large-{version}", b"\x20" + connect + frame(0x30, b"\0\x01t" + bytes(1200)))
        write("mqtt_server", f"connect-twice-{version}", b"\x05" + connect + connect)
    for name, content in CLIENT_SENDS.items():
        if name.startswith("connect"):
            write("mqtt_server", name, b"\x03" + content + packet(0xC0, ""))
        else:
            connect = CONNECT_3 if "-3" in name else CONNECT_5
            write("mqtt_server", "open-" + name, b"\x04" + connect + content)
    for version in (0, 0x80):
        p, digit = (" 00", "5") if version else ("", "3")
        down = b"".join(
            [
                packet(0x20, "00 00" + p),
                packet(0x30, f"0001 't'{p} 'x'"),
                packet(0x32, f"0001 't' 0007{p} 'y'"),
                packet(0x3A, f"0001 't' 0007{p} 'y'"),
                packet(0xD0, ""),
                packet(0x40, "0001"),
            ]
        )
        for step in (1, 9, 100):
            write("mqtt_client", f"session-{digit}-by-{step}", bytes([version | step]) + down)
    for name, content in {**SERVER_SENDS, **CLIENT_SENDS}.items():
        version = 0 if "-3" in name else 0x80
        accepted = b"" if name.startswith("connack") else packet(0x20, "00 00 00" if version else "00 00")
        if name in SERVER_SENDS or name.startswith(("pub", "type")):
            write("mqtt_client", name, bytes([version | 3]) + accepted + content)


def topics():
    filters = "\n".join(["#", "+", "+/#", "a/#", "a/+", "a/b", "a/b/#", "+/b", "a/+/#", "$SYS/#", "/+", "$share/g/a/+", "a#", ""])
    deep = "/".join("a" * 128)
    for name, topic in {
        "two-levels": "a/b",
        "one-level": "a",
        "hidden": "$SYS/monitor",
        "empty-level": "/finance",
        "slash": "/",
        "beyond-ascii": "£/日本",
        "deepest": deep,
        "too-deep": deep + "/a",
        "p2p": "ring-down/p2p/GID_dev@@@bob/invitation",
        "wildcard-topic": "a/+",
    }.items():
        write("mqtt_topics", name, f"{topic}\n{filters}\n{topic}\n{topic}/#")
    write("mqtt_topics", "hidden-inside", "a/$x/b\n+/+/b\na/+/#\n#\na/$x/b")


# --- WebSocket (RFC 6455)


def ws(first, payload, mask=b"\x37\xfa\x21\x3d", length=None):
    n = len(payload)
    if length is None:
        length = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
    return bytes([first]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def websocket():
    for name, content in {
        "hello": ws(0x82, b"Hello"),
        "connect": ws(0x82, CONNECT_5),
        "empty": ws(0x82, b""),
        "fragments-with-ping": ws(0x02, b"Hel") + ws(0x89, b"now") + ws(0x00, b"l") + ws(0x80, b"o"),
        "two-messages": ws(0x82, b"a" * 126) + ws(0x82, b"b"),
        "longest-ping": ws(0x89, b"p" * 125),
        "pong": ws(0x8A, b"x"),
        "close": ws(0x88, b""),
        "close-normal": ws(0x88, b"\x03\xe8bye") + ws(0x82, b"behind"),
        "close-of-one-byte": ws(0x88, b"\x03"),
        "close-1005": ws(0x88, struct.pack(">H", 1005)),
        "close-not-utf8": ws(0x88, b"\x03\xe8\xff"),
        "text": ws(0x81, b"x"),
        "not-masked": b"\x82\x01x",
        "reserved-bit": ws(0xC2, b"x"),
        "unknown-opcode": ws(0x83, b"x"),
        "continuation-of-nothing": ws(0x80, b"x"),
        "message-in-message": ws(0x02, b"a") + ws(0x82, b"b"),
        "fragmented-ping": ws(0x09, b"x"),
        "long-ping": ws(0x89, b"p" * 126),
        "long-form-of-short": ws(0x82, b"x", length=b"\xfe\x00\x01"),
        "longest-form-of-middle": ws(0x82, b"", length=b"\xff" + struct.pack(">Q", 300)),
        "highest-bit": ws(0x82, b"", length=b"\xff" + struct.pack(">Q", 1 << 63)),
        "announces-exabytes": ws(0x82, b"x", length=b"\xff" + struct.pack(">Q", (1 << 63) - 1)),
    }.items():
        write("broker_websocket", name, b"\x03" + content)


# --- the log: edits are what, which file, where (u16), how much


def edit(what, which, at, count, content=b""):
    return struct.pack(">BBHB", what, which, at, count) + content


OVERWRITE, ZERO, FLIP, TRUNCATE, REMOVE, GARBAGE, SIGN_RECORD, SIGN_SEGMENT = range(8)


def commitlog():
    forged = lambda at, content: edit(OVERWRITE, 0, at, len(content), content)
    for name, content in {
        "intact": b"",
        "flip-magic": edit(FLIP, 0, 0, 1),
        "flip-log-id": edit(FLIP, 0, 20, 1),
        "flip-epoch": edit(FLIP, 1, 50, 1),
        "flip-first-record": edit(FLIP, 0, 64, 3),
        "flip-payload": edit(FLIP, 0, 1000, 3),
        "flip-roll": edit(FLIP, 1, 70, 3),
        "flip-late": edit(FLIP, 1, 2000, 3),
        "zero-header": edit(ZERO, 0, 0, 1),
        "zero-middle": edit(ZERO, 0, 4096, 8),
        "zero-end-of-first": edit(ZERO, 0, 12000, 255),
        "zero-second": edit(ZERO, 1, 64, 255),
        "garbage-tail": edit(GARBAGE, 1, 8000, 100),
        "garbage-everywhere": edit(GARBAGE, 0, 0, 255) + edit(GARBAGE, 1, 0, 255),
        "short-first": edit(TRUNCATE, 0, 8000, 0),
        "short-second": edit(TRUNCATE, 1, 100, 0),
        "empty-first": edit(TRUNCATE, 0, 0, 0),
        "missing-first": edit(REMOVE, 0, 0, 0),
        "missing-second": edit(REMOVE, 1, 0, 0),
        "torn-sector": edit(ZERO, 1, 512, 8),
        "forged-length": forged(68, b"\xff\xff\xff\xff") + edit(SIGN_RECORD, 0, 64, 0),
        "forged-length-of-segment": forged(68, struct.pack("<I", 16384)) + edit(SIGN_RECORD, 0, 64, 0),
        "forged-kind": forged(76, b"\x04") + edit(SIGN_RECORD, 0, 64, 0),
        "forged-stop": forged(76, b"\x02") + edit(SIGN_RECORD, 0, 64, 0),
        "forged-batch": forged(80, b"\xff" * 8) + edit(SIGN_RECORD, 0, 64, 0),
        "forged-position": forged(88, b"\xff" * 8) + edit(SIGN_RECORD, 0, 64, 0),
        "forged-last-epoch": forged(104, b"\xff" * 8) + edit(SIGN_RECORD, 0, 64, 0),
        "forged-open-unit": forged(77, b"\x00") + edit(SIGN_RECORD, 0, 64, 0),
        "forged-segment-number": forged(32, b"\xff" * 8) + edit(SIGN_SEGMENT, 0, 0, 0),
        "forged-segment-size": forged(40, b"\x00" * 8) + edit(SIGN_SEGMENT, 0, 0, 0),
        "forged-segment-size-huge": forged(40, b"\xff" * 8) + edit(SIGN_SEGMENT, 0, 0, 0),
        "forged-segment-size-small": forged(40, struct.pack("<Q", 4096)) + edit(SIGN_SEGMENT, 0, 0, 0),
        "forged-segment-epoch": forged(48, b"\xff" * 8) + edit(SIGN_SEGMENT, 0, 0, 0),
        "forged-segment-version": forged(8, b"\x02") + edit(SIGN_SEGMENT, 0, 0, 0),
    }.items():
        write("commitlog_recovery", name, content)


# --- records of queue and broker


def text(value):
    value = value.encode()
    return struct.pack("<H", len(value)) + value


def u64(*values):
    return b"".join(struct.pack("<Q", value) for value in values)


def u32(value):
    return struct.pack("<I", value)


def u16(value):
    return struct.pack("<H", value)


def queue():
    record = lambda kind, owner, payload: struct.pack(">BBH", kind, owner, len(payload)) + payload
    message = b"\x01" + u64(NOW, NOW - 5) + b"\x01" + text("create") + u16(1) + text("k") + u16(1) + text("n") + text("v") + b"{}"
    plain = b"\x01" + u64(NOW, 0) + b"\x00" + u16(0) + u16(0)
    of_group = b"\x01\x00" + u64(NOW, 0) + b"\x00\x01" + text("a") + b"\x01" + text("id") + b"\x00" + u16(0) + u16(0) + b"{}"
    delayed = b"\x01\x01" + u64(NOW, 0) + b"\x01" + u64(NOW + 9) + b"\x00\x00\x00" + u16(0) + u16(0)
    entry = record(0x2B, 1, u64(256) + u32(len(delayed)) + u64(NOW) + b"\x00")
    # Positions are 64, 128, 192 …: topic 1, group 2, subscription 3.
    begin = record(0x20, 0, b"meeting") + record(0x21, 0, u32(16) + b"service") + record(0x22, 2, u64(64))
    for name, content in {
        "topic": record(0x20, 0, b"meeting"),
        "topic-dead-letters": record(0x20, 0, b"%DLQ%service"),
        "topic-no-name": record(0x20, 0, b"a b"),
        "group": record(0x21, 0, u32(16) + b"service"),
        "group-cut": record(0x21, 0, b"\x01\0"),
        "message": record(0x23, 1, message),
        "message-plain": record(0x23, 1, plain),
        "message-newer": record(0x23, 1, b"\x02" + plain[1:]),
        "message-two-tags": record(0x23, 1, plain[:17] + b"\x02" + plain[18:]),
        "message-many-keys": record(0x23, 1, plain[:18] + b"\xff\xff" + plain[20:]),
        "message-tag-not-utf8": record(0x23, 1, plain[:17] + b"\x01\x01\0\xff" + plain[18:]),
        "life": begin + record(0x23, 1, message) * 3 + record(0x24, 3, u64(256) + u32(1) + u64(320) + u32(2)) + record(0x25, 3, u64(256, 384)),
        "acks-first": begin + record(0x25, 3, u64(256, 256)) + record(0x24, 3, u64(256) + u32(1)) + record(0x23, 1, plain),
        "hand-out-last-attempt": begin + record(0x23, 1, plain) + record(0x24, 3, u64(256) + u32(0xFFFFFFFF)),
        "hand-out-cut": record(0x24, 3, u64(256)),
        "ack-of-largest-position": begin + record(0x25, 3, u64((1 << 64) - 1)) + record(0x23, 1, plain),
        "hand-out-of-largest-position": begin + record(0x24, 3, u64((1 << 64) - 1) + u32(1)),
        "subscription-of-nothing": record(0x22, 9, u64(640)) + record(0x23, 1, plain),
        "same-name-twice": record(0x20, 0, b"meeting") * 2 + record(0x21, 0, u32(1) + b"service") * 2,
        "topic-fifo": record(0x29, 0, b"\x01ordered"),
        "topic-of-unknown-type": record(0x29, 0, b"\x09ordered"),
        "message-of-a-group": record(0x2A, 1, of_group),
        "message-delayed": record(0x2A, 1, delayed),
        "message-that-waits-for-no-time": record(0x2A, 1, b"\x01\x01" + of_group[2:]),
        "delayed-life": begin + record(0x2A, 1, delayed) + entry + record(0x24, 3, u64(320) + u32(1)) + record(0x25, 3, u64(320)),
        "entry-first": begin + entry + record(0x2A, 1, delayed) + record(0x28, 1, u64(256)),
        "parked": begin + record(0x2A, 1, of_group) * 2 + record(0x24, 3, u64(256) + u32(1) + u64(320) + u32(0)),
        "entry-cut": record(0x2B, 1, u64(256) + u32(9)),
        "indexed-waiting": record(0x2C, 1, b"\x01" + u64(NOW) + u32(99) + u64(NOW) + u32(0) + b"\x00"),
        "id-seen": begin + record(0x2D, 1, u64(256, NOW) + b"id"),
        "unknown-kind": record(0x3F, 0, b"x"),
        "foreign-kind": record(0x40, 0, b"x"),
    }.items():
        write("queue_records", name, content)


def broker():
    record = lambda kind, payload: struct.pack(">BH", kind, len(payload)) + payload
    client = text("GID_dev@@@bob")
    reference = lambda at, flags, tail=b"": record(0x41, client + u64(at) + u16(9) + bytes([flags]) + u32(12) + u64(NOW) + tail)
    message = u64(NOW, NOW + 60_000) + b"\x01\x04" + text("ring-down/p2p/GID_dev@@@bob/invitation")
    session = record(0x44, client + text("user:bob") + u32(0xFFFFFFFF))
    life = [
        session,
        record(0x46, client + text("a/#") + b"\x0d" + u32(7)),
        record(0x48, client + text("ab12") + u64(NOW) + text("127.0.0.1:1")),
        record(0x40, message + text("i") + u64(2) + u32(7) + b"\x26\0\x01k\0\x01v" + b"{}"),
        reference(3, 0b101, text("i") + u64(2) + u32(1) + u32(2)),
        record(0x43, client + u64(3) + u16(9)),
        record(0x42, client + u64(3)),
        record(0x49, client + text("ab12") + u64(NOW + 1)),
        record(0x4A, text("ab12")),
        record(0x4B, client + u64(NOW) + text("id-1")),
        record(0x47, client + text("a/#")),
        record(0x45, client),
        record(0x4C, u64(NOW + 2)),
        record(0x4D, u64(NOW + 3)),
    ]
    for content in life:
        write("broker_records", f"kind-{content[0]:#04x}", content)
        write("broker_records", f"kind-{content[0]:#04x}-cut", struct.pack(">BH", content[0], len(content) - 4) + content[3:-1])
    for name, content in {
        "life": b"".join(life),
        "life-backwards": b"".join(reversed(life)),
        "handed-out-twice": session + reference(3, 0) + record(0x43, client + (u64(3) + u16(9)) * 2),
        "handed-out-of-nothing": session + record(0x43, client + u64(77) + u16(1)),
        "superseded": session + reference(3, 4, text("i") + u64(2)) + reference(4, 4, text("i") + u64(1)) + reference(5, 4, text("i") + u64(3)),
        "removed-then-referred": session + record(0x42, client + u64(3)) + reference(3, 1),
        "packet-id-0": record(0x43, client + u64(3) + u16(0)),
        "qos-3": record(0x46, client + text("a") + b"\x03" + u32(0)),
        "message-qos-3": record(0x40, u64(1, 2) + b"\x03\x00" + text("t") + u32(0)),
        "message-long-properties": record(0x40, u64(1, 2) + b"\x01\x00" + text("t") + b"\xff\xff\xff\xff"),
        "closed-never-opened": record(0x49, client + text("zz") + u64(0xFFFFFFFFFFFFFFFF)),
        "not-utf8": record(0x45, u16(1) + b"\xff"),
        "unknown-kind": record(0x7F, b""),
        "foreign-kind": record(0x25, b""),
    }.items():
        write("broker_records", name, content)


# --- signalling


def envelope(kind, down=False, **more):
    base = {"v": 1, "id": UUIDS[1], "meeting": UUIDS[0], "type": kind, "sent_at_ms": NOW, "expires_at_ms": NOW + 60_000}
    return {**base, **({"in_reply_to": UUIDS[2]} if down else {}), **more}


def join(**more):
    return {
        "endpoints": ["https://127.0.0.1:8443"],
        "app": "dev",
        "channel": UUIDS[0],
        "user": "bob",
        "participation": UUIDS[4],
        "token": "e30.e30.c2ln",
        "profile": "call",
        **more,
    }


def member(user="alice", state="in"):
    return {
        "user": user,
        "name": user.title(),
        "participation": UUIDS[3],
        "state": state,
        "muted": {"audio": True, "video": False},
        "blocked": {"audio": False, "video": False},
    }


def signals():
    roster = {"rev": 3, "host": "alice", "members": [member(), member("bob", "ringing")]}
    ups = {
        "create": {"callees": ["bob", "carol"], "media": "video", "title": "tea"},
        "invite": {"callees": ["bob"]},
        "ringing": {"invitation": UUIDS[5]},
        "accept": {"invitation": UUIDS[5]},
        "reject": {"invitation": UUIDS[5], "reason": "busy"},
        "cancel": {"callee": "bob"},
        "join": {},
        "leave": {},
        "mute": {"user": "bob", "track": "audio"},
        "unmute": {"track": "video"},
        "block": {"user": "bob", "track": "audio"},
        "unblock": {"user": "bob", "track": "audio"},
        "ask_unmute": {"user": "bob", "track": "audio"},
        "kick": {"user": "bob", "ban_s": 30},
        "destroy": {},
        "roster": {},
        "state": {},
        "contacts": {},
        "seen": {"invitation": UUIDS[5]},
    }
    for kind, body in ups.items():
        write("signalling_signals", f"up-{kind}", json.dumps(envelope(kind, **body)))
    turn = {"urls": ["turn:h:3478"], "username": "u", "credential": "c"}
    ring = {"invitation": UUIDS[5], "rev": 1, "meeting": UUIDS[0], "from": "alice", "from_name": "Alice", "media": "video"}
    ring |= {"ring_until_ms": NOW, "join": join(turn=[turn]), "ringing": False, "members": 1, "names": ["Alice"]}
    outcome = {"invitation": UUIDS[5], "meeting": UUIDS[0], "rev": 2, "from": "alice", "from_name": "Alice"}
    outcome |= {"media": "audio", "kind": "missed_busy", "at_ms": NOW}
    call = {"meeting": UUIDS[0], "media": "video", "here": True, "join": join(), "roster": roster}
    downs = {
        "invitation": ring,
        "admitted": {"join": join(), "roster": roster},
        "ended": {"reason": "cancelled", "invitation": UUIDS[5], "rev": 2, "outcome": outcome},
        "refused": {"code": "not_member", "words": "you are not in this meeting"},
        "rejected": {"user": "bob", "reason": "declined"},
        "waiting": {"user": "bob", "until_ms": NOW},
        "ringing": {"user": "bob"},
        "accepted": {"user": "bob"},
        "busy": {"user": "bob"},
        "roster": roster,
        "muted": {"track": "audio", "by": "alice"},
        "blocked": {"track": "video", "blocked": True, "by": "alice"},
        "unmute_asked": {"track": "audio", "by": "alice"},
        "seen": {"invitation": UUIDS[5], "rev": 1},
        "state": {"now_ms": NOW, "user": "bob", "name": "Bob", "rings": [ring], "call": call, "outcomes": [outcome]},
        "contacts": {"users": [{"user": "alice", "name": "Alice", "presence": "in_call", "since_ms": NOW}]},
    }
    for kind, body in downs.items():
        write("signalling_signals", f"down-{kind}", json.dumps(envelope(kind, True, **body)))
    for name, content in {
        "slot-map": {"epoch": 2, "slots": [{"mid": "3", "participation": UUIDS[3], "source": "camera"}]},
        "join-request": {"sdp": "v=0\r\n", "profile": "meeting", "purposes": {"0": "microphone", "3": "video_slot"}},
        "join-answer": {"sdp": "v=0\r\n", "slots": {"epoch": 1, "slots": []}},
    }.items():
        write("signalling_signals", name, json.dumps(content))
    for name, content in {
        "not-json": "{",
        "deep": "[" * 200,
        "unknown-type": json.dumps(envelope("dance")),
        "number-too-large": json.dumps(envelope("kick", user="bob", ban_s=1 << 40)),
        "id-no-uuid": json.dumps({**envelope("state"), "id": "x"}),
        "same-key-twice": '{"v":1,"v":2,' + json.dumps(envelope("state"))[1:],
        "lone-surrogate": json.dumps(envelope("create", callees=["\ud800"], media="audio")),
        "float": json.dumps({**envelope("state"), "sent_at_ms": 1e300}),
    }.items():
        write("signalling_signals", name, content)


def document(**more):
    muted = {"audio": False, "video": False}
    stay = {"user": "alice", "name": "Alice", "client": "GID_dev@@@alice", "participation": UUIDS[3], "media": "there", "media_since_ms": NOW, "online": True, "online_since_ms": NOW, "muted": muted}
    ring = {"id": UUIDS[5], "user": "bob", "name": "Bob", "by": "alice", "by_name": "Alice", "reach_until_ms": NOW + 60_000, "state": {"is": "invited"}, "devices": [{"client": "GID_dev@@@bob", "participation": UUIDS[4], "warm": True}]}
    base = {"v": 1, "id": UUIDS[0], "rev": 1, "host": "alice", "media": "video", "title": None, "ends_below": 2, "members": [stay], "invitations": [ring]}
    return {**base, **more}


def documents():
    whole = document()
    stay, ring = whole["members"][0], whole["invitations"][0]
    bob = {**stay, "user": "bob", "name": "Bob", "client": "GID_dev@@@bob", "participation": UUIDS[4]}
    lost = {**bob, "media": "lost", "online": False}
    state = lambda **value: {**ring, "state": value}
    for name, content in {
        "calling": whole,
        "ringing": document(invitations=[{**state(**{"is": "ringing"}), "ring_until_ms": NOW + 45_000}]),
        "in-call": document(members=[stay, bob], invitations=[state(**{"is": "answered", "on": "GID_dev@@@bob"})]),
        "one-is-gone": document(members=[stay, lost], invitations=[state(**{"is": "answered", "on": "GID_dev@@@bob"})]),
        "declined": document(invitations=[state(**{"is": "declined", "on": "GID_dev@@@bob", "reason": "declined"})]),
        "busy": document(invitations=[state(**{"is": "busy"})]),
        "expired": document(invitations=[state(**{"is": "ended", "reason": "cancelled"})]),
        "ended": document(end={"reason": "destroyed", "at_ms": NOW, "early": False}, members=[], invitations=[]),
        "ended-early": document(end={"reason": "cancelled", "at_ms": 0, "early": True}, members=[], closed=True),
        "bans-and-blocks": document(bans=[{"user": "mallory", "until_ms": NOW}], blocked={"bob": {"audio": True, "video": False}}, removed=[{"participation": UUIDS[6], "until_ms": 1}], spent=[{"meeting": UUIDS[7], "user": "bob"}]),
        "nobody": document(members=[], invitations=[]),
        "host-is-away": document(members=[bob], ends_below=1),
        "largest-numbers": document(rev=(1 << 64) - 2, ends_below=(1 << 63), members=[{**lost, "media_since_ms": (1 << 64) - 1}]),
        "same-ring-twice": document(invitations=[ring, ring]),
        "newer": document(v=99),
        "rev-negative": document(rev=-1),
        "lacks-members": {key: value for key, value in whole.items() if key != "members"},
    }.items():
        write("meeting_document", name, json.dumps(content))


def meetings():
    ask = lambda client, what, user=0, ring=0: bytes([0, client, what, ring * 4 + user])
    media, comes, goes, passes, restart, busy = (lambda who, c: bytes([8, who, c, 0])), (lambda c: bytes([10, c, 0, 0])), (lambda c: bytes([11, c, 0, 0])), (lambda s: bytes([12, s, 0, 0])), bytes([14, 0, 0, 0]), (lambda u: bytes([15, u, 0, 0]))
    invite, ringing, accept, reject, cancel, cancel_all, joins, leave, mute, unmute, block, kick, destroy, state, crossing = 0, 1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
    for name, acts in {
        "nothing": [],
        "answered": [ask(2, ringing), ask(2, accept), media(0, 0), media(1, 0), ask(2, leave)],
        "two-devices": [ask(2, ringing), ask(3, ringing), ask(3, accept), ask(2, accept)],
        "declined": [ask(2, ringing), ask(3, reject)],
        "cancelled": [ask(2, ringing), ask(0, cancel, 1), ask(2, accept)],
        "nobody-comes": [goes(2), goes(3), passes(49), passes(49), passes(49)],
        "caller-lost": [ask(2, accept), media(0, 0), media(0, 1), goes(0), passes(49), passes(49)],
        "third-in-mid-call": [ask(2, accept), ask(0, invite, 2), ask(4, ringing, 0, 1), ask(4, accept, 0, 1), ask(0, destroy)],
        "muted-blocked-kicked": [ask(2, accept), ask(0, mute, 1), ask(2, unmute), ask(0, block, 1, 1), ask(0, kick, 1, 1), ask(2, joins)],
        "restart-while-ringing": [ask(2, ringing), restart, ask(2, accept), restart, passes(49)],
        "busy-callee": [busy(2), ask(0, invite, 2), busy(2), ask(0, invite, 2)],
        "crossing": [ask(2, crossing), ask(0, cancel_all), ask(2, state)],
        "moves-device": [ask(0, joins), ask(1, joins), ask(1, leave), ask(0, joins)],
        "stranger": [ask(5, accept), ask(5, destroy), ask(5, joins), ask(5, state)],
        "media-of-everybody": [media(who, change) for who in range(4) for change in range(5)],
    }.items():
        write("meeting_machine", name, b"".join(acts))


# --- the join door


def section(kind, mid, direction, codec, port=9):
    proto = "UDP/DTLS/SCTP" if kind == "application" else "UDP/TLS/RTP/SAVPF"
    lines = [f"m={kind} {port} {proto} {codec}", "c=IN IP4 0.0.0.0", "a=ice-ufrag:4ZcD", "a=ice-pwd:2/1muCWoOi3uLifh0NuRHlhs"]
    lines += ["a=ice-options:trickle", "a=fingerprint:sha-256 " + ":".join(["AB"] * 32), "a=setup:actpass", f"a=mid:{mid}"]
    if kind == "application":
        return lines + ["a=sctp-port:5000", "a=max-message-size:262144"]
    lines += [f"a={direction}", "a=rtcp-mux", "a=rtcp-rsize"]
    if kind == "audio":
        return lines + [f"a=rtpmap:{codec} opus/48000/2", f"a=fmtp:{codec} minptime=10;useinbandfec=1"]
    return lines + [f"a=rtpmap:{codec} VP8/90000", f"a=rtcp-fb:{codec} nack", f"a=rtcp-fb:{codec} nack pli", f"a=rtcp-fb:{codec} transport-cc"]


def offer(*sections):
    mids = " ".join(str(mid) for mid in range(len(sections)))
    lines = ["v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {mids}", "a=msid-semantic: WMS"]
    return "\r\n".join(lines + [line for lines in sections for line in lines]) + "\r\n"


def offers():
    call = offer(
        section("audio", 0, "sendonly", 111),
        section("video", 1, "sendonly", 96) + ["a=rid:l send", "a=rid:h send", "a=simulcast:send l;h"],
        section("audio", 2, "recvonly", 111),
        section("video", 3, "recvonly", 96),
        section("application", 4, "", "webrtc-datachannel"),
    )
    wishes = "call 0=microphone 1=camera 2=audio_slot 3=video_slot\n"
    both = call.replace("sendonly", "sendrecv").replace("recvonly", "sendrecv")
    for name, content in {
        "call": wishes + call,
        "listen-only": "meeting 2=audio_slot 3=video_slot\n" + call,
        "no-purpose": "call\n" + call,
        "lines-end-in-lf": wishes + call.replace("\r\n", "\n"),
        "purpose-unknown-mid": "call 9=camera\n" + call,
        "purpose-wrong-kind": "call 0=camera\n" + call,
        "purpose-wrong-direction": "call 2=microphone\n" + call,
        "purpose-of-data-channel": "call 4=microphone\n" + call,
        "camera-twice": "call 1=camera 3=camera\n" + both,
        "too-many-slots": "call 1=video_slot 3=video_slot\n" + both,
        "no-section": "call\nv=0\r\n",
        "empty": "call\n",
        "mid-twice": wishes + call.replace("a=mid:1", "a=mid:0"),
        "mid-missing": wishes + call.replace("a=mid:1\r\n", ""),
        "mid-long": wishes + call.replace("a=mid:1", "a=mid:12345678901234567"),
        "mid-strange": wishes + call.replace("a=mid:1", "a=mid:\u00e9 1"),
        "setup-passive": wishes + call.replace("actpass", "passive"),
        "setup-active": wishes + call.replace("actpass", "active"),
        "no-ufrag": wishes + call.replace("a=ice-ufrag:4ZcD\r\n", ""),
        "no-fingerprint": wishes + "\r\n".join(line for line in call.splitlines() if not line.startswith("a=fingerprint")),
        "h264-only": wishes + call.replace("VP8/90000", "H264/90000"),
        "inactive": wishes + call.replace("sendonly", "inactive"),
        "too-many-sections": "meeting\n" + offer(*[section("video", mid, "recvonly", 96) for mid in range(13)]),
        "too-large": wishes + call + "a=x:" + "y" * 6000 + "\r\n",
        "extmap-twice": wishes + call.replace("a=rtcp-mux", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=rtcp-mux"),
    }.items():
        write("rtc_offer", name, content)


# --- the terminal


def media_files():
    ivf = lambda rate=30, magic=b"DKIF": magic + struct.pack("<HH4sHHIIII", 0, 32, b"VP80", 320, 180, rate, 1, 2, 0)
    ivf_frame = lambda data, length=None, time=0: struct.pack("<IQ", len(data) if length is None else length, time) + data
    for name, content in {
        "two-frames": ivf() + ivf_frame(b"\x10\x02\x00\x9d\x01\x2a") + ivf_frame(b"\x11\x01", time=1),
        "no-frame": ivf(),
        "empty-frame": ivf() + ivf_frame(b""),
        "frame-cut": ivf() + ivf_frame(b"\x10", length=5),
        "frame-huge": ivf() + ivf_frame(b"\x10", length=0xFFFFFFFF),
        "frame-header-cut": ivf() + b"\x01\x00",
        "header-cut": ivf()[:20],
        "rate-0": ivf(rate=0),
        "other-magic": ivf(magic=b"RIFF"),
    }.items():
        write("terminal_ivf", name, content)

    def page(flags, segments, data, sequence):
        return b"OggS" + struct.pack("<BBQIIIB", 0, flags, 960 * sequence, 1, sequence, 0, len(segments)) + bytes(segments) + data

    # Checksums are 0: the target puts them right.
    head = page(2, [19], b"OpusHead\x01\x01" + struct.pack("<HIHB", 0, 48000, 0, 0), 0)
    tags = page(0, [16], b"OpusTags" + struct.pack("<II", 0, 0), 1)
    for name, content in {
        "two-packets": head + tags + page(4, [3, 3], b"\xf8\xff\xfe" * 2, 2),
        "long-packet": head + tags + page(4, [255, 255, 0], b"\xf8" * 510, 2),
        "over-two-pages": head + tags + page(0, [255], b"\xf8" * 255, 2) + page(5, [7], b"\xf8" * 7, 3),
        "ends-in-a-packet": head + tags + page(0, [255], b"\xf8" * 255, 2),
        "continued-of-nothing": head + tags + page(1, [3], b"\xf8\xff\xfe", 2),
        "not-continued": head + tags + page(0, [255], b"\xf8" * 255, 2) + page(0, [7], b"\xf8" * 7, 3),
        "empty-page": head + tags + page(4, [], b"", 2),
        "page-cut": head + tags + page(4, [9], b"\xf8", 2),
        "only-head": head,
        "vorbis": head.replace(b"OpusHead", b"\x01vorbis.") + tags,
        "no-tags": head + page(4, [3], b"\xf8\xff\xfe", 1),
        "other-magic": b"RIFF" + head[4:],
    }.items():
        write("terminal_ogg", name, content)


def ring_stores():
    entry = lambda n, known, rev=1: json.dumps({"invitation": UUIDS[n], "rev": rev, "is": known, "expires_at_ms": NOW}, separators=(",", ":")) + "\n"
    for name, content in {
        "empty": "",
        "one": entry(1, "ring"),
        "life": entry(1, "ring") + entry(2, "missed") + entry(1, "done", 3),
        "torn": entry(1, "ring") + entry(2, "ring")[:-9],
        "torn-alone": "0123",
        "wrong-checksum": "0123456789abcdef " + entry(1, "ring") + entry(2, "ring"),
        "not-utf8": b"\xff\n" + entry(1, "ring").encode(),
        "empty-lines": "\n\n" + entry(1, "ring") + "\n",
        "unknown-word": entry(1, "dance"),
        "long-line": "x" * 1200,
        "largest-numbers": entry(1, "missed", (1 << 64) - 1),
    }.items():
        write("terminal_ring_store", name, content)


def receivers():
    slots = lambda epoch, who, source="camera", mid="v": json.dumps({"epoch": epoch, "slots": [{"mid": mid, "participation": UUIDS[who], "source": source}]}, separators=(",", ":")).encode()
    item = lambda kind, number, content=b"": bytes([kind, number, len(content)]) + content
    # Kind 0x14: the next packet of the picture section, the last of its frame. Descriptor: start, picture id.
    whole = lambda number, data: item(0x14, number, b"\x90\x80\x01" + data)
    begin = item(0, 0, slots(1, 3)) + whole(1, b"\x10\x01")
    for name, content in {
        "two-frames": begin + whole(2, b"\x11\x02"),
        "no-key-frame": item(0, 0, slots(1, 3)) + whole(1, b"\x11\x01"),
        "two-packets": item(0, 0, slots(1, 3)) + item(0x10, 1, b"\x90\x80\x01\x10\x01") + item(0x14, 1, b"\x80\x80\x01\x02"),
        "gap": begin + item(0x34, 2, b"\x90\x80\x02\x11") + item(1, 255) + whole(4, b"\x10"),
        "same-sequence": begin + item(0x04, 1, b"\x90\x80\x01\x10"),
        "switch": begin + item(0, 0, slots(2, 4)) + whole(3, b"\x10\x03") + item(0, 0, slots(3, 3)) + whole(4, b"\x10"),
        "old-map": begin + item(0, 0, slots(0, 4)) + whole(2, b"\x11"),
        "largest-epoch": item(0, 0, slots((1 << 64) - 1, 3)) + item(0, 0, slots(5, 4)) + whole(1, b"\x10"),
        "unknown-section": item(0, 0, slots(1, 3, mid="zz")) + whole(1, b"\x10"),
        "speech": item(0, 0, slots(1, 3, "microphone", "a")) + item(0x1C, 1, b"\xf8\xff\xfe") * 3,
        "before-any-map": whole(1, b"\x10"),
        "descriptor-cut": begin + item(0x14, 2, b"\x90") + item(0x14, 3, b"\x90\x80\x81"),
        "not-json": item(0, 0, b"{"),
        "waits": begin + item(1, 255) * 8 + whole(9, b"\x10"),
    }.items():
        write("terminal_receiver", name, content)


for make in (mqtt, topics, websocket, commitlog, queue, broker, signals, documents, meetings, offers, media_files, ring_stores, receivers):
    make()
