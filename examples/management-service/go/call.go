// What becomes of a call of two: a request in, a changed meeting and what is to be told out.
package main

import (
	"regexp"
	"slices"
)

var isUUID = regexp.MustCompile("^[0-9a-f-]{36}$")

// A refusal has a code, and changes nothing.
func (s *Service) decide(r *Request, m *Meeting) (code, words string) {
	switch {
	case r.name == "":
		return "not_allowed", "this login belongs to no user"
	case r.unreadable != nil:
		return "invalid", r.unreadable.Error()
	case r.Type == "state":
		s.tellState(r)
		return
	case r.Type == "contacts":
		s.tellContacts(r)
		return
	case r.ExpiresAtMs < now() || r.Type == "create" && now()-r.arrivedMs > createMs:
		return "expired", "the request came after its time: ask for your state"
	case r.Type == "create":
		return s.create(r, m)
	case !slices.Contains([]string{"ringing", "accept", "reject", "cancel", "join", "leave", "roster"}, r.Type):
		return "invalid", "this service does not know " + r.Type
	case m == nil || r.user != m.Caller.User && r.user != m.Callee.User:
		return "not_allowed", "there is no such meeting for you"
	}
	member, isAboutRing := m.member(r.user), slices.Contains([]string{"ringing", "accept", "reject"}, r.Type)
	switch {
	case isAboutRing && (r.user != m.Callee.User || r.Invitation != m.Invitation):
		return "not_allowed", "there is no such invitation for you: ask for your state"
	case r.Type == "accept" && m.rings() && s.isInCall(r.user):
		return "already_in_call", "you are in another call"
	case isAboutRing && m.rings():
		s.aboutRing(m, r)
	case m.State == "over" && isAboutRing:
		s.tell(m, r, r.client, "ended", m.ringOver(m.Reason, m.By))
	case m.State == "over":
		s.tell(m, r, r.client, "ended", m.over(m.Reason, m.By))
	case isAboutRing && member.Client != r.client:
		s.tell(m, r, r.client, "ended", m.ringOver("answered_elsewhere", r.user))
	case member == nil:
		return "not_member", "you are not in this meeting"
	case r.Type == "join" && member.Client != r.client:
		return "invalid", "this service moves no call to another device"
	case isAboutRing || r.Type == "join":
		s.tell(m, r, r.client, "admitted", m.admission(*member))
	case r.Type == "leave" && member.Client != r.client:
		s.tell(m, r, r.client, "ended", m.over("left", r.user))
	case r.Type == "leave":
		s.end(m, r, "left")
	case r.Type == "cancel" && m.rings():
		s.end(m, r, "cancelled")
	default:
		s.tell(m, r, r.client, "roster", m.roster())
	}
	return
}

func (s *Service) create(r *Request, m *Meeting) (code, words string) {
	switch {
	case !isUUID.MatchString(r.Meeting) || len(r.Callees) != 1 || r.Callees[0] == r.user || r.Media != "audio" && r.Media != "video":
		return "invalid", "a call has a UUID of its own, one callee, and audio or video"
	case r.calleeName == "":
		return "not_allowed", "there is no user " + r.Callees[0]
	case m != nil:
		return "taken", "this meeting id is in use: make a new one"
	case s.isInCall(r.user):
		return "already_in_call", "you are in another call"
	}
	isBusy := s.isInCall(r.Callees[0])
	m = &Meeting{ID: r.Meeting, Media: r.Media, Title: r.Title, Invitation: newID(), State: "invited", DeadlineMs: now() + ringMs}
	m.Caller, m.Callee = Person{r.user, r.name, r.client, newID()}, Person{User: r.Callees[0], Name: r.calleeName}
	s.state.Meetings[m.ID] = m
	if isBusy {
		s.tell(m, nil, r.client, "busy", Body{"user": m.Callee.User})
		s.end(m, r, "declined")
		return
	}
	m.change("invited")
	for _, device := range r.calleeDevices {
		m.Devices = append(m.Devices, Person{m.Callee.User, m.Callee.Name, device, newID()})
	}
	s.tell(m, r, r.client, "admitted", m.admission(m.Caller))
	for _, device := range m.Devices {
		s.ring(m, r, device.Client, "invitation", m.invitation(device))
	}
	if !r.isCalleeOnline {
		s.tell(m, r, r.client, "waiting", Body{"user": m.Callee.User, "until_ms": m.DeadlineMs})
	}
	return
}

