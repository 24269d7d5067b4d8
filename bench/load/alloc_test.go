//go:build !race

package load

import (
	"crypto/tls"
	"errors"
	"testing"
)

// crypto/tls allocates once for each read that goes to the network, on either side; the client adds nothing.
// (The race detector empties pools at random: not with it.)
func TestAKeptRequestAllocatesOnce(t *testing.T) {
	address, ca := cannedServer(t)
	conn := dial(t, HTTPSConfig{URL: "https://" + address + "/", TLS: &tls.Config{RootCAs: ca.Pool()}})
	op := Op{Method: Get, Key: Dataset{ValueBytes: 1}.Key(0), Length: 2048}
	var err error
	if n := testing.AllocsPerRun(200, func() { err = errors.Join(err, conn.Do(t.Context(), &op)) }); n > 2 || err != nil {
		t.Errorf("%v allocations for a request and its answer; %v", n, err)
	}
}
