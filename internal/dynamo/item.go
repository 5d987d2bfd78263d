package dynamo

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/project"
)

// Attributes that have no [project.Field], for no transition sets them by name.
const (
	attrTenantID   = "tenant_id"
	attrProjectID  = "project_id"
	attrStatus     = "execution_status"
	attrShard      = "status_shard"
	attrAttempts   = "attempts"
	attrRunnerID   = "runner_id"
	attrRecord     = "record"
	attrTrialSlot  = "trial_slot"
	attrTokenHash  = "token_hash"
	attrLastSeen   = "last_seen"
	recordTenant   = "tenant"
	indexByStarted = "status-started-at"
)

// stampFormat is RFC 3339 in UTC with milliseconds. Its width is fixed, so that
// stamps sort as text: the sweep's index relies on it.
const stampFormat = "2006-01-02T15:04:05.000Z"

// stamp writes a time as it is stored; the zero time is the empty string, which
// is left out of the item.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stampFormat)
}

// unstamp reads any RFC 3339 time.
func unstamp(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err
}

// shardName spreads the running projects evenly over [project.Shards]
// partitions of the index: a single one would take no more than 1,000 writes a
// second.
func shardName(shard int) string { return fmt.Sprintf("running#%02d", shard) }

func shardOf(k project.Key) int {
	h := fnv.New32a()
	h.Write([]byte(k.TenantID))
	h.Write([]byte{0})
	h.Write([]byte(k.ProjectID))
	sum := h.Sum32()
	return int((sum ^ sum>>16) % project.Shards)
}

type projectItem struct {
	TenantID  string `dynamodbav:"tenant_id"`
	ProjectID string `dynamodbav:"project_id"`
	UID       string `dynamodbav:"project_uid,omitempty"`
	Version   int64  `dynamodbav:"version"`

	Name        string `dynamodbav:"name,omitempty"`
	Description string `dynamodbav:"description,omitempty"`
	Objectives  string `dynamodbav:"objectives,omitempty"`
	CreatedAt   string `dynamodbav:"created_at,omitempty"`
	WrittenBy   string `dynamodbav:"written_by,omitempty"`

	ActivationCode          string `dynamodbav:"activation_code_hash,omitempty"`
	ActivationCodeHint      string `dynamodbav:"activation_code_hint,omitempty"`
	ActivationCodeRevokedAt string `dynamodbav:"activation_code_revoked_at,omitempty"`

	Status      project.Status         `dynamodbav:"execution_status"`
	Shard       string                 `dynamodbav:"status_shard,omitempty"`
	ExecutionID int64                  `dynamodbav:"execution_id,omitempty"`
	Attempt     int                    `dynamodbav:"attempt"`
	StartedAt   string                 `dynamodbav:"execution_started_at,omitempty"`
	ClaimedAt   string                 `dynamodbav:"claimed_at,omitempty"`
	HeartbeatAt string                 `dynamodbav:"heartbeat_at,omitempty"`
	CompletedAt string                 `dynamodbav:"execution_completed_at,omitempty"`
	Error       string                 `dynamodbav:"execution_error,omitempty"`
	Output      string                 `dynamodbav:"output_folder_path,omitempty"`
	Outcome     project.Outcome        `dynamodbav:"execution_outcome,omitempty"`
	SweepID     string                 `dynamodbav:"sweep_id,omitempty"`
	Extension   int64                  `dynamodbav:"execution_extension_seconds,omitempty"`
	Progress    *progressItem          `dynamodbav:"progress,omitempty"`
	Attempts    map[string]attemptItem `dynamodbav:"attempts"`
}

type progressItem struct {
	Percent int    `dynamodbav:"percent"`
	Message string `dynamodbav:"message,omitempty"`
}

type attemptItem struct {
	Number      int             `dynamodbav:"number"`
	StartedAt   string          `dynamodbav:"started_at,omitempty"`
	ClaimedAt   string          `dynamodbav:"claimed_at,omitempty"`
	CompletedAt string          `dynamodbav:"completed_at,omitempty"`
	Outcome     project.Outcome `dynamodbav:"outcome,omitempty"`
	Error       string          `dynamodbav:"error,omitempty"`
	Output      string          `dynamodbav:"output_folder_path,omitempty"`
	Late        *lateItem       `dynamodbav:"late,omitempty"`
	HeartbeatAt string          `dynamodbav:"heartbeat_at,omitempty"`
	Extension   int64           `dynamodbav:"extension_seconds,omitempty"`
	Swept       *sweptItem      `dynamodbav:"swept,omitempty"`
	RunnerID    string          `dynamodbav:"runner_id,omitempty"`
	JobID       string          `dynamodbav:"job_id,omitempty"`
	StartedBy   string          `dynamodbav:"started_by,omitempty"`
	KeyHash     string          `dynamodbav:"key_hash,omitempty"`
	Operation   project.Event   `dynamodbav:"operation,omitempty"`
	SettledBy   string          `dynamodbav:"settled_by,omitempty"`
}

