package project

import (
	"regexp"
	"strings"
	"time"
)

var projectID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,99}$`)

// CheckProjectID refuses what can't be a project's id.
func CheckProjectID(id string) error {
	if !projectID.MatchString(id) {
		return Refuse(CodeProjectIDInvalid, nil)
	}
	return nil
}

// CheckAttempt refuses with 409 when the caller expected another attempt than
// the present one. A nil expectation passes.
func CheckAttempt(p *Project, expected *int) error {
	if expected == nil || *expected == p.Attempt {
		return nil
	}
	return Refuse(CodeAttemptDiffers, Fields{"attempt": p.Attempt, "status": p.Status})
}

// CheckStart says why event, which is [Run] or [Restart], may not start p now,
// or nil if it may. The order of the checks is part of the contract: status,
// subscription, activation code, required fields. A nil tenant has no
// subscription. The trial slot is the store's to check, last of all.
func CheckStart(event Event, p *Project, t *Tenant) error {
	if _, ok := Next(p.Status, event); !ok {
		switch {
		case event == Restart:
			return Refuse(CodeNotFailed, Fields{"status": p.Status})
		case p.Status == Failed:
			return Refuse(CodeUseRestart, Fields{"status": p.Status})
		default:
			return Refuse(CodeNotPending, Fields{"status": p.Status})
		}
	}
	if err := checkSubscription(t); err != nil {
		return err
	}
	if p.ActivationCode == "" {
		return Refuse(CodeActivationMissing, nil)
	}
	if !p.ActivationCodeRevokedAt.IsZero() {
		return Refuse(CodeActivationRevoked, nil)
	}
	for _, f := range []struct{ name, value string }{
		{"name", p.Name}, {"description", p.Description}, {"objectives", p.Objectives},
	} {
		if strings.TrimSpace(f.value) == "" {
			return Refuse(CodeFieldMissing, Fields{"field": f.name})
		}
	}
	return nil
}

func checkSubscription(t *Tenant) error {
	state := NoSubscription
	if t != nil {
		state = t.Subscription
	}
	switch state {
	case Active, Trialing:
		return nil
	case NoSubscription:
		return Refuse(CodeSubscriptionMissing, nil)
	case PastDue:
		return Refuse(CodeSubscriptionPastDue, nil)
	case Canceled:
		return Refuse(CodeSubscriptionCanceled, nil)
	case Unpaid:
		return Refuse(CodeSubscriptionUnpaid, nil)
	case Suspended:
		return Refuse(CodeSubscriptionSuspended, nil)
	}
	return Refuse(CodeSubscriptionUnknown, Fields{"subscription_state": state})
}

// StartEvent returns the event that would start a project in status s: restart
// for a failed one, run for any other.
func (s Status) StartEvent() Event {
	if s == Failed {
		return Restart
	}
	return Run
}

// The life of a session: it ends SessionLife after it began, whatever its use,
// and earlier when it was not used for SessionIdle. Its last use is recorded
// at most once in SessionTouch.
const (
	SessionLife  = 24 * time.Hour
	SessionIdle  = 30 * time.Minute
	SessionTouch = 5 * time.Minute
)

// Session is a tenant's sign-in. Its token is never stored, only the token's
// SHA-256.
type Session struct {
	TokenHash string
	TenantID  string
	ExpiresAt time.Time
	LastSeen  time.Time
}

// Check refuses a session that has ended by now.
func (s *Session) Check(now time.Time) error {
	switch {
	case !now.Before(s.ExpiresAt):
		return Refuse(CodeSessionExpired, nil)
	case now.Sub(s.LastSeen) >= SessionIdle:
		return Refuse(CodeSessionIdle, nil)
	}
	return nil
}

// NeedsTouch says whether the session's last use is to be recorded at now.
func (s *Session) NeedsTouch(now time.Time) bool {
	return now.Sub(s.LastSeen) >= SessionTouch
}
