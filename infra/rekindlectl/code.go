package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rekindle/internal/project"
)

// maxIssue is how many codes are issued at once, at most.
const maxIssue = 1000

// codeView is an activation code as it is printed.
type codeView struct {
	Code      string    `json:"code,omitempty"` // just issued: nobody can show it again
	Hash      string    `json:"hash"`
	Hint      string    `json:"hint"`  // the code's last group
	State     string    `json:"state"` // unused, used, expired or revoked
	IssuedAt  time.Time `json:"issued_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	UsedAt    time.Time `json:"used_at,omitzero"`
	UsedBy    *keyView  `json:"used_by,omitempty"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

type keyView struct {
	TenantID  string `json:"tenant_id"`
	ProjectID string `json:"project_id"`
}

func viewCode(c project.ActivationCode, now time.Time) codeView {
	v := codeView{
		Hash: c.Hash, Hint: c.Hint, State: "unused",
		IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, UsedAt: c.UsedAt, RevokedAt: c.RevokedAt,
	}
	used := c.UsedBy != project.Key{}
	if used {
		v.UsedBy = &keyView{c.UsedBy.TenantID, c.UsedBy.ProjectID}
	}
	switch {
	case !c.RevokedAt.IsZero():
		v.State = "revoked"
	case used: // its expiry does not matter any more
		v.State = "used"
	case c.Check(now) != nil:
		v.State = "expired"
	}
	return v
}

// hashPrefix is how much of a hash a table shows, and the least that names a
// code.
const hashPrefix = 12

func (a *app) codeCommand() *cobra.Command {
	return a.group("code", "Issues, lists and revokes activation codes", a.codeIssue(), a.codeList(), a.codeRevoke())
}

func (a *app) codeIssue() *cobra.Command {
	n, expires := 1, span(720*time.Hour)
	c := &cobra.Command{
		Use: "issue [--count N] [--expires DURATION]", Short: "Issues activation codes, and shows them once", Args: cobra.NoArgs,
		Long: `Issues activation codes, each good for one project. They are shown now and never
again. --expires limits when a code can be assigned, not how long the project
that has it may run.`,
		RunE: a.run(func(ctx context.Context, s *stack, _ []string) error {
			if n < 1 || n > maxIssue {
				return usagef("--count is a number from 1 to %d; it is %d", maxIssue, n)
			}
			db, err := s.store()
			if err != nil {
				return err
			}
			hasher, err := s.hasher()
			if err != nil {
				return err
			}
			now := a.now().UTC().Truncate(time.Millisecond) // as it is kept
			issued, rows := []codeView{}, [][]string{{"CODE", "EXPIRES"}}
			for range n {
				code := project.NewActivationCode()
				c := project.ActivationCode{
					Hash: hasher.Hash(project.KindActivation, code), Hint: code[strings.LastIndexByte(code, '-')+1:],
					IssuedAt: now, ExpiresAt: now.Add(time.Duration(expires)),
				}
				if err = db.IssueCode(ctx, c); err != nil {
					err = fmt.Errorf("%d of %s issued: %w", len(issued), count(n, "code"), err)
					break
				}
				v := viewCode(c, now)
				v.Code = code
				issued = append(issued, v)
				rows = append(rows, []string{code, when(c.ExpiresAt)})
			}
			if len(issued) == 0 {
				return err
			}
			// Those that were issued before a fault are good, and nobody can
			// show them again.
			return errors.Join(err, a.print(issued, rows))
		}),
	}
	c.Flags().IntVar(&n, "count", n, "how many")
	c.Flags().Var(&expires, "expires", "how long from now they can be assigned")
	return c
}

func (a *app) codeList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Lists the activation codes, oldest first", Args: cobra.NoArgs,
		Long: `Lists the activation codes, oldest first. HINT is a code's last group, HASH the
beginning of its keyed hash. It reads the whole table of tenants and codes.`,
		RunE: a.runWithStore(func(ctx context.Context, db store, _ []string) error {
			views, now := []codeView{}, a.now()
			for c, err := range db.ListCodes(ctx) {
				if err != nil {
					return err
				}
				views = append(views, viewCode(c, now))
			}
			slices.SortFunc(views, func(x, y codeView) int {
				return cmp.Or(x.IssuedAt.Compare(y.IssuedAt), cmp.Compare(x.Hash, y.Hash))
			})
			rows := [][]string{{"HINT", "STATE", "ISSUED", "EXPIRES", "USED BY", "HASH"}}
			for _, v := range views {
				by := ""
				if v.UsedBy != nil {
					by = v.UsedBy.TenantID + "/" + v.UsedBy.ProjectID
				}
				rows = append(rows, []string{v.Hint, v.State, when(v.IssuedAt), when(v.ExpiresAt), by, v.Hash[:min(len(v.Hash), hashPrefix)]})
			}
			return a.print(views, rows)
		}),
	}
}

// codeHash is the keyed hash of a code, or its beginning.
var codeHash = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

const fullHash = 64

func (a *app) codeRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke CODE|HASH", Short: "Revokes an activation code, and with it the project's right to run", Args: cobra.ExactArgs(1),
		Long: `Revokes an activation code for good. Where a project has it, the project can't be
run any more until it is given another; what is running goes on. Name the code
itself, or its hash as "code list" shows it.`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.run(func(ctx context.Context, s *stack, args []string) error {
			db, err := s.store()
			if err != nil {
				return err
			}
			hash, err := a.hashOf(ctx, s, db, args[0])
			if err != nil {
				return err
			}
			now := a.now().UTC()
			if err := db.RevokeCode(ctx, hash, now); err != nil {
				return noCode(err)
			}
			c, err := db.GetCode(ctx, hash)
			if err != nil {
				return noCode(err)
			}
			v := viewCode(*c, now)
			rows := [][]string{{"hint", v.Hint}, {"state", v.State}, {"revoked", when(v.RevokedAt)}}
			if v.UsedBy != nil {
				rows = append(rows, []string{"used by", v.UsedBy.TenantID + "/" + v.UsedBy.ProjectID})
			}
			return a.print(v, rows)
		}),
	}
}

func noCode(err error) error {
	if project.CodeOf(err) == project.CodeActivationUnknown {
		return notFound{err}
	}
	return err
}

// hashOf returns the hash of what an operator names: a code, a hash, or the
// beginning of one code's hash alone.
func (a *app) hashOf(ctx context.Context, s *stack, db store, named string) (string, error) {
	if !codeHash.MatchString(named) {
		code, err := project.ReadActivationCode(named)
		if err != nil {
			return "", usagef("that is neither an activation code, which reads XXXX-XXXX-XXXX-XXXX, nor a hash of %d to %d digits", hashPrefix, fullHash)
		}
		hasher, err := s.hasher()
		if err != nil {
			return "", err
		}
		return hasher.Hash(project.KindActivation, code), nil
	}
	if len(named) == fullHash {
		return named, nil
	}
	var found []string
	for c, err := range db.ListCodes(ctx) {
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(c.Hash, named) {
			found = append(found, c.Hash)
		}
	}
	switch len(found) {
	case 0:
		return "", notFoundf("there is no activation code whose hash begins with %s", named)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d activation codes have hashes that begin with %s: give more of it", len(found), named)
}
