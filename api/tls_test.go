package api

import (
	"crypto/tls"
	"net/http"
	"testing"
)

func TestEveryVersionOfTLSThatIsOfferedWorksWithEitherProtocol(t *testing.T) {
	t.Parallel()
	s := start(t, setup{minVersion: tls.VersionTLS12})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range protocols {
			c := s.client(t, protocol)
			config := c.Transport.(*http.Transport).TLSClientConfig
			config.MaxVersion, config.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
			for range 2 { // the second may resume the session
				if got := s.must(t, c, get("k")); got.status != 404 || got.protocol != protocol {
					t.Errorf("%s, %s: %d by %s", tls.VersionName(version), protocol, got.status, got.protocol)
				}
				c.CloseIdleConnections()
			}
		}
	}
}
