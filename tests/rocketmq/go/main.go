// The official RocketMQ 5 client for Go against a server: sends, receives, acknowledges, delays, keeps order, is refused.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func expect(ok bool, what string, got any) {
	if !ok {
		fmt.Printf("failed: %s: %v\n", what, got)
		os.Exit(1)
	}
}

func config(group string) *rmq.Config {
	return &rmq.Config{
		Endpoint:      os.Getenv("QUEUE"),
		ConsumerGroup: group,
		Credentials:   &credentials.SessionCredentials{AccessKey: os.Getenv("KEY_ID"), AccessSecret: os.Getenv("SECRET")},
	}
}

func producer(topic string) rmq.Producer {
	p, err := rmq.NewProducer(config(""), rmq.WithTopics(topic))
	check(err)
	check(p.Start())
	return p
}

func send(p rmq.Producer, m *rmq.Message) *rmq.SendReceipt {
	receipts, err := p.Send(context.Background(), m)
	check(err)
	return receipts[0]
}

// Each to the message group of its first letter.
func sendAll(p rmq.Producer, topic string, bodies ...string) {
	for _, body := range bodies {
		m := &rmq.Message{Topic: topic, Body: []byte(body)}
		m.SetMessageGroup(body[:1])
		send(p, m)
	}
}

func simple(group, topic string) rmq.SimpleConsumer {
	c, err := rmq.NewSimpleConsumer(config(group), rmq.WithSimpleAwaitDuration(5*time.Second),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: rmq.SUB_ALL}))
	check(err)
	check(c.Start())
	return c
}

func main() {
	rmq.ResetLogger()
	orders, later := producer("orders"), producer("later")
	shop := simple("shop", "orders")

	message := &rmq.Message{Topic: "orders", Body: []byte{0, 255}}
	message.SetTag("new")
	message.SetKeys("k1", "k2")
	message.AddProperty("colour", " red ")
	receipt := send(orders, message)
	got, err := shop.Receive(context.Background(), 16, 10*time.Second)
	check(err)
	expect(len(got) == 1, "one message", len(got))
	expect(got[0].GetMessageId() == receipt.MessageID, "its id", got[0].GetMessageId())
	expect(string(got[0].GetBody()) == "\x00\xff" && *got[0].GetTag() == "new", "body and tag", got[0])
	expect(got[0].GetProperties()["colour"] == " red " && len(got[0].GetKeys()) == 2, "properties and keys", got[0])
	check(shop.ChangeInvisibleDuration(got[0], 11*time.Second))
	check(shop.Ack(context.Background(), got[0]))
	_, err = shop.Receive(context.Background(), 16, 10*time.Second)
	status, ok := rmq.AsErrRpcStatus(err)
	expect(ok && status.GetCode() == 40401, "an empty poll", err)
	fmt.Println("simple consumer: ok")

	delayed := &rmq.Message{Topic: "later", Body: []byte("recalled")}
	delayed.SetDelayTimestamp(time.Now().Add(time.Hour))
	recalled := send(later, delayed)
	_, err = later.Recall(context.Background(), "later", recalled.RecallHandle)
	check(err)
	soon := &rmq.Message{Topic: "later", Body: []byte("soon")}
	soon.SetDelayTimestamp(time.Now().Add(time.Second))
	send(later, soon)
	late := simple("shop", "later")
	got, err = late.Receive(context.Background(), 16, 10*time.Second)
	check(err)
	expect(len(got) == 1 && string(got[0].GetBody()) == "soon", "the message that was not recalled", got)
	check(late.Ack(context.Background(), got[0]))
	fmt.Println("delay and recall: ok")

	var seen []int32
	done, lock := make(chan bool), sync.Mutex{}
	listener := &rmq.FuncMessageListener{Consume: func(m *rmq.MessageView) rmq.ConsumerResult {
		lock.Lock()
		defer lock.Unlock()
		seen = append(seen, m.GetDeliveryAttempt())
		if m.GetDeliveryAttempt() == 1 {
			return rmq.FAILURE
		}
		close(done)
		return rmq.SUCCESS
	}}
	push, err := rmq.NewPushConsumer(config("push"), rmq.WithPushAwaitDuration(5*time.Second),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{"pushed": rmq.SUB_ALL}),
		rmq.WithPushMessageListener(listener))
	check(err)
	check(push.Start())
	send(producer("pushed"), &rmq.Message{Topic: "pushed", Body: []byte("one")})
	<-done
	expect(len(seen) == 2 && seen[0] == 1 && seen[1] == 2, "two attempts", seen)
	fmt.Println("push consumer: ok")

	steps, ordered := producer("steps"), simple("shop", "steps")
	sendAll(steps, "steps", "a1", "a2", "b1")
	got, err = ordered.Receive(context.Background(), 16, 10*time.Second)
	check(err)
	expect(len(got) == 2 && string(got[0].GetBody()) == "a1" && string(got[1].GetBody()) == "b1", "one of each group", got)
	expect(*got[0].GetMessageGroup() == "a", "its group", got[0])
	check(ordered.Ack(context.Background(), got[1]))
	check(ordered.ChangeInvisibleDuration(got[0], 0))
	for _, body := range []string{"a1", "a2"} {
		got, err = ordered.Receive(context.Background(), 16, 10*time.Second)
		check(err)
		expect(len(got) == 1 && string(got[0].GetBody()) == body, body, got)
		check(ordered.Ack(context.Background(), got[0]))
	}
	fmt.Println("order: ok")

	processed := make(chan string, 16)
	first := sync.Once{}
	line := &rmq.FuncMessageListener{Consume: func(m *rmq.MessageView) rmq.ConsumerResult {
		result := rmq.SUCCESS
		first.Do(func() { result = rmq.FAILURE })
		processed <- string(m.GetBody())
		return result
	}}
	push, err = rmq.NewPushConsumer(config("line"), rmq.WithPushAwaitDuration(5*time.Second),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{"line": rmq.SUB_ALL}),
		rmq.WithPushMessageListener(line))
	check(err)
	check(push.Start())
	sendAll(producer("line"), "line", "a1", "a2", "a3")
	for _, body := range []string{"a1", "a1", "a2", "a3"} {
		came := <-processed
		expect(came == body, body, came)
	}
	fmt.Println("push consumer in order: ok")

	poisoned := &rmq.FuncMessageListener{Consume: func(m *rmq.MessageView) rmq.ConsumerResult {
		processed <- string(m.GetBody())
		if string(m.GetBody()) == "a poison" {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	}}
	push, err = rmq.NewPushConsumer(config("slow"), rmq.WithPushAwaitDuration(5*time.Second),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{"paid": rmq.SUB_ALL}),
		rmq.WithPushMessageListener(poisoned))
	check(err)
	check(push.Start())
	sendAll(producer("paid"), "paid", "a poison", "a next")
	for _, body := range []string{"a poison", "a poison", "a next"} {
		came := <-processed
		expect(came == body, body, came)
	}
	fmt.Println("giving up: ok")

	forged := &rmq.Message{Topic: "orders", Body: []byte("x")}
	forged.AddProperty("UNIQ_KEY", "x")
	_, err = orders.Send(context.Background(), forged)
	status, ok = rmq.AsErrRpcStatus(err)
	expect(ok && status.GetCode() == 40007, "a reserved property", err)
	fmt.Println("refusal: ok")
}
