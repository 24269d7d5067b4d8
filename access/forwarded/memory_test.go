package forwarded

import (
	"crypto/x509"
	"encoding/binary"
	"testing"
	"time"
)

func TestWhatIsRememberedIsBounded(t *testing.T) {
	now := time.Now()
	chains := [][]*x509.Certificate{{{NotBefore: now, NotAfter: now.Add(time.Hour)}}}
	var m memory
	for i := range 3 * maxRemembered {
		var sent [32]byte
		binary.BigEndian.PutUint64(sent[:], uint64(i))
		m.remember(sent, chains)
		if len(m.seen) > maxRemembered {
			t.Fatalf("%d are remembered", len(m.seen))
		}
		if m.recall(sent, now) == nil {
			t.Fatal("the last is forgotten")
		}
	}
}
