package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// The exit codes.
const (
	exitDone     = 0
	exitFailed   = 1 // refused, or something went wrong
	exitUsage    = 2 // the command line is not one that is understood
	exitNotFound = 3 // what the command names is not there
)

const rootHelp = `Looks after the tenants, activation codes, projects and sessions of Rekindle.

Say where, with every command. On this machine, beside a running "make run":

  rekindlectl --local tenant list            its data in .local
  rekindlectl --local=FOLDER tenant list     its data elsewhere

In an AWS account, with your own profile or single sign-on (the SDK's usual
settings; --profile and --region override them), and the names of the stack's
resources from flags, the environment, or a file of NAME=value lines that
--env-file names:

  PROJECTS_TABLE, TENANTS_TABLE, SESSIONS_TABLE
      aws cloudformation describe-stacks --stack-name STACK \
        --query 'Stacks[0].Outputs' --output table
  SWEEPS_TABLE, for sweep list and sweep show: from the same command
  CLEANUP_FUNCTION, for sweep: its name, and ":live" for the version that serves
      aws cloudformation describe-stack-resource --stack-name STACK \
        --logical-resource-id CleanupFunction \
        --query StackResourceDetail.PhysicalResourceId --output text
  HASHING_SECRET, to issue a code, and to revoke one by the code itself. It is
  taken from the environment or the file alone, and never shown:
      export HASHING_SECRET="$(aws secretsmanager get-secret-value --secret-id \
        "$(aws cloudformation describe-stack-resource --stack-name STACK \
          --logical-resource-id HashingSecret \
          --query StackResourceDetail.PhysicalResourceId --output text)" \
        --query SecretString --output text)"

Exit codes: 0 done; 1 refused or failed; 2 the command line is wrong; 3 what the
command names is not there.

No secret is ever printed, but the activation codes that were just issued: they
are shown once, and only their keyed hashes are kept.`

// store is what the commands need of the store. The methods are documented at
// dynamo.Store.
type store interface {
	PutTenant(ctx context.Context, t *project.Tenant) (bool, error)
	GetTenant(ctx context.Context, tenantID string) (*project.Tenant, error)
	ListTenants(ctx context.Context) iter.Seq2[*project.Tenant, error]
	SetSubscription(ctx context.Context, tenantID string, state project.Subscription) (*project.Tenant, error)
	IssueCode(ctx context.Context, c project.ActivationCode) error
	GetCode(ctx context.Context, hash string) (*project.ActivationCode, error)
	ListCodes(ctx context.Context) iter.Seq2[project.ActivationCode, error]
	RevokeCode(ctx context.Context, hash string, now time.Time) error
	Get(ctx context.Context, key project.Key) (*project.Project, error)
	ListProjects(ctx context.Context, sel dynamo.Selection) iter.Seq2[*project.Project, error]
	RevokeSessions(ctx context.Context, tenantID string) (int, error)
	RevokeSession(ctx context.Context, tokenHash string) (bool, error)
}

// receipts is what the commands need of the receipts of sweeps. The methods are
// documented at dynamo.Store.
type receipts interface {
	GetReceipt(ctx context.Context, sweepID string) (*project.SweepReceipt, error)
	Receipts(ctx context.Context, after time.Time) iter.Seq2[*project.SweepReceipt, error]
}

// stack is what the commands act on. Each part is made when a command first
// needs it, so that none asks for settings that it does without.
type stack struct {
	store    func() (store, error)
	receipts func() (receipts, error)
	hasher   func() (*project.Hasher, error)
	sweep    func(ctx context.Context, dryRun bool) (*project.SweepReceipt, error)
}

// app is one run of the command line.
type app struct {
	out, err io.Writer
	now      func() time.Time
	lookup   func(string) (string, bool) // the environment
	connect  func(context.Context) (*stack, error)

	target  target
	json    bool
	entered bool // a command has begun: its command line was understood
}

// usageError is a command line that cobra accepts and the command does not.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// notFound is something that the command names and that is not there.
type notFound struct{ error }

func notFoundf(format string, args ...any) error { return notFound{fmt.Errorf(format, args...)} }

// execute runs a command line and returns the exit code. An error is one line
// on the error output.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(a.err, "rekindlectl: "+oneLine(explain(err)))
	var (
		usage  usageError
		absent notFound
	)
	switch {
	case !a.entered || errors.As(err, &usage):
		fmt.Fprintf(a.err, "See %s --help\n", ran.CommandPath())
		return exitUsage
	case errors.As(err, &absent):
		return exitNotFound
	}
	return exitFailed
}

// explain says what went wrong, to an operator: with the cause, which a tenant
// is not shown.
func explain(err error) string {
	var e *project.Error
	if errors.As(err, &e) && e.Err != nil {
		return err.Error() + " (" + e.Err.Error() + ")"
	}
	return err.Error()
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "rekindlectl",
		Short:         "Looks after the tenants, codes, projects and sessions of Rekindle",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print JSON in a table's place")
	flags.StringVar(&a.target.local, "local", "", "the stack on this machine, by its data `folder` (--local alone: .local)")
	flags.Lookup("local").NoOptDefVal = defaultData
	flags.StringVar(&a.target.envFile, "env-file", "", "`file` of settings; the environment comes before it")
	flags.StringVar(&a.target.profile, "profile", "", "AWS profile")
	flags.StringVar(&a.target.region, "region", "", "AWS region")
	flags.StringVar(&a.target.projects, "projects-table", "", "in place of PROJECTS_TABLE")
	flags.StringVar(&a.target.tenants, "tenants-table", "", "in place of TENANTS_TABLE")
	flags.StringVar(&a.target.sessions, "sessions-table", "", "in place of SESSIONS_TABLE")
	flags.StringVar(&a.target.sweeps, "sweeps-table", "", "in place of SWEEPS_TABLE")
	flags.StringVar(&a.target.cleanup, "cleanup-function", "", "in place of CLEANUP_FUNCTION")
	for _, other := range []string{"env-file", "profile", "region", "projects-table", "tenants-table", "sessions-table", "sweeps-table", "cleanup-function"} {
		root.MarkFlagsMutuallyExclusive("local", other)
	}
	root.AddCommand(a.tenantCommand(), a.codeCommand(), a.projectCommand(), a.sweepCommand(), a.sessionCommand())
	return root
}

// group is a command that only has others.
func (a *app) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			names := make([]string, 0, len(commands))
			for _, sub := range commands {
				names = append(names, sub.Name())
			}
			return usagef("say which: %s", enumeration(names))
		},
	}
	c.AddCommand(commands...)
	return c
}

// run makes what cobra calls of a command's own function.
func (a *app) run(f func(ctx context.Context, s *stack, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		a.entered = true
		s, err := a.connect(c.Context())
		if err != nil {
			return err
		}
		return f(c.Context(), s, args)
	}
}

// runWithStore is run for what needs the store alone.
func (a *app) runWithStore(f func(ctx context.Context, db store, args []string) error) func(*cobra.Command, []string) error {
	return a.run(func(ctx context.Context, s *stack, args []string) error {
		db, err := s.store()
		if err != nil {
			return err
		}
		return f(ctx, db, args)
	})
}

// must is for what only a mistake in this program breaks.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
