// A short management service: it runs the calls of two of a Convoke server whose built-in service is off.
//
//	1 receive a request (queue) ─▶ 2 verify and decide ─▶ 3 put the channel (HTTP) ─▶ 4 send the invitation (queue)
//
// A decision is on disk, with all that it tells, before its request is acknowledged and before anything is sent. So it may be
// killed at any moment: a request that comes again is known by its id, and a signal that goes out again keeps its own.
// What becomes of a call is in call.go and meeting.go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
	"github.com/google/uuid"
)

const (
	// What was in hand when the service was killed comes again after it.
	invisible = 10 * time.Second
	// How long a device has to ring, and a person to answer; when nobody waits for a create any more; how long ids are known.
	ringMs, createMs, rememberedMs = 45_000, 30_000, 24 * 3_600_000
)

// For how long what is told waits for a device that is off.
var keptS = map[string]int64{"ring-down": 3 * 24 * 3_600, "meeting-down": 20}

type (
	// A `join` in its body is completed when it is sent, so that it is fresh.
	Signal struct {
		ID, Topic, Client, Kind, Meeting, InReplyTo string
		Rev                                         int64
		Body                                        json.RawMessage
	}
	// What a terminal has written; and who it is, by the broker's stamps and the API.
	Request struct {
		Type, ID, Meeting, Media, Title, Invitation, Reason string
		Callees                                             []string
		ExpiresAtMs                                         int64 `json:"expires_at_ms"`
		user, name, client, calleeName                      string
		arrivedMs                                           int64
		calleeDevices                                       []string
		unreadable                                          error
		contacts                                            []Contact
		isCalleeOnline, isAnswered                          bool
	}
	Service struct {
		lock  sync.Mutex
		wake  chan bool
		state struct { // all that is remembered
			Meetings map[string]*Meeting
			Handled  map[string]int64
			Outbox   []Signal
		}
	}
)

func main() {
	s := &Service{wake: make(chan bool, 1)}
	s.state.Meetings, s.state.Handled = map[string]*Meeting{}, map[string]int64{}
	if text, err := os.ReadFile(env("DATA", "meetings.json")); !errors.Is(err, os.ErrNotExist) {
		must(err)
		must(json.Unmarshal(text, &s.state))
	}
	rmq.ResetLogger()
	key := &credentials.SessionCredentials{AccessKey: os.Getenv("KEY_ID"), AccessSecret: os.Getenv("SECRET")}
	config := &rmq.Config{Endpoint: env("QUEUE", "127.0.0.1:8081"), ConsumerGroup: env("GROUP", "meetings"), Credentials: key}
	producer, err := rmq.NewProducer(config, rmq.WithTopics("ring-down", "meeting-down"))
	must(err)
	must(producer.Start())
	consumer, err := rmq.NewSimpleConsumer(config, rmq.WithSimpleAwaitDuration(10*time.Second),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{"meeting-up": rmq.SUB_ALL}))
	must(err)
	must(consumer.Start())
	fmt.Println("The management service is ready.")
	go s.carry(producer)
	for {
		s.receive(consumer)
	}
}

// 1. What cannot be verified now is not acknowledged: it comes again, and what came behind it too.
func (s *Service) receive(consumer rmq.SimpleConsumer) {
	views, err := consumer.Receive(context.Background(), 16, invisible)
	if status, ok := rmq.AsErrRpcStatus(err); err != nil && !(ok && status.GetCode() == 40401) { // 40401: there was nothing
		log.Println("nothing is received:", err)
		time.Sleep(time.Second)
	}
	for _, view := range views {
		if err := s.handle(view.GetBody(), view.GetProperties()); err != nil {
			log.Println("a request has to wait:", err)
			return
		}
		if err := consumer.Ack(context.Background(), view); err != nil {
			log.Println("a request comes again:", err)
		}
	}
}

// 2. Who it is, and whether there is whom it calls. What the body says of the sender is never believed.
func (s *Service) handle(text []byte, stamps map[string]string) (err error) {
	r := &Request{user: stamps["convokeUser"], client: stamps["clientId"]}
	r.unreadable = json.Unmarshal(text, r)
	r.arrivedMs, _ = strconv.ParseInt(stamps["convokeArrivedMs"], 10, 64)
	if s.isHandled(r.ID) || r.ID == "" || r.client == "" {
		return nil
	}
	if r.name, err = nameOf(r.user); err != nil {
		return err
	}
	if r.Type == "create" && len(r.Callees) == 1 {
		if r.calleeName, err = nameOf(r.Callees[0]); err != nil {
			return err
		}
		if r.calleeDevices, r.isCalleeOnline, err = devicesOf(r.Callees[0]); err != nil {
			return err
		}
	}
	if r.Type == "contacts" {
		if r.contacts, err = contacts(); err != nil {
			return err
		}
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if code, words := s.decide(r, s.state.Meetings[r.Meeting]); code != "" {
		s.tell(nil, r, r.client, "refused", Body{"code": code, "words": words})
	}
	s.state.Handled[r.ID] = now()
	s.save()
	select {
	case s.wake <- true:
	default:
	}
	return nil
}

func (s *Service) isHandled(request string) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.state.Handled[request] > 0
}

