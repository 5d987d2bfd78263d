package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"
)

// tokenHash is what is stored of a session's token.
var tokenHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (a *app) sessionCommand() *cobra.Command {
	return a.group("session", "Ends sessions", a.sessionRevoke())
}

func (a *app) sessionRevoke() *cobra.Command {
	var tenant, hash string
	c := &cobra.Command{
		Use: "revoke (--tenant ID | --token-hash HASH)", Short: "Ends all sessions of a tenant, or one session, at once", Args: cobra.NoArgs,
		Long: `Ends all sessions of a tenant, or the one session whose token has a hash. Their
tokens are dead at once. All of a tenant's are found by reading the whole table
of sessions.

The hash of a token is its SHA-256 in hex:
  printf %s "$TOKEN" | sha256sum`,
		RunE: a.runWithStore(func(ctx context.Context, db store, _ []string) error {
			if hash != "" {
				if !tokenHash.MatchString(hash) {
					// What was given may be the token itself: it is not repeated.
					return usagef("--token-hash: the SHA-256 of a token is 64 digits of 0-9 and a-f")
				}
				there, err := db.RevokeSession(ctx, hash)
				if err == nil && !there {
					err = notFoundf("there is no session with this hash")
				}
				if err != nil {
					return err
				}
				return a.printRevoked(1)
			}
			if _, err := db.GetTenant(ctx, tenant); err != nil {
				return noTenant(err, tenant)
			}
			n, err := db.RevokeSessions(ctx, tenant)
			if err != nil {
				return fmt.Errorf("%s revoked: %w", count(n, "session"), err)
			}
			return a.printRevoked(n)
		}),
	}
	c.Flags().StringVar(&tenant, "tenant", "", "all sessions of this tenant")
	c.Flags().StringVar(&hash, "token-hash", "", "the session whose token has this hash")
	c.MarkFlagsMutuallyExclusive("tenant", "token-hash")
	c.MarkFlagsOneRequired("tenant", "token-hash")
	return c
}

func (a *app) printRevoked(n int) error {
	return a.print(map[string]int{"revoked": n}, [][]string{{count(n, "session") + " revoked"}})
}
