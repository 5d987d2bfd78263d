package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rekindle/internal/telemetry/emftest"
)

// counted are metrics that the journey makes some function count: all but those
// of faults that it does not have.
var counted = []string{
	"Started", "Restarted", "Refused", "Completed", "Failed", "Failed Reason=launch_refused", "Failed Reason=reported", "Failed Reason=cancelled", "Failed Reason=swept",
	"Failed Reason=engine", "LaunchFailures", "LateResults", "WaitToClaim", "SweepEnded", "SweepIncomplete", "Swept", "OldestRunningAge",
}

// watch reads what the deployed functions wrote to their log groups, as CloudWatch
// reads it: metrics that are well formed and in the stack's namespace, and lines
// that say which request they belong to.
func (r *rehearsal) watch(ctx context.Context) error {
	groups := map[string]string{}
	for _, f := range ofType(r.template, "AWS::Lambda::Function") {
		group, _ := at(properties(r.template, f), "LoggingConfig", "LogGroup", "Ref").(string)
		groups[r.stack.Resources[group].ID] = f
	}
	plan, err := json.Marshal(map[string]any{
		"endpoint": r.cloud.emulator.String(), "region": region, "access_key": accessKey, "groups": slices.Sorted(maps.Keys(groups)),
	})
	if err != nil {
		return err
	}
	out, err := r.stackPy(ctx, plan, "logs")
	if err != nil {
		return fmt.Errorf("reading the functions' logs: %w", err)
	}
	var messages map[string][]string
	if err := json.Unmarshal(out, &messages); err != nil {
		return fmt.Errorf("reading the functions' logs: %w", err)
	}
	c := &checks{}
	lines, sums := 0, map[string]float64{}
	for group, f := range groups {
		own := 0
		for _, message := range messages[group] {
			for line := range strings.Lines(message) {
				if !strings.HasPrefix(line, "{") {
					continue // the emulator's own
				}
				own++
				var entry struct {
					Msg       string `json:"msg"`
					RequestID string `json:"request_id"`
				}
				err := json.Unmarshal([]byte(line), &entry)
				c.that(err == nil && entry.Msg != "" && entry.RequestID != "", "%s wrote a line that does not say what it is and of which request: %.300s", f, line)
				found, err := emftest.Line([]byte(line))
				c.that(err == nil, "%s wrote metrics that CloudWatch would not read: %v: %.300s", f, err, line)
				for _, m := range found {
					c.that(m.Namespace == "Rekindle/"+stackName, "%s counts %s in %s, and the alarms watch Rekindle/%s", f, m.Name, m.Namespace, stackName)
					sums[strings.TrimSpace(m.Name+" "+m.Dimensions)]++
				}
			}
		}
		c.that(own > 0, "%s has written nothing to %s", f, group)
		lines += own
	}
	for _, name := range counted {
		c.that(sums[name] > 0, "nothing has counted %s: see infra/rehearse/journey.go for what should have", name)
	}
	r.problems = append(r.problems, c.problems...)
	r.say("the functions' logs are read as CloudWatch does: %d lines, %d metrics, %d assertions, %d failed", lines, len(sums), c.count, len(c.problems))
	return nil
}
