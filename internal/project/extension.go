package project

import (
	"math"
	"time"
)

// Limits of an extension: what its owner can add to the limit of an execution,
// once. What the engine runs ends by itself a little after the limit and
// MaxExtension.
const (
	MinExtension = time.Hour
	MaxExtension = 24 * time.Hour
)

// extensionWindow is the last part of its limit, as its share, in which an
// execution can be extended: from 20 hours on, of 24. Before that nobody knows
// how long it will take.
const extensionWindow = 6

// ExtensionOf reads a number of hours, from 1 to 24, to the second.
func ExtensionOf(hours float64) (by time.Duration, ok bool) {
	by = time.Duration(math.Round(hours*3600)) * time.Second
	return by, by >= MinExtension && by <= MaxExtension
}

// TimesOutAt is when the present execution has run for its limit and what was
// added to it; the zero time if it has not started.
func (p *Project) TimesOutAt(limit time.Duration) time.Time {
	if p.StartedAt.IsZero() {
		return time.Time{}
	}
	return p.StartedAt.Add(limit + p.Extension)
}

// ExtendableAt is from when on the present execution can be extended; the zero
// time if it can't any more.
func (p *Project) ExtendableAt(limit time.Duration) time.Time {
	if p.Status != Running || p.StartedAt.IsZero() || p.Extension > 0 {
		return time.Time{}
	}
	return p.StartedAt.Add(limit - limit/extensionWindow)
}

// CheckExtend refuses an extension of the present execution: if it is not
// running, was extended, or its time for that has not come or is over. Times are
// compared as they are shown, in milliseconds.
func CheckExtend(p *Project, limit time.Duration, now time.Time) error {
	from, until := p.ExtendableAt(limit), p.TimesOutAt(limit)
	switch {
	case p.Status != Running:
		return Refuse(CodeNotRunning, Fields{"action": "extended", "status": p.Status})
	case p.Extension > 0:
		return Refuse(CodeExtended, Fields{"times_out_at": until.Format(TimeFormat)})
	case now.Before(from):
		return Refuse(CodeExtensionEarly, Fields{"extendable_at": from.Format(TimeFormat)})
	case !now.Before(until):
		return Refuse(CodeExtensionLate, Fields{"times_out_at": until.Format(TimeFormat)})
	}
	return nil
}

// TimeFormat is how a time in UTC reads in the API's answers and errors.
const TimeFormat = "2006-01-02T15:04:05.000Z"
