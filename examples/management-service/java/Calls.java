// What becomes of a call of two: a request in, a changed meeting and what is to be told out.

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

final class Calls {
  // How long a device has to ring, and a person to answer; when nobody waits for a create any more.
  private static final long RING_MS = 45_000, CREATE_MS = 30_000;
  private static final Set<String> ABOUT_RING = Set.of("ringing", "accept", "reject");
  private static final Set<String> ABOUT_CALL = Set.of("cancel", "join", "leave", "roster");
  private static final Gson GSON = new Gson();

  private final Memory memory;

  Calls(Memory memory) {
    this.memory = memory;
  }

  /** It changes nothing. */
  private static final class Refused extends Exception {
    private final String code;

    Refused(String code, String words) {
      super(words);
      this.code = code;
    }
  }

  void handle(Service.Request request) {
    try {
      decide(request, memory.meetings.get(request.meeting));
    } catch (Refused refusal) {
      tell(null, request, request.client, "refused", Map.of("code", refusal.code, "words", refusal.getMessage()));
    }
    memory.handled.put(request.id, now());
  }

  void expire() throws IOException {
    for (Meeting meeting : List.copyOf(memory.meetings.values())) {
      if (meeting.rings() && meeting.deadlineMs < now()) {
        end(meeting, null, "no_answer");
        memory.save();
      }
    }
  }

  private void decide(Service.Request request, Meeting meeting) throws Refused {
    boolean isAboutRing = ABOUT_RING.contains(request.type), isCreate = request.type.equals("create");
    refuseIf(request.name == null, "not_allowed", "this login belongs to no user");
    refuseIf(request.type.equals(Service.UNREADABLE), "invalid", "the request cannot be read");
    if (request.type.equals("state")) {
      tellState(request);
      return;
    }
    if (request.type.equals("contacts")) {
      tellContacts(request);
      return;
    }
    boolean isLate = request.expires_at_ms < now() || isCreate && now() - request.arrivedMs > CREATE_MS;
    refuseIf(isLate, "expired", "the request came after its time: ask for your state");
    if (isCreate) {
      create(request, meeting);
      return;
    }
    refuseIf(!isAboutRing && !ABOUT_CALL.contains(request.type), "invalid", "this service does not know " + request.type);
    boolean isConcerned = meeting != null && List.of(meeting.caller.user(), meeting.callee.user()).contains(request.user);
    refuseIf(!isConcerned, "not_allowed", "there is no such meeting for you");
    if (isAboutRing) {
      aboutRing(request, meeting);
    } else {
      aboutCall(request, meeting);
    }
  }

  private void create(Service.Request request, Meeting known) throws Refused {
    boolean isCall = isUuid(request.meeting) && request.callees.size() == 1 && !request.callees.contains(request.user)
        && ("audio".equals(request.media) || "video".equals(request.media));
    refuseIf(!isCall, "invalid", "a call has a UUID of its own, one callee, and audio or video");
    String callee = request.callees.get(0);
    refuseIf(request.calleeName == null, "not_allowed", "there is no user " + callee);
    refuseIf(known != null, "taken", "this meeting id is in use: make a new one");
    refuseIf(isInCall(request.user), "already_in_call", "you are in another call");
    boolean isBusy = isInCall(callee);
    Meeting meeting = new Meeting();
    meeting.id = request.meeting;
    meeting.media = request.media;
    meeting.title = request.title;
    meeting.invitation = newId();
    meeting.deadlineMs = now() + RING_MS;
    meeting.caller = new Meeting.Person(request.user, request.name, request.client, newId());
    meeting.callee = new Meeting.Person(callee, request.calleeName, null, null);
    meeting.change("invited");
    memory.meetings.put(meeting.id, meeting);
    if (isBusy) {
      tell(meeting, null, request.client, "busy", Map.of("user", callee));
      end(meeting, request, "declined");
      return;
    }
    for (Api.Device device : request.calleeDevices) {
      meeting.devices.add(new Meeting.Person(callee, request.calleeName, device.client_id(), newId()));
    }
    tell(meeting, request, request.client, "admitted", meeting.admission(meeting.caller));
    for (Meeting.Person device : meeting.devices) {
      ring(meeting, request, device.client(), "invitation", meeting.invitation(device));
    }
    if (request.calleeDevices.stream().noneMatch(Api.Device::online)) {
      tell(meeting, request, request.client, "waiting", Map.of("user", callee, "until_ms", meeting.deadlineMs));
    }
  }

