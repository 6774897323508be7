// A call of two, and how it is shown to the RTC server and to terminals.

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** `state` is invited, ringing, answered or over. The callee's client is the device that has answered. */
final class Meeting {
  /** A user on a device, and its stay in the channel. */
  record Person(String user, String name, String client, String participation) {}

  String id, media, title, invitation, state, reason, by;
  long rev, deadlineMs, changedMs;
  Person caller, callee;
  List<Person> devices = new ArrayList<>();

  /** Each change has a revision of its own. */
  void change(String state) {
    this.state = state;
    changedMs = System.currentTimeMillis();
    rev++;
  }

  boolean rings() {
    return state.equals("invited") || state.equals("ringing");
  }

  List<Person> members() {
    return rings() ? List.of(caller) : state.equals("answered") ? List.of(caller, callee) : List.of();
  }

  Person member(String user) {
    return members().stream().filter(member -> member.user.equals(user)).findFirst().orElse(null);
  }

  /** The callee on this device, which is entered if it is new. */
  Person device(String client) {
    for (Person device : devices) {
      if (device.client.equals(client)) {
        return device;
      }
    }
    change(state);
    devices.add(new Person(callee.user, callee.name, client, Calls.newId()));
    return devices.get(devices.size() - 1);
  }

  /** The channel as it is to be: whom it rings may connect, and nothing flows. Null: it is to end. */
  Map<String, Object> wish() {
    Map<String, Object> wished = new HashMap<>();
    members().forEach(member -> wished.put(member.participation, wish(member, "admitted")));
    if (rings()) {
      devices.forEach(device -> wished.put(device.participation, wish(device, "waiting")));
    }
    return state.equals("over") ? null : Map.of("participations", wished);
  }

  private static Map<String, Object> wish(Person who, String admission) {
    Map<String, Object> rights = Map.of("send", List.of("audio", "video"), "receive", true);
    return Map.of("user", who.user, "client", who.client, "admission", admission, "rights", rights);
  }

  Map<String, Object> join(Person who) {
    return Map.of("channel", id, "rev", rev, "user", who.user, "client", who.client, "participation", who.participation,
        "profile", "call");
  }

  Map<String, Object> admission(Person who) {
    return Map.of("join", join(who), "roster", roster());
  }

  Map<String, Object> roster() {
    List<Object> shown = new ArrayList<>();
    for (Person one : members()) {
      shown.add(Map.of("user", one.user, "name", one.name, "participation", one.participation, "state", "in"));
    }
    if (rings()) {
      shown.add(Map.of("user", callee.user, "name", callee.name, "state", state));
    }
    return Map.of("rev", rev, "host", caller.user, "members", shown);
  }

  Map<String, Object> invitation(Person device) {
    Map<String, Object> body = new HashMap<>(Map.of("invitation", invitation, "rev", rev, "meeting", id, "media", media));
    body.putAll(Map.of("from", caller.user, "from_name", caller.name, "ring_until_ms", deadlineMs, "members", 1,
        "ringing", state.equals("ringing"), "names", List.of(caller.name), "join", join(device)));
    body.put("title", title);
    return body;
  }

  Map<String, Object> over(String reason, String by) {
    Map<String, Object> body = new HashMap<>(Map.of("rev", rev, "reason", reason));
    body.put("by", by);
    return body;
  }

  Map<String, Object> ringOver(String reason, String by) {
    Map<String, Object> body = over(reason, by);
    body.put("invitation", invitation);
    return body;
  }
}
