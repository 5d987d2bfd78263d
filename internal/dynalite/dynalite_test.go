package dynalite

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

var client = &http.Client{Timeout: 20 * time.Second}

// call makes one DynamoDB request, and returns the status and the body.
func call(t *testing.T, endpoint, operation, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	req.Header.Set("X-Amz-Date", "20250101T000000Z")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local, SignedHeaders=host, Signature=local")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func ended(t *testing.T, s *Server) {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the server has not ended")
	}
}

const makeTable = `{"TableName":"Things","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],
	"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}`

func TestServesUntilClosed(t *testing.T) {
	s := start(t, "")
	if status, body := call(t, s.Endpoint(), "ListTables", "{}"); status != http.StatusOK || body != `{"TableNames":[]}` {
		t.Errorf("got %d %s, want 200 and no tables", status, body)
	}
	if err := s.Err(); err != nil {
		t.Errorf("got %v while it serves, want no error", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("got %v, want an orderly end", err)
	}
	ended(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("closing again: got %v, want no error", err)
	}
	if resp, err := client.Get(s.Endpoint()); err == nil {
		_ = resp.Body.Close()
		t.Error("it still answers")
	}
}

func TestEndsWhenItsStdinCloses(t *testing.T) {
	s := start(t, "")
	_ = s.stdin.Close() // as the system does when this process dies
	ended(t, s)
	if err := s.Err(); err != nil {
		t.Errorf("got %v, want an orderly end", err)
	}
}

func TestUnexpectedEndShows(t *testing.T) {
	s := start(t, "")
	_ = s.cmd.Process.Kill()
	ended(t, s)
	if s.Err() == nil {
		t.Error("got no error, want the reason of the end")
	}
}

func TestDataSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	if status, answer := call(t, first.Endpoint(), "CreateTable", makeTable); status != http.StatusOK {
		t.Fatalf("got %d %s", status, answer)
	}
	for active := false; !active; { // it is made a moment after the answer
		_, answer := call(t, first.Endpoint(), "DescribeTable", `{"TableName":"Things"}`)
		active = strings.Contains(answer, `"ACTIVE"`)
	}
	// Kept when stopped orderly, and when killed.
	put := func(s *Server, key string) {
		t.Helper()
		if status, answer := call(t, s.Endpoint(), "PutItem", `{"TableName":"Things","Item":{"k":{"S":"`+key+`"}}}`); status != http.StatusOK {
			t.Fatalf("got %d %s", status, answer)
		}
	}
	put(first, "one")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := start(t, dir)
	put(second, "two")
	_ = second.cmd.Process.Kill()
	ended(t, second)

	third := start(t, dir)
	if _, body := call(t, third.Endpoint(), "Scan", `{"TableName":"Things","Select":"COUNT"}`); !strings.Contains(body, `"Count":2`) {
		t.Errorf("got %s, want both items", body)
	}
}

func TestFolderHasOneServer(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	s, err := Start(t.Context(), dir)
	if err == nil {
		_ = s.Close()
		t.Fatal("got a second server on the folder, want an error")
	}
	if !strings.Contains(err.Error(), "LOCK") {
		t.Errorf("got %q, want it to tell of the lock", err)
	}
}

func TestSurvivesClientThatHangsUp(t *testing.T) {
	s := start(t, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.Endpoint(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("POST / HTTP/1.1\r\nHost: db\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it has begun to serve the request
		t.Fatal(err)
	}
	_ = conn.Close()
	for range 3 {
		if status, answer := call(t, s.Endpoint(), "ListTables", "{}"); status != http.StatusOK {
			t.Errorf("got %d %s, want it to go on serving", status, answer)
		}
	}
}

func TestRefusesBrowserPages(t *testing.T) {
	s := start(t, "")
	req, _ := http.NewRequest(http.MethodPost, s.Endpoint(), strings.NewReader("{}"))
	req.Header.Set("Origin", "https://example.com")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %d, want 403", resp.StatusCode)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Start(ctx, ""); err == nil {
		_ = s.Close()
		t.Error("got a server, want an error")
	}
}

func TestMissingNodeIsExplained(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "Node.js") {
		t.Errorf("got %v, want it to ask for Node.js", err)
	}
}
