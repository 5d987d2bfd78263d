package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) sweepCommand() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "sweep [--dry-run]", Short: "Fails the projects that have been running for too long, now", Args: cobra.NoArgs,
		Long: `Sweeps once, as the schedule does each hour: fails the projects that have been
running for longer than the stack's limit, stops their work, and prints the
receipt. It invokes the stack's cleanup function, so the limit is the deployed
one. An incomplete sweep ends with exit code 1; the next one goes on from there.`,
		RunE: a.run(func(ctx context.Context, s *stack, _ []string) error {
			r, err := s.sweep(ctx, dryRun)
			if err != nil {
				return err
			}
			failed := "failed"
			if r.DryRun {
				failed = "would be failed"
			}
			skipped := make([]string, 0, len(r.Skipped))
			for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
				skipped = append(skipped, fmt.Sprintf("%d %s", r.Skipped[reason], reason))
			}
			err = a.print(r, [][]string{
				{"sweep", r.SweepID}, {"started before", when(r.Cutoff)}, {"shards read", fmt.Sprint(r.Shards)},
				{"pages", fmt.Sprint(r.Pages)}, {"nominated", fmt.Sprint(r.Nominated)}, {failed, fmt.Sprint(r.Failed)},
				{"skipped", strings.Join(skipped, ", ")}, {"complete", map[bool]string{true: "yes", false: "no"}[r.Complete]},
			})
			if err == nil && !r.Complete {
				err = errors.New("the sweep is incomplete: sweep again, and see the function's log for why")
			}
			return err
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "tell what would be failed, and change nothing")
	return c
}