  /** The first device that accepts or rejects decides for all. */
  private void aboutRing(Service.Request request, Meeting meeting) throws Refused {
    String user = request.user, client = request.client;
    boolean isTheirs = user.equals(meeting.callee.user()) && meeting.invitation.equals(request.invitation);
    refuseIf(!isTheirs, "not_allowed", "there is no such invitation for you: ask for your state");
    if (meeting.state.equals("over")) {
      tell(meeting, request, client, "ended", meeting.ringOver(meeting.reason, meeting.by));
    } else if (!meeting.rings() && client.equals(meeting.callee.client())) {
      tell(meeting, request, client, "admitted", meeting.admission(meeting.callee));
    } else if (!meeting.rings()) {
      tell(meeting, request, client, "ended", meeting.ringOver("answered_elsewhere", user));
    } else if (request.type.equals("accept")) {
      refuseIf(isInCall(user), "already_in_call", "you are in another call");
      accept(request, meeting);
    } else if (request.type.equals("reject")) {
      meeting.device(client);
      meeting.change(meeting.state);
      String reason = "busy".equals(request.reason) ? "busy" : "declined";
      tell(meeting, request, meeting.caller.client(), "rejected", Map.of("user", user, "reason", reason));
      end(meeting, request, "declined");
    } else {
      meeting.device(client);
      if (meeting.state.equals("invited")) {
        meeting.change("ringing");
        meeting.deadlineMs = now() + RING_MS;
        tell(meeting, request, meeting.caller.client(), "ringing", Map.of("user", user));
      }
      tell(meeting, request, client, "ringing", Map.of("user", user));
    }
  }

  private void accept(Service.Request request, Meeting meeting) {
    meeting.callee = meeting.device(request.client);
    meeting.change("answered");
    tell(meeting, request, request.client, "admitted", meeting.admission(meeting.callee));
    tell(meeting, request, meeting.caller.client(), "accepted", Map.of("user", request.user));
    tell(meeting, request, meeting.caller.client(), "roster", meeting.roster());
    for (Meeting.Person device : meeting.devices) {
      if (!device.equals(meeting.callee)) {
        ring(meeting, request, device.client(), "ended", meeting.ringOver("answered_elsewhere", request.user));
      }
    }
  }

  private void aboutCall(Service.Request request, Meeting meeting) throws Refused {
    Meeting.Person member = meeting.member(request.user);
    if (meeting.state.equals("over")) {
      tell(meeting, request, request.client, "ended", meeting.over(meeting.reason, meeting.by));
      return;
    }
    refuseIf(member == null, "not_member", "you are not in this meeting");
    boolean isHere = member.client().equals(request.client), leaves = request.type.equals("leave");
    boolean joins = request.type.equals("join");
    refuseIf(joins && !isHere, "invalid", "this service moves no call to another device");
    if (joins) {
      tell(meeting, request, request.client, "admitted", meeting.admission(member));
    } else if (leaves && !isHere) {
      tell(meeting, request, request.client, "ended", meeting.over("left", request.user));
    } else if (leaves || request.type.equals("cancel") && meeting.rings()) {
      end(meeting, request, leaves ? "left" : "cancelled");
    } else {
      tell(meeting, request, request.client, "roster", meeting.roster());
    }
  }

