// The official RocketMQ 5 client for Java against a server, over TLS: sends, receives, acknowledges, delays, is refused.

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
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
        .setTopics("orders", "pushed", "later").build();
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

    refused("40007", () -> producer.send(message("orders", "x").addProperty("UNIQ_KEY", "x").build()));
    say("refusal");
    System.exit(0);
  }

  private static MessageBuilder message(String topic, String body) {
    return PROVIDER.newMessageBuilder().setTopic(topic).setBody(body.getBytes());
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
