// Command sam serves, on this machine, what the functions call that `sam local`
// runs in containers: a DynamoDB with the template's tables and some data, and
// the Batch and S3 of moto with the queue, the job definition and the bucket
// that infra/env.json names. Everything is in memory and gone at the end.
//
//	go run ./infra/sam
//	sam local invoke StatusFunction --event infra/events/status.json
//
// It listens where containers find host.docker.internal: on Docker's bridge, or
// on 127.0.0.1 where there is none, as with Docker Desktop. Whoever reaches that
// address reaches the data, so it is never that of a network card.
//
// The tests beside it run the SAM CLI against the same services; make sam calls
// them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sam:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	listen := flag.String("listen", "", "`address` to listen on, without a port; that of Docker's bridge if empty")
	path := flag.String("env", "infra/env.json", "`file` of the functions' environment, whose ports are served")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env, err := readEnvironment(*path)
	if err != nil {
		return err
	}
	if *listen == "" {
		*listen = bridge()
	}
	s, err := start(ctx, *listen, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Println("ready: containers reach the database, Batch and S3 of", *path, "on", *listen)
	select {
	case <-ctx.Done():
		return nil
	case <-s.database.Done():
		return fmt.Errorf("the database has ended: %w", s.database.Err())
	case <-s.moto.done:
		return errors.New("moto has ended")
	}
}

// bridge is the address of this machine that containers know as
// host.docker.internal: that of Docker's bridge. Docker Desktop has no bridge
// here and leads them to 127.0.0.1.
func bridge() string {
	const otherwise = "127.0.0.1"
	docker0, err := net.InterfaceByName("docker0")
	if err != nil {
		return otherwise
	}
	addresses, err := docker0.Addrs()
	if err != nil {
		return otherwise
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return otherwise
}
