package launch

import "rekindle/internal/settings"

// BatchFrom makes the launcher over the settings JOB_QUEUE and JOB_DEFINITION,
// whose jobs run PROJECT_COMMAND. Problems are noted at the reader.
func BatchFrom(r *settings.Reader) *Batch {
	return batchFrom(r, BatchConfig{
		Queue: r.Text("JOB_QUEUE"), Definition: r.Text("JOB_DEFINITION"),
		Command: r.Text("PROJECT_COMMAND"), Timeout: r.Timeout(), Keys: r.Keys(),
	})
}

// BatchStopperFrom makes a launcher that only looks up and stops jobs, in
// JOB_QUEUE. Problems are noted at the reader.
func BatchStopperFrom(r *settings.Reader) *Batch {
	return batchFrom(r, BatchConfig{Queue: r.Text("JOB_QUEUE")})
}

func batchFrom(r *settings.Reader, cfg BatchConfig) *Batch {
	b, err := NewBatch(r.Lookup, cfg)
	r.Note(err)
	return b
}
