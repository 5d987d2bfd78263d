package runner

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Main is the whole program: it reads its settings from environ, runs the
// execution that they name, and returns the exit code. SIGTERM and SIGINT stop
// it in the way of [Runner.Run]. It logs JSON to stderr.
//
// On Linux it makes this process unreadable to others of the same user, which
// is the command's too; there is no way back, so call it in a program that does
// nothing else.
func Main(environ []string, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	if err := hide(); err != nil {
		log.Error("not protected, nothing was started", "error", err)
		return ExitConfig
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// Whoever reads our stderr may end before us, and the next line must not
	// end us then. Ignoring the signal would be handed on to the command.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	cfg, err := FromEnv(func(name string) (value string, found bool) {
		for _, v := range environ {
			if n, rest, ok := strings.Cut(v, "="); ok && n == name {
				value, found = rest, true
			}
		}
		return value, found
	})
	if err != nil {
		log.Error("not configured, nothing was started", "error", err)
		return ExitConfig
	}
	cfg.Environ = environ
	cfg.Logger = log
	r, err := New(cfg)
	if err != nil {
		log.Error("not configured, nothing was started", "error", err)
		return ExitConfig
	}
	return r.Run(ctx)
}