type sweptItem struct {
	SweepID string `dynamodbav:"sweep_id"`
	Cutoff  string `dynamodbav:"cutoff"`
	Silent  bool   `dynamodbav:"silent,omitempty"`
}

type lateItem struct {
	Outcome    project.Outcome `dynamodbav:"outcome"`
	Error      string          `dynamodbav:"error,omitempty"`
	ReceivedAt string          `dynamodbav:"received_at"`
}

func itemOf(p *project.Project) projectItem {
	it := projectItem{
		TenantID: p.TenantID, ProjectID: p.ProjectID, UID: p.UID, Version: p.Version,
		Name: p.Name, Description: p.Description, Objectives: p.Objectives, CreatedAt: stamp(p.CreatedAt),
		WrittenBy: p.WrittenBy, ActivationCode: p.ActivationCode, ActivationCodeHint: p.ActivationCodeHint, ActivationCodeRevokedAt: stamp(p.ActivationCodeRevokedAt),
		Status: p.Status, ExecutionID: p.ExecutionID, Attempt: p.Attempt,
		StartedAt: stamp(p.StartedAt), ClaimedAt: stamp(p.ClaimedAt), HeartbeatAt: stamp(p.HeartbeatAt),
		CompletedAt: stamp(p.CompletedAt), Error: p.Error, Output: p.Output,
		Outcome: p.Outcome, SweepID: p.SweepID, Extension: seconds(p.Extension),
		// An empty map, never an absent one: a nested SET needs its parent.
		Attempts: make(map[string]attemptItem, len(p.Attempts)),
	}
	if p.Status == project.Running {
		it.Shard = shardName(shardOf(p.Key))
	}
	if p.Progress != (project.Progress{}) {
		it.Progress = &progressItem{p.Progress.Percent, p.Progress.Message}
	}
	for id, a := range p.Attempts {
		it.Attempts[attemptKey(id)] = attemptItemOf(a)
	}
	return it
}

func attemptKey(executionID int64) string { return strconv.FormatInt(executionID, 10) }

func attemptItemOf(a project.Attempt) attemptItem {
	it := attemptItem{
		Number: a.Number, StartedAt: stamp(a.StartedAt), ClaimedAt: stamp(a.ClaimedAt), CompletedAt: stamp(a.CompletedAt),
		Outcome: a.Outcome, Error: a.Error, Output: a.Output, RunnerID: a.RunnerID, JobID: a.JobID,
		StartedBy: a.StartedBy, KeyHash: a.KeyHash, Operation: a.Operation, SettledBy: a.SettledBy,
		HeartbeatAt: stamp(a.HeartbeatAt), Extension: seconds(a.Extension),
	}
	if a.Swept != nil {
		it.Swept = sweptItemOf(a.Swept)
	}
	if a.Late != nil {
		it.Late = &lateItem{a.Late.Outcome, a.Late.Error, stamp(a.Late.ReceivedAt)}
	}
	return it
}

func sweptItemOf(s *project.Swept) *sweptItem {
	return &sweptItem{s.SweepID, stamp(s.Cutoff), s.Silent}
}

// stamps reads the times of one item and keeps the first error.
type stamps struct{ err error }

func (s *stamps) read(field, text string) time.Time {
	t, err := unstamp(text)
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("attribute %s: %w", field, err)
	}
	return t
}

func readProject(av map[string]types.AttributeValue) (*project.Project, error) {
	var it projectItem
	if err := attributevalue.UnmarshalMap(av, &it); err != nil {
		return nil, fmt.Errorf("reading a project item: %w", err)
	}
	var s stamps
	p := &project.Project{
		Key: project.Key{TenantID: it.TenantID, ProjectID: it.ProjectID}, UID: it.UID, Version: it.Version,
		Name: it.Name, Description: it.Description, Objectives: it.Objectives,
		CreatedAt: s.read("created_at", it.CreatedAt), WrittenBy: it.WrittenBy,
		ActivationCode: it.ActivationCode, ActivationCodeHint: it.ActivationCodeHint, ActivationCodeRevokedAt: s.read("activation_code_revoked_at", it.ActivationCodeRevokedAt),
		Status: it.Status, ExecutionID: it.ExecutionID, Attempt: it.Attempt,
		StartedAt: s.read("execution_started_at", it.StartedAt), ClaimedAt: s.read("claimed_at", it.ClaimedAt),
		HeartbeatAt: s.read("heartbeat_at", it.HeartbeatAt), CompletedAt: s.read("execution_completed_at", it.CompletedAt),
		Error: it.Error, Output: it.Output,
		Outcome: it.Outcome, SweepID: it.SweepID, Extension: time.Duration(it.Extension) * time.Second,
		Attempts: make(map[int64]project.Attempt, len(it.Attempts)),
	}
	if it.Progress != nil {
		p.Progress = project.Progress{Percent: it.Progress.Percent, Message: it.Progress.Message}
	}
	for key, a := range it.Attempts {
		id, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("attribute attempts: the key %q is not an execution id", key)
		}
		p.Attempts[id] = readAttempt(id, a, &s)
	}
	if s.err != nil {
		return nil, fmt.Errorf("reading project %s of tenant %s: %w", p.ProjectID, p.TenantID, s.err)
	}
	return p, nil
}

