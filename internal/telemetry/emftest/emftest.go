// Package emftest reads the metrics out of a log as CloudWatch does. It is for
// tests alone.
package emftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Metric is one value that CloudWatch reads out of a line, for one set of
// dimensions.
type Metric struct {
	Namespace, Name, Unit string
	Dimensions            string // "Reason=swept", sorted; empty for none
	Value                 float64
}

// Read returns the metrics of a log with one JSON object a line. A line that
// CloudWatch would not read as it is meant fails the test.
func Read(t testing.TB, log string) []Metric {
	t.Helper()
	var all []Metric
	for line := range strings.Lines(log) {
		found, err := Line([]byte(line))
		if err != nil {
			t.Errorf("%v in the line %s", err, line)
		}
		all = append(all, found...)
	}
	return all
}

// Count adds up the values of a log's metrics without dimensions under their
// names, and of the others under names such as "Failed Reason=swept".
func Count(t testing.TB, log string) map[string]float64 {
	t.Helper()
	sums := map[string]float64{}
	for _, m := range Read(t, log) {
		sums[strings.TrimSpace(m.Name+" "+m.Dimensions)] += m.Value
	}
	return sums
}

// units are CloudWatch's (MetricDatum in its API reference).
var units = strings.Fields(`Seconds Microseconds Milliseconds Bytes Kilobytes Megabytes Gigabytes Terabytes Bits Kilobits
	Megabits Gigabits Terabits Percent Count Bytes/Second Kilobytes/Second Megabytes/Second Gigabytes/Second Terabytes/Second
	Bits/Second Kilobits/Second Megabits/Second Gigabits/Second Terabits/Second Count/Second None`)

// Line reads one line, and holds it against "Specification: Embedded metric
// format" of CloudWatch's user guide. A line without _aws has no metrics.
func Line(line []byte) ([]Metric, error) {
	if len(line) > 1<<20 {
		return nil, errors.New("the line is longer than 1 MiB")
	}
	root := map[string]json.RawMessage{}
	if err := decodeStrictly(line, &root); err != nil {
		return nil, fmt.Errorf("the line is no JSON object: %w", err)
	}
	meta, has := root["_aws"]
	if !has {
		return nil, nil
	}
	var aws struct {
		Timestamp         *int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	}
	if err := decodeStrictly(meta, &aws); err != nil {
		return nil, fmt.Errorf("_aws: %w", err)
	}
	if aws.Timestamp == nil || *aws.Timestamp < 1e12 || *aws.Timestamp > 1e13 {
		return nil, errors.New("_aws.Timestamp is no number of milliseconds of our days")
	}
	if len(aws.CloudWatchMetrics) == 0 {
		return nil, errors.New("_aws.CloudWatchMetrics is empty")
	}
	var all []Metric
	for _, d := range aws.CloudWatchMetrics {
		if d.Namespace == "" || len(d.Namespace) > 255 || strings.HasPrefix(d.Namespace, ":") || strings.HasPrefix(d.Namespace, "AWS/") {
			return nil, fmt.Errorf("the namespace is %q", d.Namespace)
		}
		if len(d.Dimensions) == 0 || len(d.Metrics) == 0 || len(d.Metrics) > 100 {
			return nil, fmt.Errorf("a directive has %d sets of dimensions and %d metrics", len(d.Dimensions), len(d.Metrics))
		}
		for _, set := range d.Dimensions {
			if len(set) > 30 {
				return nil, fmt.Errorf("a set has %d dimensions", len(set))
			}
			values := map[string]string{}
			for _, name := range set {
				var value string
				if err := json.Unmarshal(root[name], &value); err != nil || value == "" || len(value) > 1024 || name == "" || len(name) > 255 {
					return nil, fmt.Errorf("the dimension %q has the value %s at the root", name, root[name])
				}
				values[name] = value
			}
			if len(values) != len(set) {
				return nil, fmt.Errorf("the dimensions %v are not all different", set)
			}
			for _, m := range d.Metrics {
				var value float64
				if err := json.Unmarshal(root[m.Name], &value); err != nil || m.Name == "" || len(m.Name) > 255 {
					return nil, fmt.Errorf("the metric %q has the value %s at the root", m.Name, root[m.Name])
				}
				if !slices.Contains(units, m.Unit) {
					return nil, fmt.Errorf("the metric %q has the unit %q", m.Name, m.Unit)
				}
				dimensions := make([]string, 0, len(values))
				for _, name := range slices.Sorted(maps.Keys(values)) {
					dimensions = append(dimensions, name+"="+values[name])
				}
				all = append(all, Metric{d.Namespace, m.Name, m.Unit, strings.Join(dimensions, " "), value})
			}
		}
	}
	return all, nil
}

// decodeStrictly takes one value alone, without unknown members, and for a
// mapping without a member that stands in it twice.
func decodeStrictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	root, is := into.(*map[string]json.RawMessage)
	if !is {
		return nil
	}
	// Which of two members counts, nobody says.
	members := 0
	d = json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		if _, err := d.Token(); err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		members++
	}
	if members != len(*root) {
		return errors.New("a member stands in it twice")
	}
	return nil
}
