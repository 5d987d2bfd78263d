//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// hub is where the commands say hello and wait for their orders.
type hub struct {
	listener net.Listener

	mu      sync.Mutex
	live    map[string]*worker // by project
	said    map[string]int     // how often an execution's command began
	faults  []string           // what must never happen
	changed chan struct{}      // closed and made anew with each hello and each end
	orders  map[string]order   // by project: given as soon as its command asks
}

// worker is a command that lives.
type worker struct {
	hello
	conn net.Conn
	gone bool
}

func openHub(home string) (*hub, error) {
	l, err := net.Listen("unix", socketOf(home))
	if err != nil {
		return nil, fmt.Errorf("where the commands say hello: %w", err)
	}
	h := &hub{
		listener: l, live: map[string]*worker{}, said: map[string]int{}, orders: map[string]order{}, changed: make(chan struct{}),
	}
	go h.accept()
	return h, nil
}

func (h *hub) close() { _ = h.listener.Close() }

func (h *hub) accept() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		go h.serve(conn)
	}
}

// serve hears a command's hello, and then its end.
func (h *hub) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	line, err := r.ReadBytes('\n')
	var said hello
	if err != nil || json.Unmarshal(line, &said) != nil {
		return // it was killed as it spoke
	}
	w := &worker{hello: said, conn: conn}
	h.mu.Lock()
	if h.said[said.Execution]++; h.said[said.Execution] > 1 {
		h.faults = append(h.faults, fmt.Sprintf("%s: the command of execution %s began %d times", said.Project, said.Execution, h.said[said.Execution]))
	}
	if h.said[said.Execution] == 1 {
		h.live[said.Project] = w
		h.obey(w)
		h.notify()
	}
	h.mu.Unlock()

	_, _ = r.ReadByte() // a command says nothing more: this is its end
	h.mu.Lock()
	w.gone = true
	h.notify()
	h.mu.Unlock()
}

// notify and obey are called with the lock held.
func (h *hub) notify() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hub) obey(w *worker) {
	if o, ok := h.orders[w.Project]; ok && !w.gone {
		_, _ = fmt.Fprintln(w.conn, o) // fails where it was killed meanwhile
	}
}

// order tells the command of a project what to do, now or once it asks. An
// empty order has the next ones wait.
func (h *hub) order(project string, o order) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o == "" {
		delete(h.orders, project)
		return
	}
	h.orders[project] = o
	if w := h.live[project]; w != nil {
		h.obey(w)
	}
}

// await returns the command of an execution once it lives.
func (h *hub) await(ctx context.Context, project string, executionID int64) (hello, error) {
	for {
		h.mu.Lock()
		w, changed := h.live[project], h.changed
		h.mu.Unlock()
		if w != nil && w.Execution == strconv.FormatInt(executionID, 10) {
			return w.hello, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return hello{}, fmt.Errorf("the command of %s, execution %d, has not begun: %w", project, executionID, ctx.Err())
		}
	}
}

// found returns what must never happen, and did, since it was last asked.
func (h *hub) found() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	fresh := h.faults
	h.faults = nil
	return fresh
}
