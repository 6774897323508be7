// A short management service: it runs the calls of two of a Convoke server whose built-in service is off.
//
//   1 receive a request (queue) ─▶ 2 verify and decide ─▶ 3 put the channel (HTTP) ─▶ 4 send the invitation (queue)
//
// A decision is on disk, with all that it tells, before its request is acknowledged and before anything is sent. So it may be
// killed at any moment: a request that comes again is known by its id, and a signal that goes out again keeps its own.
// What becomes of a call is in Calls.java and Meeting.java, what is remembered in Memory.java.

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.StaticSessionCredentialsProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

public final class Service {
  // What was in hand when the service was killed comes again after it.
  private static final Duration INVISIBLE = Duration.ofSeconds(10), POLL = Duration.ofSeconds(10);
  // For how long what is told waits for a device that is off.
  private static final Map<String, Integer> KEPT_S = Map.of("ring-down", 3 * 24 * 3_600, "meeting-down", 20);
  static final String UNREADABLE = "unreadable";
  private static final int PAUSE_MS = 1_000, TICK_MS = 500;
  private static final Gson GSON = new Gson();

  /** What a terminal has written; and who it is, by the broker's stamps and the API. */
  static final class Request {
    String type, id, meeting, media, title, invitation, reason;
    List<String> callees = new ArrayList<>();
    long expires_at_ms;
    transient String user, name, client, calleeName;
    transient List<Api.Device> calleeDevices;
    transient List<Api.Contact> contacts;
    transient long arrivedMs;
    transient boolean isAnswered;
  }

  private final Api api = new Api(env("API", "http://127.0.0.1:8080"), env("KEY_ID", ""), env("SECRET", ""));
  private final Memory memory = new Memory(env("DATA", "meetings.json"));
  private final Calls calls = new Calls(memory);
  private final ClientServiceProvider queue = ClientServiceProvider.loadService();
  private final Producer producer;
  private final SimpleConsumer consumer;

  private Service() throws Exception {
    ClientConfiguration configuration = ClientConfiguration.newBuilder().setEndpoints(env("QUEUE", "127.0.0.1:8081"))
        .setCredentialProvider(new StaticSessionCredentialsProvider(env("KEY_ID", ""), env("SECRET", ""))).build();
    producer = queue.newProducerBuilder().setClientConfiguration(configuration).setTopics("ring-down", "meeting-down").build();
    consumer = queue.newSimpleConsumerBuilder().setClientConfiguration(configuration)
        .setConsumerGroup(env("GROUP", "meetings")).setAwaitDuration(POLL)
        .setSubscriptionExpressions(Map.of("meeting-up", FilterExpression.SUB_ALL)).build();
  }

  public static void main(String[] args) throws Exception {
    Service service = new Service();
    System.out.println("The management service is ready.");
    endWith(service::carry);
    endWith(service::receive);
  }

  private interface Work {
    void run() throws Exception;
  }

  /** What it cannot be sure of ends the service: it begins again with what is on disk. */
  private static void endWith(Work work) {
    new Thread(() -> {
      try {
        work.run();
      } catch (Throwable error) {
        error.printStackTrace();
        Runtime.getRuntime().halt(1);
      }
    }).start();
  }

  /** 1. What cannot be verified now is not acknowledged: it comes again, and what came behind it too. */
  private void receive() throws Exception {
    while (true) {
      try {
        for (MessageView view : ask(() -> consumer.receive(16, INVISIBLE))) {
          handle(view.getBody(), view.getProperties());
          ask(() -> {
            consumer.ack(view);
            return view;
          });
        }
      } catch (Api.Unavailable error) {
        System.err.println("requests have to wait: " + error);
        Thread.sleep(PAUSE_MS);
      }
    }
  }

