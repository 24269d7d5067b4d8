//go:build integration

package api

import (
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"
)

const idleConnections = 10_000

// idleMemory is the maximum resident memory of the test process, in bytes. It includes the memory store and some clients.
const idleMemory = 450 << 20

func TestServer_TenThousandIdleConnections(t *testing.T) {
	if err := raiseFileLimit(idleConnections + 500); err != nil {
		t.Fatal(err)
	}
	s := startHolding(t, 2<<10)
	done := s.others(t)
	spec := canaryClients(s.addr)
	// Resumed sessions need no signature, so connecting is faster.
	spec.Connections, spec.AtOnce, spec.Kept, spec.Resume = idleConnections, 8, true, true
	before := resident(t)
	began := time.Now()
	clients := spec.start(t)
	clients.proceed(t)
	if open := gauge(t, s, "userinfo_connections"); open < idleConnections {
		t.Errorf("%v connections are open; want at least %d", open, idleConnections)
	}
	c := s.client(t, protocols[1])
	for range 100 {
		if got := s.must(t, c, get("k")); got.status != 404 {
			t.Fatalf("another client: status %d", got.status)
		}
	}
	done()
	debug.FreeOSMemory() // otherwise the result depends on the time of the last collection
	t.Logf("connected and asked within %v", time.Since(began))
	after := resident(t)
	t.Logf("%d MB resident with %d idle connections, %d MB without: %.1f kB per connection", after>>20, idleConnections, before>>20,
		float64(after-before)/1000/idleConnections)
	if after > idleMemory {
		t.Errorf("%d MB are resident; want at most %d", after>>20, idleMemory>>20)
	}
	clients.end(t)
}

// resident returns the resident memory of this process in bytes.
func resident(t *testing.T) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