func readAttempt(id int64, a attemptItem, s *stamps) project.Attempt {
	out := project.Attempt{
		ExecutionID: id, Number: a.Number,
		StartedAt: s.read("attempts.started_at", a.StartedAt), ClaimedAt: s.read("attempts.claimed_at", a.ClaimedAt),
		CompletedAt: s.read("attempts.completed_at", a.CompletedAt),
		Outcome:     a.Outcome, Error: a.Error, Output: a.Output, RunnerID: a.RunnerID, JobID: a.JobID,
		StartedBy: a.StartedBy, KeyHash: a.KeyHash, Operation: a.Operation, SettledBy: a.SettledBy,
		HeartbeatAt: s.read("attempts.heartbeat_at", a.HeartbeatAt), Extension: time.Duration(a.Extension) * time.Second,
	}
	if a.Swept != nil {
		out.Swept = &project.Swept{SweepID: a.Swept.SweepID, Cutoff: s.read("attempts.swept.cutoff", a.Swept.Cutoff), Silent: a.Swept.Silent}
	}
	if a.Late != nil {
		out.Late = &project.Late{Outcome: a.Late.Outcome, Error: a.Late.Error, ReceivedAt: s.read("attempts.late.received_at", a.Late.ReceivedAt)}
	}
	return out
}

type tenantItem struct {
	TenantID     string               `dynamodbav:"tenant_id"`
	Record       string               `dynamodbav:"record"`
	Name         string               `dynamodbav:"name,omitempty"`
	Slug         string               `dynamodbav:"slug,omitempty"`
	Email        string               `dynamodbav:"email,omitempty"`
	Subscription project.Subscription `dynamodbav:"subscription_state,omitempty"`
	TrialSlot    *slotItem            `dynamodbav:"trial_slot,omitempty"`
	CountEpoch   int64                `dynamodbav:"count_epoch,omitempty"`
	CreatedBy    string               `dynamodbav:"created_by,omitempty"` // random: tells a put's own item from another's
}

type slotItem struct {
	ProjectID   string `dynamodbav:"project_id"`
	ProjectUID  string `dynamodbav:"project_uid"`
	ExecutionID int64  `dynamodbav:"execution_id"`
	Token       string `dynamodbav:"token"`
}

func readTenant(av map[string]types.AttributeValue) (*project.Tenant, error) {
	var it tenantItem
	if err := attributevalue.UnmarshalMap(av, &it); err != nil {
		return nil, fmt.Errorf("reading a tenant item: %w", err)
	}
	t := &project.Tenant{ID: it.TenantID, Name: it.Name, Slug: it.Slug, Email: it.Email, Subscription: it.Subscription, CountEpoch: it.CountEpoch}
	if it.TrialSlot != nil {
		slot := project.TrialSlot(*it.TrialSlot)
		t.TrialSlot = &slot
	}
	return t, nil
}

type sessionItem struct {
	TokenHash string `dynamodbav:"token_hash"`
	TenantID  string `dynamodbav:"tenant_id"`
	ExpiresAt string `dynamodbav:"expires_at"`
	LastSeen  string `dynamodbav:"last_seen"`
	TTL       int64  `dynamodbav:"ttl"` // when DynamoDB may delete the item, in seconds since 1970
}

func sessionItemOf(sess *project.Session) sessionItem {
	return sessionItem{
		TokenHash: sess.TokenHash, TenantID: sess.TenantID,
		ExpiresAt: stamp(sess.ExpiresAt), LastSeen: stamp(sess.LastSeen), TTL: sess.ExpiresAt.Unix(),
	}
}

func readSession(av map[string]types.AttributeValue) (*project.Session, error) {
	var it sessionItem
	if err := attributevalue.UnmarshalMap(av, &it); err != nil {
		return nil, fmt.Errorf("reading a session item: %w", err)
	}
	var s stamps
	sess := &project.Session{
		TokenHash: it.TokenHash, TenantID: it.TenantID,
		ExpiresAt: s.read("expires_at", it.ExpiresAt), LastSeen: s.read("last_seen", it.LastSeen),
	}
	if s.err != nil {
		return nil, fmt.Errorf("reading a session item: %w", s.err)
	}
	return sess, nil
}
