package project

import (
	"strconv"
	"time"
)

// Quota is how many projects a tenant may have when it creates one.
type Quota struct {
	Limit int
	code  Code
}

// QuotaOf returns a tenant's quota, or why it may not create projects at all:
// its subscription allows no running either. A nil tenant has no subscription.
func QuotaOf(t *Tenant) (Quota, error) {
	if err := checkSubscription(t); err != nil {
		return Quota{}, err
	}
	if t.Subscription == Trialing {
		return Quota{MaxTrialProjects, CodeTrialProject}, nil
	}
	return Quota{MaxProjects, CodeProjectLimit}, nil
}

// Reached is the refusal of a project beyond the quota.
func (q Quota) Reached() error { return Refuse(q.code, Fields{"limit": q.Limit}) }

// NewProject makes a pending project of a draft that was checked, with a uid of
// its own. Its id is the slug of its name, until the store finds that taken.
func NewProject(tenantID string, d Draft, now time.Time) *Project {
	return &Project{
		Key: Key{tenantID, SlugOf(d.Name)}, UID: NewToken(), Version: 1, Status: Pending, CreatedAt: now,
		Name: d.Name, Description: d.Description, Objectives: d.Objectives,
	}
}

// MaxNamesakes is how many ids are tried for a project's name.
const MaxNamesakes = 1_000

// NumberedID returns the id of the n-th project of a name, from 1: the slug
// itself, and then slug-2, slug-3 and so on.
func NumberedID(slug string, n int) string {
	if n == 1 {
		return slug
	}
	return slug + "-" + strconv.Itoa(n)
}
