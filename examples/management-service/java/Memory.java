// All that the service remembers, in one file.

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Its own lock: whoever reads or changes it holds that. */
final class Memory {
  private static final long REMEMBERED_MS = 24 * 3_600_000;
  private static final Gson GSON = new Gson();

  /** A `join` in its body is completed when it is sent, so that it is fresh. */
  record Signal(
      String id, String topic, String client, String kind, String meeting, String inReplyTo, long rev, JsonObject body) {}

  private record Document(Map<String, Meeting> meetings, Map<String, Long> handled, List<Signal> outbox) {}

  final Map<String, Meeting> meetings = new HashMap<>();
  final Map<String, Long> handled = new HashMap<>();
  final List<Signal> outbox = new ArrayList<>();
  private final Path path;

  Memory(String file) throws IOException {
    path = Path.of(file).toAbsolutePath();
    if (Files.exists(path)) {
      Document document = GSON.fromJson(Files.readString(path), Document.class);
      meetings.putAll(document.meetings);
      handled.putAll(document.handled);
      outbox.addAll(document.outbox);
    }
  }

  synchronized boolean isHandled(String request) {
    return handled.containsKey(request);
  }

  /** What has been sent. */
  synchronized void forget(int signals) throws IOException {
    outbox.subList(0, signals).clear();
    save();
  }

  /** Written beside, synced, renamed. */
  synchronized void save() throws IOException {
    long old = System.currentTimeMillis() - REMEMBERED_MS;
    handled.values().removeIf(at -> at < old);
    meetings.values().removeIf(meeting -> meeting.state.equals("over") && meeting.changedMs < old);
    Path beside = Path.of(path + ".new");
    ByteBuffer text = StandardCharsets.UTF_8.encode(GSON.toJson(new Document(meetings, handled, outbox)));
    try (FileChannel file = FileChannel.open(
        beside, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)) {
      while (text.hasRemaining()) {
        file.write(text);
      }
      file.force(true);
    }
    Files.move(beside, path, StandardCopyOption.ATOMIC_MOVE);
    try (FileChannel folder = FileChannel.open(path.getParent())) {
      folder.force(true);
    }
  }
}
