package cassandra

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/gocql/gocql"
)

func TestNodeTLS_FailsClosed(t *testing.T) {
	ip := net.ParseIP("10.0.0.1")
	for name, current := range map[string]func() *tls.Config{
		"no function":           nil,
		"no settings":           func() *tls.Config { return nil },
		"verification disabled": func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} },
	} {
		if config, err := nodeTLS(current, ip); err == nil {
			t.Errorf("%s: got settings %v and no error", name, config)
		}
	}
}

func TestNodeTLS_VerifiesNodeAddressWithoutServerName(t *testing.T) {
	shared := &tls.Config{}
	for _, c := range []struct{ serverName, want string }{{"", "10.0.0.1"}, {"cassandra.example", "cassandra.example"}} {
		shared.ServerName = c.serverName
		config, err := nodeTLS(func() *tls.Config { return shared }, net.ParseIP("10.0.0.1"))
		if err != nil || config.ServerName != c.want || shared.ServerName != c.serverName {
			t.Errorf("server name %q, error %v, want %q; the shared settings have %q", config.ServerName, err, c.want, shared.ServerName)
		}
	}
}

func TestDialer_VerifiesCertificates(t *testing.T) {
	server := httptest.NewTLSServer(nil) // its certificate is valid for 127.0.0.1 and example.com
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	address := server.Listener.Addr().(*net.TCPAddr)
	host := new(gocql.HostInfo).SetConnectAddress(address.IP)
	for _, c := range []struct {
		name   string
		config *tls.Config
		ok     bool
	}{
		{"valid for the address", &tls.Config{RootCAs: trusted}, true},
		{"valid for the server name", &tls.Config{RootCAs: trusted, ServerName: "example.com"}, true},
		{"for another server name", &tls.Config{RootCAs: trusted, ServerName: "cassandra.invalid"}, false},
		{"verified in the settings' own way", &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}, true},
		{"refused in the settings' own way", &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return errors.New("no") }}, false},
		{"not verified", &tls.Config{InsecureSkipVerify: true}, false},
		{"from an unknown authority", &tls.Config{RootCAs: x509.NewCertPool()}, false},
		{"without settings", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dialer{tls: func() *tls.Config { return c.config }, port: address.Port}
			dialed, err := d.DialHost(context.Background(), host)
			if (err == nil) != c.ok {
				t.Errorf("got error %v", err)
			}
			if err == nil {
				if !dialed.DisableCoalesce {
					t.Error("the driver coalesces too")
				}
				_ = dialed.Conn.Close()
			}
		})
	}
}
