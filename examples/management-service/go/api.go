// The server's HTTP API: who there is, the channel of a meeting, and tokens for it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

type Contact struct {
	User     string `json:"user"`
	Name     string `json:"name"`
	Presence string `json:"presence"`
}

// "": there is no such user.
func nameOf(user string) (string, error) {
	if user == "" {
		return "", nil
	}
	found := struct{ Name string }{}
	_, err := ask("GET", "/users/"+url.PathEscape(user), nil, &found)
	return found.Name, err
}

func devicesOf(user string) (clients []string, online bool, err error) {
	found := struct {
		Items []struct {
			ClientID string `json:"client_id"`
			Online   bool
		}
	}{}
	_, err = ask("GET", "/devices?limit=32&user="+url.QueryEscape(user), nil, &found)
	for _, device := range found.Items {
		clients, online = append(clients, device.ClientID), online || device.Online
	}
	return clients, online, err
}

func contacts() ([]Contact, error) {
	found := struct{ Items []Contact }{}
	_, err := ask("GET", "/users?limit=200", nil, &found)
	for i := range found.Items {
		_, online, failed := devicesOf(found.Items[i].User)
		found.Items[i].Presence, err = map[bool]string{true: "online", false: "offline"}[online], errors.Join(err, failed)
	}
	return found.Items, err
}

// The channel as the meeting is now, which rings or not. The same again changes nothing, and opens it again at a server that
// has lost it.
func (s *Service) put(id string) (rings bool, err error) {
	s.lock.Lock()
	m := s.state.Meetings[id]
	if m == nil {
		s.lock.Unlock()
		return false, nil
	}
	rings, wish := m.rings(), Body{"rev": m.Rev, "desired": m.wish()}
	s.lock.Unlock()
	status, err := ask("PUT", "/channels/"+id, wish, nil)
	if err == nil && status != 200 {
		log.Println("the channel of", id, "is not put:", status)
	}
	return rings, err
}

// Each `join` in a body gets the token and where to go with it, and `now_ms` the time.
func (s *Service) complete(value any) error {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if err := s.complete(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, item := range value {
			if name == "now_ms" {
				value[name] = now()
			} else if join, ok := item.(map[string]any); ok && name == "join" {
				if err := s.grant(join); err != nil {
					return err
				}
			} else if err := s.complete(item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) grant(join map[string]any) error {
	channel := join["channel"].(string)
	if _, err := s.put(channel); err != nil {
		return err
	}
	who := Body{"rev": join["rev"], "participation": join["participation"], "user": join["user"], "client": join["client"]}
	granted := Body{}
	status, err := ask("POST", "/channels/"+channel+"/tokens", who, &granted)
	if err == nil && status != 200 {
		err = fmt.Errorf("no token for %s: %d", channel, status)
	}
	delete(join, "client")
	delete(join, "rev")
	join["app"], join["endpoints"], join["token"] = granted["app"], granted["endpoints"], granted["token"]
	return err
}

var client = http.Client{Timeout: 5 * time.Second}

// An error: again later. Any other status than 200 is a refusal, which stays one.
func ask(method, path string, body, answer any) (int, error) {
	text, err := json.Marshal(body)
	must(err)
	request, err := http.NewRequest(method, env("API", "http://127.0.0.1:8080")+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	request.SetBasicAuth(os.Getenv("KEY_ID"), os.Getenv("SECRET"))
	request.Header.Set("content-type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if code := response.StatusCode; code >= 500 || code == 429 || code == 401 || code == 403 {
		return 0, fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	if response.StatusCode == 200 && answer != nil {
		err = json.NewDecoder(response.Body).Decode(answer)
	}
	return response.StatusCode, err
}
