package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// metric is one figure of a row. Its unit is written as Go's benchmark format
// wants it, so that benchstat knows it: "ns/op", "allocs/op", "B/op", "p50-ns",
// "calls/op", "projects/s". Times are always in nanoseconds and sizes in bytes
// (units that end in "ns", "ns/op", "bytes", "B/op"); the table writes them
// readably.
type metric struct {
	Value float64
	Unit  string
}

// row is what was measured of one thing.
type row struct {
	Section string // the section's name; set by whoever runs it
	Name    string // lower case, parts by "/": "restart/trial", "stuck=1000/healthy=10000"
	N       int    // how many were measured
	Metrics []metric
}

// get returns the figure of a unit.
func (r row) get(unit string) (float64, bool) {
	for _, m := range r.Metrics {
		if m.Unit == unit {
			return m.Value, true
		}
	}
	return 0, false
}

// nanoseconds is a duration's metric.
func nanoseconds(d time.Duration, unit string) metric {
	return metric{float64(d.Nanoseconds()), unit}
}

// merge joins the rows of the same thing that several rounds measured: each
// figure is its median, N their sum.
func merge(rows []row) []row {
	type name struct{ section, name string }
	var order []name
	all := map[name][]row{}
	for _, r := range rows {
		k := name{r.Section, r.Name}
		if all[k] == nil {
			order = append(order, k)
		}
		all[k] = append(all[k], r)
	}
	var merged []row
	for _, k := range order {
		of := all[k]
		m := row{Section: k.section, Name: k.name}
		values := map[string][]float64{}
		var units []string
		for _, r := range of {
			m.N += r.N
			for _, one := range r.Metrics {
				if values[one.Unit] == nil {
					units = append(units, one.Unit)
				}
				values[one.Unit] = append(values[one.Unit], one.Value)
			}
		}
		for _, u := range units {
			m.Metrics = append(m.Metrics, metric{median(values[u]), u})
		}
		merged = append(merged, m)
	}
	return merged
}

// median of some values; the mean of the middle two where they are even.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile returns the value that a share q (0 to 1) of the sorted values do
// not exceed: the nearest rank, a value that was measured.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// unitsOf returns the units of rows, in the order in which they come first.
func unitsOf(rows []row) []string {
	var units []string
	for _, r := range rows {
		for _, m := range r.Metrics {
			if !slices.Contains(units, m.Unit) {
				units = append(units, m.Unit)
			}
		}
	}
	return units
}

