package settings

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

// Start hands the handler that build makes to Lambda and serves for ever. If a
// setting was wrong it says so on one line each and ends the process, which
// Lambda reports as a failed start.
func (r *Reader) Start(build func(*slog.Logger) lambda.Handler) {
	if err := r.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	slog.SetDefault(log)
	lambda.Start(build(log))
}