// The first device that accepts or rejects decides for all.
func (s *Service) aboutRing(m *Meeting, r *Request) {
	device := m.device(r.client)
	switch {
	case r.Type == "accept":
		m.Callee = device
		m.change("answered")
		s.tell(m, r, r.client, "admitted", m.admission(device))
		s.tell(m, r, m.Caller.Client, "accepted", Body{"user": r.user})
		s.tell(m, r, m.Caller.Client, "roster", m.roster())
		for _, other := range m.Devices {
			if other != device {
				s.ring(m, r, other.Client, "ended", m.ringOver("answered_elsewhere", r.user))
			}
		}
	case r.Type == "reject":
		if r.Reason != "busy" {
			r.Reason = "declined"
		}
		m.change(m.State)
		s.tell(m, r, m.Caller.Client, "rejected", Body{"user": r.user, "reason": r.Reason})
		s.end(m, r, "declined")
	case m.State == "invited":
		m.change("ringing")
		m.DeadlineMs = now() + ringMs
		s.tell(m, r, m.Caller.Client, "ringing", Body{"user": r.user})
		fallthrough
	default:
		s.tell(m, r, r.client, "ringing", Body{"user": r.user})
	}
}

// Without a request it is time that ends it. A ring that the callee has not declined was missed.
func (s *Service) end(m *Meeting, r *Request, reason string) {
	members, rang := m.members(), m.rings()
	m.change("over")
	m.Reason = reason
	if r != nil {
		m.By = r.user
	}
	ringReason := reason
	if reason == "left" {
		ringReason = "cancelled"
	}
	for _, device := range m.Devices {
		switch {
		case rang && reason != "declined":
			body := m.ringOver(ringReason, m.By)
			body["outcome"] = Body{"invitation": m.Invitation, "meeting": m.ID, "rev": m.Rev, "from": m.Caller.User,
				"from_name": m.Caller.Name, "media": m.Media, "kind": "missed", "at_ms": now()}
			s.ring(m, r, device.Client, "ended", body)
		case rang && device.Client == r.client:
			s.ring(m, r, device.Client, "ended", m.ringOver("declined", m.By))
		case rang:
			s.ring(m, r, device.Client, "ended", m.ringOver("declined_elsewhere", m.By))
		}
	}
	for _, member := range members {
		s.tell(m, r, member.Client, "ended", m.over(reason, m.By))
	}
}

// All that stands for this user on this device, which a ring may not know yet.
func (s *Service) tellState(r *Request) {
	rings, body := []Body{}, Body{"now_ms": 0, "user": r.user, "name": r.name, "outcomes": []Body{}}
	for _, m := range s.state.Meetings {
		if m.rings() && m.Callee.User == r.user {
			rings = append(rings, m.invitation(m.device(r.client)))
		}
		if member := m.member(r.user); member != nil {
			call := Body{"meeting": m.ID, "media": m.Media, "here": member.Client == r.client, "roster": m.roster()}
			if member.Client == r.client {
				call["join"] = m.join(*member)
			}
			body["call"] = call
		}
	}
	body["rings"] = rings
	s.tell(nil, r, r.client, "state", body)
}

func (s *Service) tellContacts(r *Request) {
	others := []Contact{}
	for _, contact := range r.contacts {
		if s.isInCall(contact.User) {
			contact.Presence = "in_call"
		}
		if contact.User != r.user {
			others = append(others, contact)
		}
	}
	s.tell(nil, r, r.client, "contacts", Body{"users": others})
}

func (s *Service) isInCall(user string) bool {
	for _, m := range s.state.Meetings {
		if m.member(user) != nil {
			return true
		}
	}
	return false
}