  /** 2. Who it is, and whether there is whom it calls. What the body says of the sender is never believed. */
  private void handle(ByteBuffer body, Map<String, String> stamps) throws Exception {
    Request request = read(StandardCharsets.UTF_8.decode(body).toString());
    request.user = stamps.getOrDefault("convokeUser", "");
    request.client = stamps.get("clientId");
    request.arrivedMs = Long.parseLong(stamps.getOrDefault("convokeArrivedMs", "0"));
    if (request.id == null || request.client == null || memory.isHandled(request.id)) {
      return;
    }
    request.name = api.nameOf(request.user);
    if (request.type.equals("create") && request.callees.size() == 1) {
      request.calleeName = api.nameOf(request.callees.get(0));
      request.calleeDevices = api.devicesOf(request.callees.get(0));
    }
    if (request.type.equals("contacts")) {
      request.contacts = api.contacts();
    }
    synchronized (memory) {
      calls.handle(request);
      memory.save();
      memory.notifyAll();
    }
  }

  /** One that cannot be read is answered if it says its id. */
  private static Request read(String text) {
    Request unreadable = new Request();
    unreadable.type = UNREADABLE;
    try {
      unreadable.id = GSON.fromJson(text, JsonObject.class).get("id").getAsString();
      Request request = GSON.fromJson(text, Request.class);
      return request.type == null || request.callees == null || request.callees.contains(null) ? unreadable : request;
    } catch (RuntimeException error) {
      System.err.println("a request cannot be read: " + error);
      return unreadable;
    }
  }

  /** 3 and 4. All that was decided, in its order, as often as it takes; and what time decides. */
  private void carry() throws Exception {
    while (true) {
      List<Memory.Signal> waiting;
      synchronized (memory) {
        calls.expire();
        if (memory.outbox.isEmpty()) {
          memory.wait(TICK_MS);
        }
        waiting = List.copyOf(memory.outbox);
      }
      int sent = 0;
      try {
        for (Memory.Signal signal : waiting) {
          send(signal);
          sent++;
        }
      } catch (Api.Unavailable error) {
        System.err.println("it is sent again: " + error);
        Thread.sleep(PAUSE_MS);
      }
      if (sent > 0) {
        memory.forget(sent);
      }
    }
  }

  /** The channel is put before anybody is told how to join it. What rings no more, as it was not sent in time, is not begun. */
  private void send(Memory.Signal signal) throws Exception {
    boolean rings = api.put(memory, signal.meeting());
    if (signal.kind().equals("invitation") && !rings) {
      return;
    }
    int keptS = KEPT_S.get(signal.topic());
    long now = System.currentTimeMillis();
    JsonObject body = signal.body().deepCopy();
    api.complete(memory, body);
    body.addProperty("v", 1);
    body.addProperty("type", signal.kind());
    body.addProperty("id", signal.id());
    body.addProperty("meeting", signal.meeting());
    body.addProperty("in_reply_to", signal.inReplyTo());
    body.addProperty("sent_at_ms", now);
    body.addProperty("expires_at_ms", now + keptS * 1_000L);
    if (signal.rev() > 0) {
      body.addProperty("rev", signal.rev());
    }
    var message = queue.newMessageBuilder().setTopic(signal.topic()).setBody(GSON.toJson(body).getBytes(StandardCharsets.UTF_8))
        .addProperty("mqttSecondTopic", "/p2p/" + signal.client() + "/" + signal.kind())
        .addProperty("qoslevel", "1")
        .addProperty("mqtt5ContentType", "application/json")
        .addProperty("mqtt5MsgExpireInterval", String.valueOf(keptS));
    if (signal.topic().equals("ring-down")) {
      message.addProperty("collapseKey", body.get("invitation").getAsString());
      message.addProperty("collapseVersion", String.valueOf(signal.rev()));
    }
    ask(() -> producer.send(message.build()));
  }

  private interface Question<T> {
    T ask() throws ClientException;
  }

  /** The queue, of which the client throws what gRPC throws too, unchecked, while the server is away. */
  private static <T> T ask(Question<T> question) throws Api.Unavailable {
    try {
      return question.ask();
    } catch (ClientException | RuntimeException error) {
      throw new Api.Unavailable("the queue: " + error);
    }
  }

  static String env(String name, String otherwise) {
    return System.getenv().getOrDefault(name, otherwise);
  }
}
