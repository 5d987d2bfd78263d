package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
)

// environment is what `sam local` is told by --env-vars: the variables of every
// function, by name. Each function gets those that the template gives it.
type environment map[string]string

func readEnvironment(path string) (environment, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the functions' environment: %w", err)
	}
	var file struct{ Parameters environment }
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file.Parameters, nil
}

// write writes a file for --env-vars.
func (e environment) write(path string) error {
	text, err := json.Marshal(map[string]environment{"Parameters": e})
	if err != nil {
		return fmt.Errorf("the functions' environment: %w", err)
	}
	return os.WriteFile(path, text, 0o600)
}

// endpoint returns the variable that points the client of a service elsewhere.
func endpoint(service string) string { return "AWS_ENDPOINT_URL_" + service }

// port returns the port that a service is to have.
func (e environment) port(service string) (string, error) {
	u, err := url.Parse(e[endpoint(service)])
	if err != nil {
		return "", fmt.Errorf("%s: %w", endpoint(service), err)
	}
	if u.Port() == "" {
		return "", fmt.Errorf("%s has no port; it is %q", endpoint(service), e[endpoint(service)])
	}
	return u.Port(), nil
}

// setPort gives a service another port, that of a listener.
func (e environment) setPort(service string, l net.Addr) error {
	u, err := url.Parse(e[endpoint(service)])
	if err != nil {
		return fmt.Errorf("%s: %w", endpoint(service), err)
	}
	_, port, err := net.SplitHostPort(l.String())
	if err != nil {
		return fmt.Errorf("the port of %s: %w", service, err)
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	e[endpoint(service)] = u.String()
	return nil
}
