"""What becomes of a meeting: the document as it was, one request or event, the document as it is, and what is to be told.

Nothing here touches a network, a file or a clock. A `Decision` collects `sends` and `missed`, which the caller stores together
with the document. A document is JSON:

    id rev host media title ends_below end    what it is; `end` is None while it lives
    members  [user name client participation connection media media_ms online online_ms goodbye muted]
    rings    [id user name by by_name by_client state reason on deadline_ms devices: [client participation]]
    blocked  {user: {track: true}}            former [user]            kicked [user]
"""

import uuid

RING_DOWN, MEETING_DOWN = "ring-down", "meeting-down"
# How long what is told waits for a device that is off.
KEPT_MS = {RING_DOWN: 3 * 24 * 3_600_000, MEETING_DOWN: 20_000}
# From create to the first device that rings; from there to the answer; without media and signalling until somebody has left.
REACH_MS, RING_MS, GONE_MS, GOODBYE_MS = 45_000, 45_000, 20_000, 4_000
MEMBERS_MAX, CALLEES_MAX, RINGS_MAX, TITLE_MAX = 50, 50, 500, 200
OPEN = ("invited", "ringing")


class Refused(Exception):
    def __init__(self, code, words):
        super().__init__(words)
        self.code, self.words = code, words


def new_id(now_ms):
    """A UUIDv7 (RFC 9562)."""
    random = uuid.uuid4().int
    return str(uuid.UUID(int=now_ms << 80 | 7 << 76 | (random >> 64 & 0xFFF) << 64 | 2 << 62 | random & (1 << 62) - 1))


def member_of(meeting, user):
    return next((member for member in meeting["members"] if member["user"] == user), None)


def open_rings(meeting):
    return [ring for ring in meeting["rings"] if ring["state"] in OPEN]


def ring_of(meeting, user):
    """The open ring of this user."""
    return next((ring for ring in open_rings(meeting) if ring["user"] == user), None)


def concerned(meeting):
    """Users who may ask about the meeting, also when it is over."""
    named = [one["user"] for one in meeting["members"] + meeting["rings"]]
    return named + meeting["former"] + meeting["kicked"] + [meeting["host"]]


def roster(meeting):
    shown = [{
        "user": member["user"], "name": member["name"], "participation": member["participation"],
        "state": {"there": "in", "lost": "lost"}.get(member["media"], "joining"),
        "muted": member["muted"], "blocked": meeting["blocked"].get(member["user"], {}),
    } for member in meeting["members"]]
    rung = [{name: ring[name] for name in ("user", "name", "state")} for ring in open_rings(meeting)]
    return {"rev": meeting["rev"], "host": meeting["host"], "members": shown + rung}


def invitation(meeting, ring, device):
    """What rings on a device."""
    names = [member["name"] for member in meeting["members"]]
    return {
        "invitation": ring["id"], "rev": meeting["rev"], "meeting": meeting["id"], "media": meeting["media"],
        "title": meeting["title"], "from": ring["by"], "from_name": ring["by_name"], "ring_until_ms": ring["deadline_ms"],
        "ringing": ring["state"] == "ringing", "members": len(names), "names": names[:10],
        "join": join(meeting, ring["user"], device),
    }


def join(meeting, user, device):
    """Who joins as whom. End points and token are added when it is sent, so that they are fresh."""
    profile = "call" if meeting["ends_below"] > 1 else "meeting"
    return {"channel": meeting["id"], "user": user, "profile": profile} | {n: device[n] for n in ("participation", "client")}


def wish(meeting):
    """The channel as it is to be; None: it is to end. Who rings may connect, and nothing flows to or from it. A block takes a
    right away, by kind, whatever a terminal calls its picture."""
    if meeting["end"]:
        return None
    wished = {}
    for member in meeting["members"]:
        blocked = meeting["blocked"].get(member["user"], {})
        send = [track for track in ("audio", "video") if not blocked.get(track)]
        muted = list(member["muted"])
        wished[member["participation"]] = of(member, member["user"], "admitted", send, muted)
    for ring in open_rings(meeting):
        for device in ring["devices"]:
            wished[device["participation"]] = of(device, ring["user"], "waiting", ["audio", "video"], [])
    return {"participations": wished}


def of(device, user, admission, send, muted):
    rights = {"send": send, "receive": True}
    return {"user": user, "client": device["client"], "admission": admission, "rights": rights, "muted": muted}


def due_ms(meeting):
    """When time decides next; None: it does not."""
    if meeting["end"]:
        return None
    gone = [gone_ms(member) for member in meeting["members"]]
    return min([ring["deadline_ms"] for ring in open_rings(meeting)] + [at for at in gone if at], default=None)


