package cassandra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/panics"
)

// dialer makes verified TLS connections to nodes. The driver's own TLS options are not used: they skip verification if
// only a CA is given, and they cannot change while the service runs.
type dialer struct {
	tls     func() *tls.Config
	port    int
	timeout time.Duration  // of sending; 0 means no limit
	streams *streamCounter // is told when a connection ends; may be nil
	panics  *panics.Recorder
}

var _ gocql.HostDialer = dialer{}

// DialHost implements gocql.HostDialer. It recovers from panics, because the driver calls it in goroutines of its own.
func (d dialer) DialHost(ctx context.Context, host *gocql.HostInfo) (_ *gocql.DialedHost, err error) {
	defer d.panics.Recover(panics.Coordinator, &err)
	config, err := nodeTLS(d.tls, host.ConnectAddress())
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host.ConnectAddress().String(), strconv.Itoa(d.port))
	plain, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	secure := tls.Client(plain, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS handshake with Cassandra node %s: %w", address, err), plain.Close())
	}
	sending := newCoalescingConn(secure, d.timeout)
	sending.panics = d.panics
	var conn net.Conn = sending
	if d.streams != nil {
		conn = d.streams.watch(conn, host)
	}
	// The driver's own coalescing delays each frame, even if nothing is being sent.
	return &gocql.DialedHost{Conn: conn, DisableCoalesce: true}, nil
}

// nodeTLS returns the TLS settings for a connection to a node. Without a ServerName, the certificate must be valid for
// the node's address. It fails closed: it returns an error without settings, and for settings that skip verification without
// a VerifyConnection.
func nodeTLS(current func() *tls.Config, address net.IP) (*tls.Config, error) {
	var config *tls.Config
	if current != nil {
		config = current()
	}
	if config == nil {
		return nil, errors.New("there are no TLS settings for Cassandra")
	}
	if config.InsecureSkipVerify && config.VerifyConnection == nil {
		return nil, errors.New("the TLS settings for Cassandra skip verification of certificates")
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = address.String()
	}
	return config, nil
}
