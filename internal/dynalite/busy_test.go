package dynalite

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// post makes a request over a client's own connections.
func post(ctx context.Context, c *http.Client, endpoint, operation, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	req.Header.Set("X-Amz-Date", "20250101T000000Z")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local, SignedHeaders=host, Signature=local")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}

// Node accepts one connection in each turn of its loop. Where a turn answers
// whatever has come meanwhile, those who come new wait for all others again and
// again; and who gives up and comes again waits longest.
func TestNewConnectionsAreServedWhileOthersKeepItBusy(t *testing.T) {
	s := start(t, "")
	// A condition that takes long to read, of a table that is not there.
	terms := "#a = :a"
	for range 5 {
		terms = "(" + terms + ") AND (#a = :a)"
	}
	slow := fmt.Sprintf(`{"TableName":"None","Key":{"k":{"S":"x"}},"UpdateExpression":"SET #a = :a","ConditionExpression":"%s",
		"ExpressionAttributeNames":{"#a":"a"},"ExpressionAttributeValues":{":a":{"S":"x"}}}`, terms)
	const busy, fresh = 40, 30

	ctx, cancel := context.WithCancel(t.Context())
	var answered atomic.Int64
	var working, warm sync.WaitGroup
	warm.Add(busy)
	for range busy {
		working.Go(func() {
			c := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer c.CloseIdleConnections()
			for first := true; ctx.Err() == nil; first = false {
				err := post(ctx, c, s.Endpoint(), "UpdateItem", slow)
				if first {
					warm.Done()
				}
				if err == nil {
					answered.Add(1)
				}
			}
		})
	}
	warm.Wait()
	before := answered.Load()
	var coming sync.WaitGroup
	for range fresh {
		coming.Go(func() {
			c := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer c.CloseIdleConnections()
			if err := post(ctx, c, s.Endpoint(), "ListTables", "{}"); err != nil {
				t.Error(err)
			}
		})
	}
	coming.Wait()
	meanwhile := answered.Load() - before
	cancel()
	working.Wait()
	// In turn, each of the others is answered a few times meanwhile.
	if most := int64(6 * busy); meanwhile > most {
		t.Errorf("%d others were answered before %d new ones, want at most %d", meanwhile, fresh, most)
	}
}
