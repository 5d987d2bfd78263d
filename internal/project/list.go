package project

import "time"

// Listing says which of a tenant's projects are wanted, and of each what.
type Listing struct {
	TenantID string
	After    Position // the zero one is the beginning
	Status   Status   // [None]: any
	Texts    bool     // the objectives too
	PageSize int      // how many are read at once; 0: as many as fit
}

// Position is a project's place in the list of a tenant's projects by age.
type Position struct {
	CreatedAt time.Time
	ProjectID string
}