// cells are the lines of a section's table, the heading first.
func cells(rows []row) [][]string {
	units := unitsOf(rows)
	lines := [][]string{append([]string{"", "n"}, units...)}
	for i, u := range units {
		lines[0][i+2] = heading(u)
	}
	for _, r := range rows {
		line := []string{r.Name, thousands(float64(r.N))}
		for _, u := range units {
			if v, ok := r.get(u); ok {
				line = append(line, readable(v, u))
			} else {
				line = append(line, "-")
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// heading is a unit as a table's column is named: times and sizes are written
// with their own unit in each cell.
func heading(unit string) string {
	switch unit {
	case "ns/op":
		return "time/op"
	case "B/op":
		return "memory/op"
	case "bytes":
		return "size"
	}
	return strings.TrimSuffix(strings.TrimSuffix(unit, "-ns"), "-bytes")
}

// readable writes a figure for a reader: times with a unit that fits, sizes in
// bytes, KB (1,000) or MB, and others with as many decimals as they need.
func readable(v float64, unit string) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case unit == "ns/op" || unit == "ns" || strings.HasSuffix(unit, "-ns"):
		return duration(v)
	case unit == "B/op" || unit == "bytes" || strings.HasSuffix(unit, "-bytes"):
		return size(v)
	case unit == goalMissed:
		if v > 0 {
			return "yes"
		}
		return "no"
	}
	return thousands(v)
}

// duration writes nanoseconds with three digits.
func duration(ns float64) string {
	switch {
	case ns < 1e3:
		return digits(ns) + " ns"
	case ns < 1e6:
		return digits(ns/1e3) + " µs"
	case ns < 1e9:
		return digits(ns/1e6) + " ms"
	}
	return digits(ns/1e9) + " s"
}

func size(bytes float64) string {
	switch {
	case bytes < 1e4:
		return thousands(bytes) + " B"
	case bytes < 1e6:
		return digits(bytes/1e3) + " KB"
	}
	return digits(bytes/1e6) + " MB"
}

// digits writes a positive number with three digits, or all before its point.
func digits(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// thousands writes a number with commas: a count as it is, and what is no whole
// number with two decimals, or none from a hundred on.
func thousands(v float64) string {
	decimals := 0
	if v != math.Trunc(v) && math.Abs(v) < 100 {
		decimals = 2
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, rest, _ := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return sign + whole
}

// report is all that a run measured.
type report struct {
	machine machine
	ran     []section           // in order
	rows    []row               // of all rounds
	notes   map[string][]string // by section
}

// of returns the rows of a section, one for each thing.
func (r *report) of(section string) []row {
	var rows []row
	for _, one := range r.rows {
		if one.Section == section {
			rows = append(rows, one)
		}
	}
	return merge(rows)
}

// print writes the table for people.
func (r *report) print(w io.Writer) error {
	for _, line := range r.machine.lines() {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	for _, s := range r.ran {
		rows := r.of(s.name)
		if len(rows) == 0 {
			continue // it failed, or its turn did not come
		}
		if _, err := fmt.Fprintf(w, "\n%s: %s\n", strings.ToUpper(s.name), s.title); err != nil {
			return err
		}
		tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, line := range aligned(cells(rows)) {
			fmt.Fprintln(tab, line)
		}
		if err := tab.Flush(); err != nil {
			return err
		}
		for _, note := range r.notes[s.name] {
			if _, err := fmt.Fprintln(w, "  * "+wrapped(note, noteWidth, "    ")); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteWidth is how many characters a line of a note has.
const noteWidth = 110

// wrapped breaks a text into lines of so many characters, where it has spaces.
// All but the first are indented.
func wrapped(text string, width int, indent string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// aligned joins the cells of lines for a tabwriter that aligns to the right: the
// first column is padded here, to the left.
func aligned(lines [][]string) []string {
	width := 0
	for _, line := range lines {
		width = max(width, len([]rune(line[0])))
	}
	var out []string
	for _, line := range lines {
		name := line[0] + strings.Repeat(" ", width-len([]rune(line[0])))
		out = append(out, strings.Join(append([]string{name}, line[1:]...), "\t")+"\t")
	}
	return out
}

// markdown writes the same for a document.
func (r *report) markdown(w io.Writer) error {
	for _, line := range r.machine.lines() {
		if _, err := fmt.Fprintln(w, line+"  "); err != nil { // two spaces end a line
			return err
		}
	}
	for _, s := range r.ran {
		lines := cells(r.of(s.name))
		if _, err := fmt.Fprintf(w, "\n### %s\n\n| %s |\n|---%s\n", s.title, strings.Join(lines[0], " | "), strings.Repeat("|--:", len(lines[0])-1)+"|"); err != nil {
			return err
		}
		for _, line := range lines[1:] {
			if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(line, " | ")); err != nil {
				return err
			}
		}
		if len(r.notes[s.name]) > 0 {
			fmt.Fprintln(w)
		}
		for _, note := range r.notes[s.name] {
			if _, err := fmt.Fprintln(w, "- "+note); err != nil {
				return err
			}
		}
	}
	return nil
}

// benchstat writes the rows in Go's benchmark format, a line a round, for
// golang.org/x/perf/cmd/benchstat.
func (r *report) benchstat(w io.Writer) error {
	for _, key := range []string{"goos", "goarch", "pkg", "cpu"} {
		if _, err := fmt.Fprintf(w, "%s: %s\n", key, r.machine.config()[key]); err != nil {
			return err
		}
	}
	// What is better when it is more, benchstat is told.
	for _, u := range slices.Sorted(maps.Keys(betterMore)) {
		if _, err := fmt.Fprintf(w, "Unit %s better=higher\n", u); err != nil {
			return err
		}
	}
	for _, one := range r.rows {
		line := fmt.Sprintf("Benchmark%s/%s\t%d", strings.ToUpper(one.Section[:1])+one.Section[1:], strings.ReplaceAll(one.Name, " ", "_"), max(one.N, 1))
		for _, m := range one.Metrics {
			if !math.IsNaN(m.Value) {
				line += "\t" + strconv.FormatFloat(m.Value, 'f', -1, 64) + " " + m.Unit
			}
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// betterMore are the units of which more is better; of all others less is.
var betterMore = map[string]bool{timesPeer: true, timesAllCores: true, "requests/s": true, "projects/s": true}
