package forwarded_test

import (
	"errors"
	"net/http"
	"testing"

	"userinfo/access/forwarded"
	"userinfo/internal/certchain/certchaintest"
)

func TestRules_ClientReadsConfiguredDN(t *testing.T) {
	cert := fieldOf(certchaintest.Issue(t, "alice", nil, nil))
	r := rules(t, nil, "x-client-dn")
	for _, test := range []struct {
		name   string
		from   forwarded.Peer
		fields http.Header
		want   string
		err    error
	}{
		{"trusted", forwarded.TrustedProxy, fields("X-Client-Dn", "CN=alice,O=y"), "alice", nil},
		{"no header", forwarded.TrustedProxy, fields(), "", nil},
		{"untrusted", forwarded.UntrustedPeer, fields("X-Client-Dn", "CN=alice"), "", forwarded.ErrUntrustedPeer},
		{"untrusted, empty", forwarded.UntrustedPeer, fields("X-Client-Dn", ""), "", forwarded.ErrUntrustedPeer},
		{"two headers", forwarded.TrustedProxy, fields("X-Client-Dn", "CN=alice", "X-Client-Dn", "CN=alice"), "", forwarded.ErrMalformed},
		{"empty", forwarded.TrustedProxy, fields("X-Client-Dn", ""), "", forwarded.ErrMalformed},
		{"with a certificate", forwarded.TrustedProxy, fields("X-Client-Dn", "CN=alice", "Client-Cert", cert), "", forwarded.ErrMalformed},
		{"an underscore", forwarded.TrustedProxy, fields("X_Client_Dn", "CN=alice"), "", forwarded.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := r.Client(test.fields, test.from, now)
			if c.Chains != nil || c.CommonName != test.want || !errors.Is(err, test.err) {
				t.Errorf("%+v, %v; want %q, %v", c, err, test.want, test.err)
			}
		})
	}
}

func TestNewRules_DNFieldMustNotBeStandardHeader(t *testing.T) {
	for name, good := range map[string]bool{
		"X-Client-Dn": true, "x-ssl-client-s-dn": true, "X-1": true,
		"": true, "X-": false, "Authorization": false, "Client-Cert": false, "X-Forwarded-Client-Cert": false, "TTL": false, "X_Client_Dn": false, "X-Client Dn": false, "X-Client_Dn": false, "X-Client:Dn": false,
	} {
		if r, err := forwarded.NewRules(nil, name); (err == nil) != good || (r != nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}