def gone_ms(member):
    """When a member with neither media nor signalling has left. A page that says goodbye and is loaded anew is back sooner."""
    if member["online"] or member["media"] == "there":
        return None
    grace = GOODBYE_MS if member["goodbye"] and member["media"] != "lost" else GONE_MS
    return max(member["online_ms"], member["media_ms"]) + grace


def create(asked, now_ms, actor):
    """`asked`: id, media, title and callees, of whom each has user, name, busy, devices (client ids) and online."""
    callees = asked.pop("callees")
    meeting = asked | {
        "rev": 0, "host": actor["user"], "ends_below": 2 if callees else 1, "end": None, "members": [], "rings": [],
        "blocked": {}, "former": [], "kicked": [],
    }
    decision = Decision(meeting, now_ms, actor)
    decision.enter(decision.device(actor["client"]))
    decision.admit()
    decision.ring(callees)
    if callees and not open_rings(meeting):
        decision.sends = [send for send in decision.sends if send["kind"] != "admitted"]
        decision.answered = False
        decision.end("declined")
    return decision


class Decision:
    """What one request or event leads to. `actor`: user, name and client of whoever asks, and the id of the request."""

    def __init__(self, meeting, now_ms, actor=None):
        self.meeting, self.now, self.actor = meeting, now_ms, actor
        self.sends, self.missed, self.answered = [], [], False
        self.before = roster(meeting)

    def finish(self):
        """The document with its new revision, which goes into all that is told."""
        meeting = self.meeting
        changed = roster(meeting) != self.before
        meeting["rev"] += 1
        if self.actor and not self.answered:
            self.answer("roster", roster)
        for member in meeting["members"] if changed else ():
            if not self.actor or member["client"] != self.actor["client"]:
                self.tell(member["client"], "roster", roster)
        for send in self.sends:
            body = send["body"](meeting) if callable(send["body"]) else send["body"]
            send["body"] = {name: value(meeting) if callable(value) else value for name, value in body.items()}
            send["rev"] = meeting["rev"]
        self.missed = [(ring, user, outcome(meeting)) for ring, user, outcome in self.missed]
        return meeting

    # Requests

    def invite(self, callees):
        self.must_be_in()
        known = [one["user"] for one in self.meeting["members"] + open_rings(self.meeting)]
        self.ring([callee for callee in callees if callee["user"] not in known])

    def ringing(self, ring):
        if self.is_over(ring):
            return
        if ring["state"] == "invited":
            ring.update(state="ringing", deadline_ms=self.now + RING_MS)
            self.tell(ring["by_client"], "ringing", {"user": ring["user"]})
        self.answer("ringing", {"user": ring["user"]})

    def accept(self, ring):
        if self.is_over(ring):
            return
        ring.update(state="answered", on=self.actor["client"])
        self.tell(ring["by_client"], "accepted", {"user": ring["user"]})
        self.end_elsewhere(ring, "answered_elsewhere")
        self.enter(next(device for device in ring["devices"] if device["client"] == ring["on"]))
        self.admit()

    def reject(self, ring, reason):
        if self.is_over(ring):
            return
        ring.update(state="declined", on=self.actor["client"])
        self.tell(ring["by_client"], "rejected", {"user": ring["user"], "reason": reason})
        self.end_elsewhere(ring, "declined_elsewhere")
        self.tell_ring_end(ring, ring["on"], "declined", answers=True)
        self.end_if_too_few("declined")

    def cancel(self, callee):
        self.must_be_in()
        for ring in open_rings(self.meeting):
            if callee in (None, ring["user"]) and self.actor["user"] in (ring["by"], self.meeting["host"]):
                self.end_ring(ring, "cancelled")
        self.end_if_too_few("cancelled")

    def join(self):
        """Also from another device, to which the call moves then, and after having left."""
        user, client = self.actor["user"], self.actor["client"]
        member, ring = member_of(self.meeting, user), ring_of(self.meeting, user)
        if member is None and ring:
            return self.accept(ring)
        if member is None and user not in self.meeting["former"]:
            raise Refused("not_member", "you are not in this meeting")
        if member is None:
            self.enter(self.device(client))
        elif member["client"] != client:
            self.tell(member["client"], "ended", self.over("answered_elsewhere"))
            member.update(self.device(client), connection=0, media="absent", media_ms=self.now)
        member_of(self.meeting, user).update(online=True, online_ms=self.now, goodbye=False)
        self.admit()

    def leave(self):
        member = member_of(self.meeting, self.actor["user"])
        if member and member["client"] == self.actor["client"]:
            self.depart(member, "left", "cancelled")
        else:
            self.answer("ended", self.over("left"))

    def mute(self, user, track):
        own = user in (None, self.actor["user"])
        member = self.must_be_in() if own else self.must_be_host(user)
        member["muted"][track] = True
        if not own:
            self.tell(member["client"], "muted", {"track": track, "by": self.actor["user"]})

    def unmute(self, track):
        self.must_be_in()["muted"].pop(track, None)

    def block(self, user, track, blocked):
        member = self.must_be_host(user)
        tracks = self.meeting["blocked"].setdefault(user, {})
        tracks.update({track: True}) if blocked else tracks.pop(track, None)
        self.tell(member["client"], "blocked", {"track": track, "blocked": blocked, "by": self.actor["user"]})

    def ask_unmute(self, user, track):
        self.must_be_in()
        self.tell(self.must_know(user)["client"], "unmute_asked", {"track": track, "by": self.actor["user"]})

    def kick(self, user):
        self.must_be_host()
        ring = ring_of(self.meeting, user)
        if ring:
            self.end_ring(ring, "kicked")
            self.end_if_too_few("kicked")
        else:
            self.depart(self.must_know(user), "kicked", "cancelled")

    def destroy(self):
        self.must_be_host()
        self.end("destroyed")

    # Events

    def media(self, participation, kind, connection, anew=False):
        """`joined`, `lost`, `back` or `left`, as the RTC server reports it. Of an older connection it says nothing, unless the
        server has started again, and counts its connections `anew`."""
        for member in self.meeting["members"]:
            if member["participation"] == participation and (connection >= member["connection"] or anew):
                gone = "lost" if kind == "lost" or member["media"] == "lost" else "absent"
                media = "there" if kind in ("joined", "back") else gone
                member["connection"] = connection
                if media != member["media"]:
                    member.update(media=media, media_ms=self.now)

    def line(self, client, online, goodbye):
        """A device came or went, as the broker reports it."""
        for member in self.meeting["members"]:
            if member["client"] == client and (member["online"] != online or goodbye):
                member.update(online=online, online_ms=self.now, goodbye=goodbye and not online)

    def time(self):
        for ring in open_rings(self.meeting):
            if ring["deadline_ms"] <= self.now:
                self.end_ring(ring, "no_answer")
        self.end_if_too_few("no_answer")
        for member in [one for one in self.meeting["members"] if (gone_ms(one) or self.now + 1) <= self.now]:
            if self.meeting["end"]:
                return
            alone = len(self.meeting["members"]) == 1 and open_rings(self.meeting)
            self.depart(member, "caller_gone" if alone else "left", "caller_gone")

    # What they share

    def ring(self, callees):
        meeting, actor = self.meeting, self.actor
        engaged = len(meeting["members"]) + len(open_rings(meeting)) + len(callees)
        if engaged > MEMBERS_MAX or len(meeting["rings"]) + len(callees) > RINGS_MAX:
            raise Refused("limit", f"a meeting has room for {MEMBERS_MAX}: invite fewer")
        for callee in callees:
            ring = {
                "id": new_id(self.now), "user": callee["user"], "name": callee["name"], "by": actor["user"],
                "by_name": actor["name"], "by_client": actor["client"], "state": "busy" if callee["busy"] else "invited",
                "reason": "no_answer", "on": None, "deadline_ms": self.now + REACH_MS,
                "devices": [self.device(client) for client in callee["devices"]],
            }
            meeting["rings"].append(ring)
            if callee["busy"]:
                self.tell(actor["client"], "busy", {"user": callee["user"]})
                self.miss(ring, "no_answer", "missed_busy")
                continue
            for device in ring["devices"]:
                self.send(RING_DOWN, device["client"], "invitation", invitation_for(ring, device), key=ring["id"])
            if not callee["online"]:
                self.tell(actor["client"], "waiting", {"user": callee["user"], "until_ms": ring["deadline_ms"]})

    def is_over(self, ring):
        """Then the device is told how it was decided before. A device that the ring does not know is entered."""
        client, member = self.actor["client"], member_of(self.meeting, ring["user"])
        if ring["user"] != self.actor["user"]:
            raise Refused("not_allowed", "there is no such invitation for you: ask for your state")
        if ring["state"] in OPEN:
            if all(device["client"] != client for device in ring["devices"]):
                ring["devices"].append(self.device(client))
            return False
        if ring["state"] == "answered" and member and member["client"] == client:
            self.admit()
            return True
        elsewhere = "_elsewhere" if ring["on"] != client or member else ""
        answered = "answered_elsewhere" if elsewhere else "left"
        reason = {"answered": answered, "declined": f"declined{elsewhere}"}.get(ring["state"], ring["reason"])
        self.answer("ended", {"invitation": ring["id"]} | self.over(reason))
        return True

    def end_ring(self, ring, reason):
        """By others than the callee, or by time: a missed call."""
        ring.update(state="ended", reason=reason)
        self.miss(ring, reason, "missed")
        if member_of(self.meeting, ring["by"]):
            self.tell(ring["by_client"], "ended", {"user": ring["user"]} | self.over(reason))

    def miss(self, ring, reason, kind):
        def outcome(meeting):
            return {
                "invitation": ring["id"], "meeting": meeting["id"], "rev": meeting["rev"], "from": ring["by"],
                "from_name": ring["by_name"], "media": meeting["media"], "kind": kind, "at_ms": self.now,
            }
        for device in ring["devices"]:
            self.tell_ring_end(ring, device["client"], reason, {"outcome": outcome})
        self.missed.append((ring["id"], ring["user"], outcome))

    def end_elsewhere(self, ring, reason):
        for device in ring["devices"]:
            if device["client"] != ring["on"]:
                self.tell_ring_end(ring, device["client"], reason)

    def tell_ring_end(self, ring, client, reason, more={}, answers=False):
        self.send(RING_DOWN, client, "ended", {"invitation": ring["id"]} | self.over(reason) | more, ring["id"], answers)

    def enter(self, device):
        self.meeting["members"].append({
            "user": self.actor["user"], "name": self.actor["name"], **device, "connection": 0, "media": "absent",
            "media_ms": self.now, "online": True, "online_ms": self.now, "goodbye": False, "muted": {},
        })
        self.meeting["former"] = [user for user in self.meeting["former"] if user != self.actor["user"]]
        if len(self.meeting["members"]) > 2:
            self.meeting["ends_below"] = 1

    def admit(self):
        member = member_of(self.meeting, self.actor["user"])
        self.answer("admitted", {"join": join(self.meeting, member["user"], member), "roster": roster})

    def depart(self, member, reason, rings):
        self.meeting["members"].remove(member)
        self.meeting["kicked" if reason == "kicked" else "former"].append(member["user"])
        if self.meeting["host"] == member["user"] and self.meeting["members"]:
            self.meeting["host"] = self.meeting["members"][0]["user"]
        self.tell_over(member["client"], reason)
        self.end_if_too_few("left", rings)

    def end_if_too_few(self, reason, rings=None):
        """`rings`: why those end that still ring when nobody is left."""
        engaged = len(self.meeting["members"]) + len(open_rings(self.meeting))
        if not self.meeting["end"] and (engaged < self.meeting["ends_below"] or not self.meeting["members"]):
            self.end(reason, rings)

    def end(self, reason, rings=None):
        self.meeting["end"] = {"reason": reason, "by": self.actor and self.actor["user"], "at_ms": self.now}
        for ring in open_rings(self.meeting):
            self.end_ring(ring, rings or reason)
        for member in self.meeting["members"]:
            self.tell_over(member["client"], reason)
        self.meeting["former"] += [member["user"] for member in self.meeting["members"]]
        self.meeting["members"] = []

    def over(self, reason):
        by = {"by": self.actor["user"]} if self.actor else {}
        return {"rev": lambda meeting: meeting["rev"], "reason": reason} | by

    def tell_over(self, client, reason):
        answers = self.actor and client == self.actor["client"] and not self.answered
        self.send(MEETING_DOWN, client, "ended", self.over(reason), answers=answers)

    def must_be_in(self):
        member = member_of(self.meeting, self.actor["user"])
        if not member:
            raise Refused("not_member", "you are not in this meeting")
        return member

    def must_know(self, user):
        member = member_of(self.meeting, user)
        if not member:
            raise Refused("not_allowed", f"{user} is not in this meeting")
        return member

    def must_be_host(self, user=None):
        self.must_be_in()
        if self.meeting["host"] != self.actor["user"]:
            raise Refused("not_host", "only the host may do this")
        return self.must_know(user) if user else None

    def device(self, client):
        return {"client": client, "participation": new_id(self.now)}

    def answer(self, kind, body):
        self.send(MEETING_DOWN, self.actor["client"], kind, body, answers=True)

    def tell(self, client, kind, body):
        self.send(MEETING_DOWN, client, kind, body)

    def send(self, topic, client, kind, body, key=None, answers=False):
        """What is callable in a body is made when all is decided: it shows the meeting, and its revision."""
        self.answered = self.answered or bool(answers)
        request = self.actor["request"] if answers else None
        self.sends.append(signal(topic, client, kind, body, self.now, self.meeting["id"], request, key))


def invitation_for(ring, device):
    return lambda meeting: invitation(meeting, ring, device)


def signal(topic, client, kind, body, now_ms, meeting=None, in_reply_to=None, key=None, rev=None):
    """It keeps its id however often it is sent: a terminal takes it once."""
    return {
        "id": new_id(now_ms), "topic": topic, "client": client, "kind": kind, "body": body, "meeting": meeting, "rev": rev,
        "in_reply_to": in_reply_to, "key": key, "sent_at_ms": now_ms, "expires_at_ms": now_ms + KEPT_MS[topic],
    }
