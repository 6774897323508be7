// The server's HTTP API: who there is, the channel of a meeting, and tokens for it.

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

final class Api {
  private static final Duration PATIENCE = Duration.ofSeconds(5);
  // Where a channel is to end, `desired` is null.
  private static final Gson GSON = new GsonBuilder().serializeNulls().create();

  record Device(String client_id, boolean online) {}

  record Contact(String user, String name, String presence) {}

  /** Again later. */
  static final class Unavailable extends Exception {
    Unavailable(String words) {
      super(words);
    }
  }

  private final String address, authorization;
  private final HttpClient client =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(PATIENCE).build();

  Api(String address, String keyId, String secret) {
    this.address = address + "/api/v1";
    authorization = "Basic " + Base64.getEncoder().encodeToString((keyId + ":" + secret).getBytes(StandardCharsets.UTF_8));
  }

  /** Null: there is no such user. */
  String nameOf(String user) throws Unavailable, InterruptedException {
    JsonObject found = user.isEmpty() ? null : ask("GET", "/users/" + escaped(user), null);
    return found == null ? null : found.get("name").getAsString();
  }

  List<Device> devicesOf(String user) throws Unavailable, InterruptedException {
    return items("/devices?limit=32&user=" + escaped(user), Device.class);
  }

  List<Contact> contacts() throws Unavailable, InterruptedException {
    List<Contact> contacts = new ArrayList<>();
    for (Contact user : items("/users?limit=200", Contact.class)) {
      boolean isOnline = devicesOf(user.user).stream().anyMatch(Device::online);
      contacts.add(new Contact(user.user, user.name, isOnline ? "online" : "offline"));
    }
    return contacts;
  }

  private <T> List<T> items(String path, Class<T> kind) throws Unavailable, InterruptedException {
    List<T> items = new ArrayList<>();
    JsonObject found = ask("GET", path, null);
    if (found != null) {
      found.getAsJsonArray("items").forEach(item -> items.add(GSON.fromJson(item, kind)));
    }
    return items;
  }

  /** The channel as the meeting is now; true if that rings. The same again changes nothing, and opens it again at a server that
   * has lost it. */
  boolean put(Memory memory, String id) throws Unavailable, InterruptedException {
    Map<String, Object> wish = new HashMap<>();
    boolean rings;
    synchronized (memory) {
      Meeting meeting = memory.meetings.get(id);
      if (meeting == null) {
        return false;
      }
      wish.put("rev", meeting.rev);
      wish.put("desired", meeting.wish());
      rings = meeting.rings();
    }
    if (ask("PUT", "/channels/" + id, wish) == null) {
      System.err.println("the channel of " + id + " is not put");
    }
    return rings;
  }

  /** Each `join` in a body gets the token and where to go with it, and `now_ms` the time. */
  void complete(Memory memory, JsonElement value) throws Unavailable, InterruptedException {
    if (value.isJsonArray()) {
      for (JsonElement item : value.getAsJsonArray()) {
        complete(memory, item);
      }
    } else if (value.isJsonObject()) {
      JsonObject object = value.getAsJsonObject();
      if (object.has("now_ms")) {
        object.addProperty("now_ms", System.currentTimeMillis());
      }
      for (Map.Entry<String, JsonElement> entry : object.entrySet()) {
        if (entry.getKey().equals("join")) {
          grant(memory, entry.getValue().getAsJsonObject());
        } else {
          complete(memory, entry.getValue());
        }
      }
    }
  }

  private void grant(Memory memory, JsonObject join) throws Unavailable, InterruptedException {
    String channel = join.get("channel").getAsString();
    put(memory, channel);
    JsonObject who = new JsonObject();
    who.add("rev", join.remove("rev"));
    who.add("client", join.remove("client"));
    who.add("user", join.get("user"));
    who.add("participation", join.get("participation"));
    JsonObject granted = ask("POST", "/channels/" + channel + "/tokens", who);
    if (granted == null) {
      throw new Unavailable("no token for " + channel);
    }
    for (String name : List.of("app", "endpoints", "token")) {
      join.add(name, granted.get(name));
    }
  }

  /** Null: refused, which it stays. */
  private JsonObject ask(String method, String path, Object body) throws Unavailable, InterruptedException {
    var text = body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(GSON.toJson(body));
    HttpRequest request = HttpRequest.newBuilder(URI.create(address + path)).method(method, text).timeout(PATIENCE)
        .header("authorization", authorization).header("content-type", "application/json").build();
    try {
      HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
      int status = answer.statusCode();
      if (status >= 500 || status == 429 || status == 401 || status == 403) {
        throw new Unavailable(method + " " + path + ": " + status);
      }
      return status == 200 ? GSON.fromJson(answer.body(), JsonObject.class) : null;
    } catch (IOException error) {
      throw new Unavailable(method + " " + path + ": " + error);
    }
  }

  private static String escaped(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }
}
