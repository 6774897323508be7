// The official RocketMQ 5 client for Java against a server, over TLS: sends, receives, delays, keeps order, is refused.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.StaticSessionCredentialsProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

public final class Client {
  private static final int WAIT_S = 30;
  private static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();
  private static final ClientConfiguration CONFIGURATION = ClientConfiguration.newBuilder()
      .setEndpoints(System.getenv("QUEUE"))
      .setCredentialProvider(new StaticSessionCredentialsProvider(System.getenv("KEY_ID"), System.getenv("SECRET")))
      .build();

  public static void main(String[] args) throws Exception {
    Producer producer = PROVIDER.newProducerBuilder().setClientConfiguration(CONFIGURATION)
        .setTopics("orders", "pushed", "later", "steps", "line", "paid").build();
    SimpleConsumer shop = PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(CONFIGURATION)
        .setConsumerGroup("shop").setAwaitDuration(Duration.ofSeconds(5))
        .setSubscriptionExpressions(Map.of("orders", FilterExpression.SUB_ALL)).build();

    SendReceipt sent = producer.send(message("orders", "pear").setTag("new").setKeys("k1")
        .addProperty("colour", " red ").build());
    List<MessageView> got = shop.receive(16, Duration.ofSeconds(10));
    expect(got.size() == 1 && got.get(0).getMessageId().equals(sent.getMessageId()), got);
    MessageView first = got.get(0);
    expect(first.getProperties().equals(Map.of("colour", " red ")) && first.getTag().get().equals("new"), first);
    shop.changeInvisibleDuration(first, Duration.ofSeconds(12));
    shop.ack(first);
    refused("40013", () -> shop.ack(first));
    expect(shop.receive(16, Duration.ofSeconds(10)).isEmpty(), "an empty poll");
    say("simple consumer");

    long inAnHour = System.currentTimeMillis() + 3_600_000;
    SendReceipt delayed = producer.send(message("later", "x").setDeliveryTimestamp(inAnHour).build());
    String handle = delayed.getRecallHandle();
    expect(producer.recallMessage("later", handle).getMessageId().equals(delayed.getMessageId()), "the same message");
    say("delay and recall");

    BlockingQueue<Integer> attempts = new LinkedBlockingQueue<>();
    PROVIDER.newPushConsumerBuilder().setClientConfiguration(CONFIGURATION).setConsumerGroup("push")
        .setSubscriptionExpressions(Map.of("pushed", FilterExpression.SUB_ALL))
        .setMessageListener(view -> {
          attempts.add(view.getDeliveryAttempt());
          return view.getDeliveryAttempt() < 2 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
        }).build();
    producer.send(message("pushed", "one").build());
    expect(attempts.poll(WAIT_S, TimeUnit.SECONDS) == 1 && attempts.poll(WAIT_S, TimeUnit.SECONDS) == 2, attempts);
    say("push consumer");

    SimpleConsumer ordered = PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(CONFIGURATION)
        .setConsumerGroup("shop").setAwaitDuration(Duration.ofSeconds(5))
        .setSubscriptionExpressions(Map.of("steps", FilterExpression.SUB_ALL)).build();
    sendAll(producer, "steps", "a1", "a2", "b1");
    got = ordered.receive(16, Duration.ofSeconds(10));
    expect(got.size() == 2 && body(got.get(0)).equals("a1") && body(got.get(1)).equals("b1"), got);
    expect(got.get(0).getMessageGroup().get().equals("a"), got);
    ordered.ack(got.get(1));
    ordered.changeInvisibleDuration(got.get(0), Duration.ZERO);
    for (String body : List.of("a1", "a2")) {
      got = ordered.receive(16, Duration.ofSeconds(10));
      expect(got.size() == 1 && body(got.get(0)).equals(body), got);
      ordered.ack(got.get(0));
    }
    say("order");

    BlockingQueue<String> processed = new LinkedBlockingQueue<>();
    AtomicBoolean isFirst = new AtomicBoolean(true);
    PROVIDER.newPushConsumerBuilder().setClientConfiguration(CONFIGURATION).setConsumerGroup("line")
        .setSubscriptionExpressions(Map.of("line", FilterExpression.SUB_ALL))
        .setMessageListener(view -> {
          processed.add(body(view));
          return isFirst.getAndSet(false) ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
        }).build();
    sendAll(producer, "line", "a1", "a2", "a3");
    for (String body : List.of("a1", "a1", "a2", "a3")) {
      String came = processed.poll(WAIT_S, TimeUnit.SECONDS);
      expect(body.equals(came), body + ", not " + came);
    }
    say("push consumer in order");

    PROVIDER.newPushConsumerBuilder().setClientConfiguration(CONFIGURATION).setConsumerGroup("slow")
        .setSubscriptionExpressions(Map.of("paid", FilterExpression.SUB_ALL))
        .setMessageListener(view -> {
          processed.add(body(view));
          return body(view).equals("a poison") ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
        }).build();
    sendAll(producer, "paid", "a poison", "a next");
    for (String body : List.of("a poison", "a poison", "a next")) {
      String came = processed.poll(WAIT_S, TimeUnit.SECONDS);
      expect(body.equals(came), body + ", not " + came);
    }
    say("giving up");

    refused("40007", () -> producer.send(message("orders", "x").addProperty("UNIQ_KEY", "x").build()));
    say("refusal");
    System.exit(0);
  }

  private static MessageBuilder message(String topic, String body) {
    return PROVIDER.newMessageBuilder().setTopic(topic).setBody(body.getBytes());
  }

  /** Each to the message group of its first letter. */
  private static void sendAll(Producer producer, String topic, String... bodies) throws ClientException {
    for (String body : bodies) {
      producer.send(message(topic, body).setMessageGroup(body.substring(0, 1)).build());
    }
  }

  private static String body(MessageView view) {
    return StandardCharsets.UTF_8.decode(view.getBody()).toString();
  }

  private interface Call {
    void run() throws ClientException;
  }

  private static void refused(String code, Call call) {
    try {
      call.run();
    } catch (ClientException error) {
      expect(error.getMessage().contains(code), error);
      return;
    }
    expect(false, "not refused by " + code);
  }

  private static void expect(boolean holds, Object what) {
    if (!holds) {
      System.out.println("failed: " + what);
      System.exit(1);
    }
  }

  private static void say(String what) {
    System.out.println(what + ": ok");
  }
}
