package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rekindle/internal/project"
)

// span is a flag's duration: what time.ParseDuration takes, or whole days
// ("30d"). It is above zero.
type span time.Duration

func (d *span) String() string {
	if *d == 0 {
		return ""
	}
	// 720h0m0s is 720h.
	s := time.Duration(*d).String()
	s = strings.TrimSuffix(s, "0s")
	return strings.TrimSuffix(s, "0m")
}

func (d *span) Type() string { return "duration" }

func (d *span) Set(text string) error {
	v, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if v = time.Duration(n) * 24 * time.Hour; n > 36_500 {
			err = strconv.ErrRange
		}
	}
	if err != nil || v <= 0 {
		return errors.New("write a duration above zero, such as 90m, 720h or 30d")
	}
	*d = span(v)
	return nil
}

// subscription is a flag's or an argument's state of a subscription.
type subscription project.Subscription

func (s *subscription) String() string {
	if *s == "" {
		return noSubscription
	}
	return string(*s)
}

func (s *subscription) Type() string { return "state" }

func (s *subscription) Set(text string) error {
	if text == noSubscription {
		*s = subscription(project.NoSubscription)
		return nil
	}
	if !slices.Contains(project.Subscriptions, project.Subscription(text)) {
		return fmt.Errorf("a subscription is %s, not %q", enumeration(subscriptionStates()), text)
	}
	*s = subscription(text)
	return nil
}

// status is a flag's status of a project.
type status project.Status

func (s *status) String() string { return string(*s) }

func (s *status) Type() string { return "status" }

func (s *status) Set(text string) error {
	if !slices.Contains(project.Statuses, project.Status(text)) {
		return fmt.Errorf("a project is %s, not %q", enumeration(project.Statuses), text)
	}
	*s = status(text)
	return nil
}
