// A call of two, and how it is shown to the RTC server and to terminals.
package main

type (
	Body map[string]any
	// A user on a device, and its stay in the channel.
	Person struct{ User, Name, Client, Participation string }
	// State is invited, ringing, answered or over. The callee's client is the device that has answered.
	Meeting struct {
		ID, Media, Title, Invitation, State, Reason, By string
		Rev, DeadlineMs, ChangedMs                      int64
		Caller, Callee                                  Person
		Devices                                         []Person
	}
)

// Each change has a revision of its own.
func (m *Meeting) change(state string) {
	m.State, m.ChangedMs = state, now()
	m.Rev++
}

func (m *Meeting) rings() bool { return m.State == "invited" || m.State == "ringing" }

func (m *Meeting) members() []*Person {
	switch {
	case m.rings():
		return []*Person{&m.Caller}
	case m.State == "answered":
		return []*Person{&m.Caller, &m.Callee}
	}
	return nil
}

func (m *Meeting) member(user string) *Person {
	for _, member := range m.members() {
		if member.User == user {
			return member
		}
	}
	return nil
}

// The callee on this device, which is entered if it is new.
func (m *Meeting) device(client string) Person {
	for _, device := range m.Devices {
		if device.Client == client {
			return device
		}
	}
	m.change(m.State)
	m.Devices = append(m.Devices, Person{m.Callee.User, m.Callee.Name, client, newID()})
	return m.Devices[len(m.Devices)-1]
}

// The channel as it is to be: whom it rings may connect, and nothing flows. nil: it is to end.
func (m *Meeting) wish() any {
	wished := Body{}
	wish := func(who Person, admission string) {
		rights := Body{"send": []string{"audio", "video"}, "receive": true}
		wished[who.Participation] = Body{"user": who.User, "client": who.Client, "admission": admission, "rights": rights}
	}
	for _, member := range m.members() {
		wish(*member, "admitted")
	}
	for _, device := range m.Devices {
		if m.rings() {
			wish(device, "waiting")
		}
	}
	if m.State == "over" {
		return nil
	}
	return Body{"participations": wished}
}

func (m *Meeting) join(who Person) Body {
	return Body{"channel": m.ID, "rev": m.Rev, "user": who.User, "client": who.Client, "participation": who.Participation,
		"profile": "call"}
}

func (m *Meeting) admission(who Person) Body { return Body{"join": m.join(who), "roster": m.roster()} }

func (m *Meeting) roster() Body {
	shown := []Body{}
	for _, member := range m.members() {
		shown = append(shown, Body{"user": member.User, "name": member.Name, "participation": member.Participation, "state": "in"})
	}
	if m.rings() {
		shown = append(shown, Body{"user": m.Callee.User, "name": m.Callee.Name, "state": m.State})
	}
	return Body{"rev": m.Rev, "host": m.Caller.User, "members": shown}
}

func (m *Meeting) invitation(device Person) Body {
	body := Body{"invitation": m.Invitation, "rev": m.Rev, "meeting": m.ID, "media": m.Media,
		"from": m.Caller.User, "from_name": m.Caller.Name, "ring_until_ms": m.DeadlineMs, "ringing": m.State == "ringing",
		"members": 1, "names": []string{m.Caller.Name}, "join": m.join(device)}
	if m.Title != "" {
		body["title"] = m.Title
	}
	return body
}

func (m *Meeting) over(reason, by string) Body {
	body := Body{"rev": m.Rev, "reason": reason}
	if by != "" {
		body["by"] = by
	}
	return body
}

func (m *Meeting) ringOver(reason, by string) Body {
	body := m.over(reason, by)
	body["invitation"] = m.Invitation
	return body
}
