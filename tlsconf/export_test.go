package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Parsers, exported for fuzz tests.
var (
	ParseCertificates = parseCertificates
	ParseDenied       = parseDenied
	ParseCRLs         = parseCRLs
	CheckNodeName     = checkNodeName
)

// MatchNodeNames reports whether a name of a certificate is one of the names.
func MatchNodeNames(names []string, certified string) bool { return nodeNames(names).match(certified) }

// NodeVerifier returns the verification of a node's certificate, without any CA.
func NodeVerifier(names []string) func(tls.ConnectionState) error {
	return nodeNames(names).verifier(x509.NewCertPool(), "", time.Now)
}

// HandshakeSlots is how many handshakes may use the CPU at once.
var HandshakeSlots = handshakeSlots

// MaxHandshakeBytes is maxHandshakeBytes.
const MaxHandshakeBytes = maxHandshakeBytes

// Slots returns how many handshakes may use the CPU now.
func (h *Handshakes) Slots() int {
	h.gate.mu.Lock()
	defer h.gate.mu.Unlock()
	return h.gate.free
}

// TakeSlot takes a slot, and returns the function that gives it back.
func (h *Handshakes) TakeSlot() (leave func()) {
	_ = h.gate.enter(netip.Prefix{}, time.Time{}) // without a deadline there is no error
	return h.gate.leave
}

// Refused returns the counter of refused handshakes.
func (h *Handshakes) Refused(reason string) prometheus.Counter {
	return h.refused.WithLabelValues(reason)
}
