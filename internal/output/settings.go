package output

import "rekindle/internal/settings"

// S3From makes the outputs at the setting OUTPUT_BASE. Problems are noted at the
// reader.
func S3From(r *settings.Reader) *S3 {
	base := r.OutputBase()
	if base == "" {
		return nil
	}
	s, err := NewS3(r.Lookup, base, nil)
	r.Note(err)
	return s
}
