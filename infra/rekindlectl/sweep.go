package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

func (a *app) sweepCommand() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "sweep [--dry-run]", Short: "Fails the projects that have been running for too long, now; lists and shows sweeps", Args: cobra.NoArgs,
		Long: `Sweeps once, as the schedule does each hour: fails the projects that have been
running for longer than the stack's limit, stops their work, and prints the
receipt. It invokes the stack's cleanup function, so the limit is the deployed
one. An incomplete sweep ends with exit code 1; the next one goes on from there.

The receipt of each sweep, by the schedule or by hand, is kept for 90 days.`,
		RunE: a.run(func(ctx context.Context, s *stack, _ []string) error {
			r, err := s.sweep(ctx, dryRun)
			if err != nil {
				return err
			}
			err = a.printReceipt(r)
			if err == nil && !r.Complete {
				err = errors.New("the sweep is incomplete: sweep again, and see the function's log for why")
			}
			return err
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "tell what would be failed, and change nothing")
	c.AddCommand(a.sweepList(), a.sweepShow())
	return c
}

// defaultSweeps is how far back a list of sweeps goes: two days of hours.
const defaultSweeps = 48 * time.Hour

func (a *app) sweepList() *cobra.Command {
	since := span(defaultSweeps)
	failedSome := false
	c := &cobra.Command{
		Use: "list [--since DURATION] [--failed]", Short: "Lists the sweeps, newest first", Args: cobra.NoArgs,
		Long: `Lists the receipts of the sweeps of the last two days, or of up to 90 days with
--since. A sweep without an end is under way, or was cut off.`,
		Example: "  rekindlectl --local sweep list --since 7d --failed",
		RunE: a.runWithReceipts(func(ctx context.Context, db receipts, _ []string) error {
			list := []*project.SweepReceipt{}
			rows := [][]string{{"SWEEP", "BEGAN", "TOOK", "NOMINATED", "FAILED", "SKIPPED", "DRY RUN", "COMPLETE"}}
			for r, err := range db.Receipts(ctx, a.now().Add(-time.Duration(since))) {
				if err != nil {
					return err
				}
				if failedSome && (r.Failed == 0 || r.DryRun) {
					continue
				}
				list = append(list, r)
				rows = append(rows, []string{
					r.SweepID, when(r.BeganAt), took(r), fmt.Sprint(r.Nominated), fmt.Sprint(r.Failed), skipped(r), yesNo(r.DryRun), completeness(r),
				})
			}
			return a.print(list, rows)
		}),
	}
	c.Flags().Var(&since, "since", "those that began so long ago or less, such as 7d")
	c.Flags().BoolVar(&failedSome, "failed", false, "only those that failed a project")
	return c
}

func (a *app) sweepShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SWEEP", Short: "Shows the receipt of a sweep, and what it failed", Args: cobra.ExactArgs(1),
		Long: fmt.Sprintf("Shows the receipt of a sweep. It names up to %d of the executions that were failed.", project.MaxSweptListed),
		RunE: a.runWithReceipts(func(ctx context.Context, db receipts, args []string) error {
			r, err := db.GetReceipt(ctx, args[0])
			if errors.Is(err, dynamo.ErrNoReceipt) {
				return notFoundf("there is no receipt of a sweep %q: receipts are kept for 90 days", args[0])
			}
			if err != nil {
				return err
			}
			return a.printReceipt(r)
		}),
	}
}

// runWithReceipts is run for what needs the receipts alone.
func (a *app) runWithReceipts(f func(ctx context.Context, db receipts, args []string) error) func(*cobra.Command, []string) error {
	return a.run(func(ctx context.Context, s *stack, args []string) error {
		db, err := s.receipts()
		if err != nil {
			return err
		}
		return f(ctx, db, args)
	})
}

func (a *app) printReceipt(r *project.SweepReceipt) error {
	failed := "failed"
	if r.DryRun {
		failed = "would be failed"
	}
	err := a.print(r, [][]string{
		{"sweep", r.SweepID}, {"began", when(r.BeganAt)}, {"took", took(r)}, {"started before", when(r.Cutoff)},
		{"shards read", fmt.Sprint(r.Shards)}, {"pages", fmt.Sprint(r.Pages)}, {"nominated", fmt.Sprint(r.Nominated)},
		{failed, fmt.Sprint(r.Failed)}, {"skipped", skipped(r)}, {"complete", completeness(r)},
	})
	if err != nil || a.json || len(r.Executions) == 0 {
		return err
	}
	fmt.Fprintln(a.out)
	rows := [][]string{{"TENANT", "PROJECT", "EXECUTION", "STARTED", "HEARTBEAT", "REASON"}}
	for _, e := range r.Executions {
		rows = append(rows, []string{e.TenantID, e.ProjectID, number(e.ExecutionID), when(e.StartedAt), when(e.HeartbeatAt), clip(e.Reason)})
	}
	if err := a.print(r.Executions, rows); err != nil {
		return err
	}
	if more := r.Failed - len(r.Executions); more > 0 {
		fmt.Fprintf(a.out, "and %d more, which the function's log names\n", more)
	}
	return nil
}

func skipped(r *project.SweepReceipt) string {
	reasons := make([]string, 0, len(r.Skipped))
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		reasons = append(reasons, fmt.Sprintf("%d %s", r.Skipped[reason], reason))
	}
	return strings.Join(reasons, ", ")
}

// completeness of a sweep without an end is not known.
func completeness(r *project.SweepReceipt) string {
	if r.EndedAt.IsZero() {
		return "no end"
	}
	return yesNo(r.Complete)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// took is how long a sweep took; absent for one without an end.
func took(r *project.SweepReceipt) string {
	if r.EndedAt.IsZero() {
		return ""
	}
	return r.EndedAt.Sub(r.BeganAt).Round(time.Millisecond).String()
}
