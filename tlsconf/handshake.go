package tlsconf

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/certchain"
)

// maxHandshakeBytes is how many bytes a client may send until its certificates are verified, because crypto/tls parses all
// of them first. A ClientHello with 1 + certchain.MaxIssuers certificates with RSA keys of 4,096 bits fits, and so does one
// with a session ticket of maxTicketCertificates. After that, crypto/tls accepts a signature and a Finished message of at
// most 64 KiB each, which cost next to nothing.
const maxHandshakeBytes = 16 << 10

// errHandshakeBytes is the error of a handshake with more than maxHandshakeBytes.
var errHandshakeBytes = fmt.Errorf("the client sent more than %d bytes in its handshake", maxHandshakeBytes)

// Handshakes limits what the handshakes of a listener may cost:
//
//   - a client sends at most maxHandshakeBytes;
//   - at most handshakeSlots handshakes use the CPU at once. The others wait, each for its deadline at most. A handshake
//     that waits for its peer does not count: it holds a slot from a Read to the next Read or Write.
type Handshakes struct {
	gate    *gate
	refused *prometheus.CounterVec
}

// handshakeSlots returns how many handshakes may use the CPU at once: all processors except one, which stays free for the
// requests of kept connections.
func handshakeSlots() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// NewHandshakes returns a Handshakes and registers its metrics.
func NewHandshakes(registry prometheus.Registerer) *Handshakes {
	h := &Handshakes{
		gate: newGate(handshakeSlots()),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "userinfo_handshakes_refused_total",
			Help: "TLS handshakes that were refused, by reason: bytes, busy, chain_length, unknown_ca, expired, certificate.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{reasonBytes, reasonBusy, reasonChainLength, reasonUnknownCA, reasonExpired, reasonCertificate} {
		h.refused.WithLabelValues(reason)
	}
	registry.MustRegister(h.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "userinfo_handshakes_waiting", Help: "TLS handshakes that wait for a processor.",
	}, func() float64 { return float64(h.gate.length()) }))
	return h
}

// The reasons for refusing a handshake.
const (
	reasonBytes       = "bytes"        // more than maxHandshakeBytes
	reasonBusy        = "busy"         // no slot before the deadline
	reasonChainLength = "chain_length" // more than 1 + certchain.MaxIssuers certificates
	reasonUnknownCA   = "unknown_ca"   // no client CA has issued the certificate
	reasonExpired     = "expired"      // a certificate in the chain is not valid now
	reasonCertificate = "certificate"  // anything else that is wrong with the certificate
)

// reasonOf returns the reason for a certificate that certchain has refused.
func reasonOf(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, certchain.ErrTooLong):
		return reasonChainLength
	case errors.Is(err, certchain.ErrUnknownCA), errors.As(err, &unknown):
		return reasonUnknownCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return reasonExpired
	}
	return reasonCertificate
}

// Listener returns a listener that accepts connections from l and limits their handshakes. TLS with a configuration from
// ListenerConfig must run on top of it, and NewProxyListener below it.
func (h *Handshakes) Listener(l net.Listener) net.Listener { return &handshakeListener{l, h} }

type handshakeListener struct {
	net.Listener
	handshakes *Handshakes
}

// Accept implements net.Listener.
func (l *handshakeListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &handshakeConn{Conn: c, handshakes: l.handshakes, left: maxHandshakeBytes}, nil
}

// handshakeConn is a connection below TLS. Until its client's certificates are verified, it counts what it reads, and holds
// a slot of the gate while crypto/tls computes.
type handshakeConn struct {
	net.Conn
	handshakes *Handshakes
	left       int          // bytes that the client may still send; only Read uses it
	deadline   atomic.Int64 // of reading, in ns since 1970; 0: none
	holds      atomic.Bool  // a slot
	done       atomic.Bool  // verified was called, and nothing is limited any more
	chains     [][]*x509.Certificate
}

// Read implements net.Conn. It fails when the client sends too much, and when it gets no slot before the deadline.
func (c *handshakeConn) Read(b []byte) (int, error) {
	c.release()
	if c.done.Load() {
		return c.Conn.Read(b)
	}
	if c.left == 0 {
		return 0, c.refuse(reasonBytes, errHandshakeBytes)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	if n == 0 {
		return n, err
	}
	if err := c.handshakes.gate.enter(HostPrefix(c.RemoteAddr()), c.readDeadline()); err != nil {
		return 0, c.refuse(reasonBusy, err)
	}
	c.holds.Store(true)
	return n, err
}

// Write implements net.Conn.
func (c *handshakeConn) Write(b []byte) (int, error) {
	c.release()
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *handshakeConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// SetDeadline implements net.Conn.
func (c *handshakeConn) SetDeadline(t time.Time) error {
	c.setReadDeadline(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *handshakeConn) SetReadDeadline(t time.Time) error {
	c.setReadDeadline(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *handshakeConn) setReadDeadline(t time.Time) {
	if t.IsZero() {
		c.deadline.Store(0)
	} else {
		c.deadline.Store(t.UnixNano())
	}
}

func (c *handshakeConn) readDeadline() time.Time {
	if ns := c.deadline.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// NetConn returns the connection below c.
func (c *handshakeConn) NetConn() net.Conn { return c.Conn }

// release gives the slot back, if c holds one.
func (c *handshakeConn) release() {
	if c.holds.Load() && c.holds.Swap(false) {
		c.handshakes.gate.leave()
	}
}

// verified ends the limits. chains are the client's verified chains, or nil if it sent no certificate. Only the client's
// signature remains to be verified, with a key that a client CA has signed.
func (c *handshakeConn) verified(chains [][]*x509.Certificate) {
	c.chains = chains
	c.done.Store(true)
	c.release()
}

// refuse counts a refused handshake and returns err.
func (c *handshakeConn) refuse(reason string, err error) error {
	c.handshakes.refused.WithLabelValues(reason).Inc()
	return err
}

// VerifiedChains returns the chains of the client's certificate that were verified in the handshake of c, or nil if the
// client sent none. c is a connection of a Handshakes' listener, or wraps one with a NetConn method, as *tls.Conn does.
// The caller must not change them. It fails closed: for any other connection, and before the handshake, it returns nil.
func VerifiedChains(c net.Conn) [][]*x509.Certificate {
	if h := handshakeConnOf(c); h != nil && h.done.Load() {
		return h.chains
	}
	return nil
}

// handshakeConnOf returns the handshakeConn in c, or nil.
func handshakeConnOf(c net.Conn) *handshakeConn {
	for {
		if h, ok := c.(*handshakeConn); ok {
			return h
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = inner.NetConn()
	}
}
