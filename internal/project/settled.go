package project

import "time"

// WroteBy says whether p, which the store returned for the settlement, was ended
// by that very write or a retry of it, and not by an earlier one with the same
// token: a runner or an engine that says again what was heard before.
func (s Settlement) WroteBy(p *Project) bool {
	a, ok := p.Attempts[s.Ref.ExecutionID]
	return ok && a.SettledBy == s.Token && a.CompletedAt.Equal(s.At.Truncate(time.Millisecond))
}
