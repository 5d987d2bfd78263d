package settings_test

import (
	"strings"
	"testing"
)

func TestMetricsNamespaceIsWhatCloudWatchTakes(t *testing.T) {
	for value, ok := range map[string]bool{
		"": true, "Rekindle/rekindle-prod": true, strings.Repeat("n", 255): true,
		strings.Repeat("n", 256): false, ":n": false, "a b": false, "AWS/Lambda": false, "Rekindle/${AWS::StackName}": false,
	} {
		r := from(map[string]string{"METRICS_NAMESPACE": value})
		if got := r.MetricsNamespace(); got != value {
			t.Errorf("METRICS_NAMESPACE=%q: got %q", value, got)
		}
		if err := r.Err(); (err == nil) != ok {
			t.Errorf("METRICS_NAMESPACE=%q: got the problem %v, want it good: %t", value, err, ok)
		}
	}
	if got := from(nil).MetricsNamespace(); got != "" {
		t.Errorf("unset: got %q, want none", got)
	}
}