  /** Without a request it is time that ends it. A ring that the callee has not declined was missed. */
  private void end(Meeting meeting, Service.Request request, String reason) {
    List<Meeting.Person> members = meeting.members(), rung = meeting.rings() ? meeting.devices : List.of();
    meeting.change("over");
    meeting.reason = reason;
    meeting.by = request == null ? null : request.user;
    for (Meeting.Person device : rung) {
      boolean isDecliner = request != null && device.client().equals(request.client);
      String told = switch (reason) {
        case "declined" -> isDecliner ? "declined" : "declined_elsewhere";
        case "left" -> "cancelled";
        default -> reason;
      };
      Map<String, Object> body = meeting.ringOver(told, meeting.by);
      if (!reason.equals("declined")) {
        body.put("outcome", Map.of("invitation", meeting.invitation, "meeting", meeting.id, "rev", meeting.rev, "from",
            meeting.caller.user(), "from_name", meeting.caller.name(), "media", meeting.media, "kind", "missed", "at_ms", now()));
      }
      ring(meeting, request, device.client(), "ended", body);
    }
    for (Meeting.Person member : members) {
      tell(meeting, request, member.client(), "ended", meeting.over(reason, meeting.by));
    }
  }

  /** All that stands for this user on this device, which a ring may not know yet. */
  private void tellState(Service.Request request) {
    Map<String, Object> body = new HashMap<>(Map.of("now_ms", 0, "user", request.user, "name", request.name));
    List<Object> rings = new ArrayList<>();
    for (Meeting meeting : memory.meetings.values()) {
      if (meeting.rings() && meeting.callee.user().equals(request.user)) {
        rings.add(meeting.invitation(meeting.device(request.client)));
      }
      Meeting.Person member = meeting.member(request.user);
      if (member != null) {
        boolean isHere = member.client().equals(request.client);
        Map<String, Object> call = new HashMap<>(Map.of("meeting", meeting.id, "media", meeting.media, "here", isHere));
        call.put("roster", meeting.roster());
        call.put("join", isHere ? meeting.join(member) : null);
        body.put("call", call);
      }
    }
    body.putAll(Map.of("rings", rings, "outcomes", List.of()));
    tell(null, request, request.client, "state", body);
  }

  private void tellContacts(Service.Request request) {
    List<Object> others = new ArrayList<>();
    for (Api.Contact contact : request.contacts) {
      String presence = isInCall(contact.user()) ? "in_call" : contact.presence();
      if (!contact.user().equals(request.user)) {
        others.add(new Api.Contact(contact.user(), contact.name(), presence));
      }
    }
    tell(null, request, request.client, "contacts", Map.of("users", others));
  }

  private boolean isInCall(String user) {
    return memory.meetings.values().stream().anyMatch(meeting -> meeting.member(user) != null);
  }

  private void tell(Meeting meeting, Service.Request request, String client, String kind, Map<String, Object> body) {
    post("meeting-down", meeting, request, client, kind, body);
  }

  private void ring(Meeting meeting, Service.Request request, String client, String kind, Map<String, Object> body) {
    post("ring-down", meeting, request, client, kind, body);
  }

  /** The first that the requesting device is told is its answer. */
  private void post(
      String topic, Meeting meeting, Service.Request request, String client, String kind, Map<String, Object> body) {
    boolean answers = request != null && client.equals(request.client) && !request.isAnswered;
    if (answers) {
      request.isAnswered = true;
    }
    String about = meeting != null ? meeting.id : kind.equals("refused") ? request.meeting : null;
    JsonObject text = GSON.toJsonTree(body).getAsJsonObject();
    memory.outbox.add(new Memory.Signal(
        newId(), topic, client, kind, about, answers ? request.id : null, meeting == null ? 0 : meeting.rev, text));
  }

  private static void refuseIf(boolean condition, String code, String words) throws Refused {
    if (condition) {
      throw new Refused(code, words);
    }
  }

  private static boolean isUuid(String text) {
    return text != null && text.matches("[0-9a-f-]{36}");
  }

  private static long now() {
    return System.currentTimeMillis();
  }

  /** A UUIDv7 (RFC 9562). */
  static String newId() {
    ThreadLocalRandom random = ThreadLocalRandom.current();
    long high = now() << 16 | 0x7000 | random.nextLong(0x1000);
    return new UUID(high, random.nextLong() & 0x3fff_ffff_ffff_ffffL | 0x8000_0000_0000_0000L).toString();
  }
}