func (s *Service) tell(m *Meeting, r *Request, client, kind string, body Body) {
	s.post("meeting-down", m, r, client, kind, body)
}

func (s *Service) ring(m *Meeting, r *Request, client, kind string, body Body) {
	s.post("ring-down", m, r, client, kind, body)
}

// The first that the requesting device is told is its answer.
func (s *Service) post(topic string, m *Meeting, r *Request, client, kind string, body Body) {
	text, err := json.Marshal(body)
	must(err)
	signal := Signal{ID: newID(), Topic: topic, Client: client, Kind: kind, Body: text}
	if m != nil {
		signal.Meeting, signal.Rev = m.ID, m.Rev
	} else if kind == "refused" {
		signal.Meeting = r.Meeting
	}
	if r != nil && r.client == client && !r.isAnswered {
		signal.InReplyTo, r.isAnswered = r.ID, true
	}
	s.state.Outbox = append(s.state.Outbox, signal)
}

// 3 and 4. All that was decided, in its order, as often as it takes; and what time decides.
func (s *Service) carry(producer rmq.Producer) {
	for {
		s.lock.Lock()
		s.expire()
		waiting := slices.Clone(s.state.Outbox)
		s.lock.Unlock()
		sent := 0
		for _, signal := range waiting {
			if err := s.send(producer, signal); err != nil {
				log.Println("it is sent again:", err)
				time.Sleep(time.Second)
				break
			}
			sent++
		}
		if sent > 0 {
			s.lock.Lock()
			s.state.Outbox = slices.Clone(s.state.Outbox[sent:])
			s.save()
			s.lock.Unlock()
		}
		if sent == len(waiting) {
			select {
			case <-s.wake:
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
}

func (s *Service) expire() {
	for _, m := range s.state.Meetings {
		if m.rings() && m.DeadlineMs < now() {
			s.end(m, nil, "no_answer")
			s.save()
		}
	}
}

// The channel is put before anybody is told how to join it. What rings no more, as it was not sent in time, is not begun.
func (s *Service) send(producer rmq.Producer, signal Signal) error {
	rings, err := s.put(signal.Meeting)
	if err != nil || signal.Kind == "invitation" && !rings {
		return err
	}
	body := map[string]any{}
	must(json.Unmarshal(signal.Body, &body))
	if err := s.complete(body); err != nil {
		return err
	}
	body["v"], body["type"], body["id"], body["sent_at_ms"] = 1, signal.Kind, signal.ID, now()
	body["expires_at_ms"] = now() + keptS[signal.Topic]*1_000
	for name, value := range map[string]string{"meeting": signal.Meeting, "in_reply_to": signal.InReplyTo} {
		if value != "" {
			body[name] = value
		}
	}
	if signal.Rev > 0 {
		body["rev"] = signal.Rev
	}
	text, err := json.Marshal(body)
	must(err)
	message := &rmq.Message{Topic: signal.Topic, Body: text}
	message.AddProperty("mqttSecondTopic", "/p2p/"+signal.Client+"/"+signal.Kind)
	message.AddProperty("qoslevel", "1")
	message.AddProperty("mqtt5ContentType", "application/json")
	message.AddProperty("mqtt5MsgExpireInterval", strconv.FormatInt(keptS[signal.Topic], 10))
	if invitation, ok := body["invitation"].(string); ok && signal.Topic == "ring-down" {
		message.AddProperty("collapseKey", invitation)
		message.AddProperty("collapseVersion", strconv.FormatInt(signal.Rev, 10))
	}
	_, err = producer.Send(context.Background(), message)
	return err
}

// Written beside, synced, renamed; a service that cannot be sure of its file has to end, and begins with what is there.
func (s *Service) save() {
	for id, at := range s.state.Handled {
		if at < now()-rememberedMs {
			delete(s.state.Handled, id)
		}
	}
	for id, m := range s.state.Meetings {
		if m.State == "over" && m.ChangedMs < now()-rememberedMs {
			delete(s.state.Meetings, id)
		}
	}
	text, err := json.Marshal(s.state)
	must(err)
	path := env("DATA", "meetings.json")
	file, err := os.Create(path + ".new")
	must(err)
	_, err = file.Write(text)
	must(err)
	must(file.Sync())
	must(file.Close())
	must(os.Rename(path+".new", path))
	folder, err := os.Open(filepath.Dir(path))
	must(err)
	must(folder.Sync())
	must(folder.Close())
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func now() int64 { return time.Now().UnixMilli() }

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
