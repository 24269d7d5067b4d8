//go:build integration

package proxies

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"userinfo/tlsconf"
)

const (
	failed       = 0 // the connection failed
	ok           = 200
	badRequest   = 400
	unauthorized = 401
	forbidden    = 403

	noSuchResource = 404
)

// proxyProtocol returns a configuration that requires the PROXY protocol from the proxies' address.
func proxyProtocol() []tlsconf.ProxySource {
	return []tlsconf.ProxySource{{Network: proxyAddress + "/32", Mode: "required"}}
}

// serviceConfig returns the configuration of a service behind a terminating proxy. haproxy sends a PROXY header to the
// service, and nginx cannot.
func (k kind) serviceConfig() serviceConfig {
	if k.name == haproxy.name {
		return serviceConfig{proxies: proxyProtocol()}
	}
	return serviceConfig{}
}

// forgedHeaders returns headers with which another client claims to be bob.
func forgedHeaders(cert string) map[string][]string {
	return map[string][]string{
		"a header":                       {"Client-Cert: " + cert},
		"a header in small letters":      {"client-cert: " + cert},
		"a header in capitals":           {"CLIENT-CERT: " + cert},
		"two headers":                    {"Client-Cert: " + cert, "Client-Cert: " + cert},
		"two headers, differently":       {"client-cert: " + cert, "CLIENT-cert: " + cert},
		"an empty header and another":    {"Client-Cert:", "Client-Cert: " + cert},
		"a chain":                        {"Client-Cert-Chain: " + cert},
		"a header and a chain":           {"Client-Cert: " + cert, "Client-Cert-Chain: " + cert},
		"a DN":                           {"X-Client-Dn: CN=bob"},
		"a header that Connection names": {"Connection: Client-Cert", "Client-Cert: " + cert},
		"a header after a long one":      {"X-Long: " + strings.Repeat("x", 4000), "Client-Cert: " + cert},
		"a header that is two requests":  {"Client-Cert: " + cert, "Content-Length: 0"},
	}
}

// lookalikeHeaders returns headers whose names only some programs read as Client-Cert or X-Client-Dn.
func lookalikeHeaders(cert string) map[string][]string {
	return map[string][]string{
		"an underscore":                {"Client_Cert: " + cert},
		"an underscore, small letters": {"client_cert: " + cert},
		"an underscore beside a field": {"Client_Cert: " + cert, "Client-Cert: " + cert},
		"an underscore in a DN":        {"X_Client_Dn: CN=bob"},
	}
}

// malformedHeaders returns malformed headers. They must be rejected or have no effect. net/http replaces a folded line by a
// space, as RFC 9112, section 5.2, allows.
func malformedHeaders(cert string) map[string][]string {
	return map[string][]string{
		"a folded field":              {"Client-Cert: " + cert[:60], " " + cert[60:]},
		"a header in a folded line":   {"X-Other: a", " Client-Cert: " + cert, "X-Third:", "\tb"},
		"a space before the colon":    {"Client-Cert : " + cert},
		"a header with a NUL":         {"Client-Cert: \x00" + cert},
		"a name with a space in it":   {"Client Cert: " + cert},
		"a carriage return in a name": {"X: a\rClient-Cert: " + cert},
	}
}

func TestPassthrough_IdentifiesClientByItsOwnCredentials(t *testing.T) {
	env := newEnvironment(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, serviceConfig{dnField: "X-Client-Dn"})
			at := env.start(t, k, v).at(passthrough)
			seen := env.expect(t, v, at, request{cert: "alice"}, ok, "alice")
			if seen.Address != proxyAddress || seen.Peer != proxyAddress {
				t.Errorf("without the PROXY protocol, the request comes from %+v", seen)
			}
			env.expect(t, v, at, request{}, unauthorized, "")
			env.expect(t, v, at, request{cert: "edge-proxy"}, unauthorized, "") // a proxy is not a client
			env.expect(t, v, at, request{cert: "mallory"}, failed, "")          // certificate of another CA
			env.expect(t, v, at, request{from: home, token: true}, unauthorized, "")
			for _, forgeries := range []map[string][]string{forgedHeaders(env.field(t, "bob")), lookalikeHeaders(env.field(t, "bob"))} {
				for name, fields := range forgeries {
					t.Run(name, func(t *testing.T) {
						env.expect(t, v, at, request{cert: "alice", fields: fields}, badRequest, "")
						env.expect(t, v, at, request{fields: fields}, badRequest, "")
					})
				}
			}
			for name, fields := range malformedHeaders(env.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					env.expectNoOtherClient(t, v, at, request{cert: "alice", fields: fields})
				})
			}
			env.expect(t, v, at, request{cert: "alice", before: "PROXY TCP4 127.0.0.8 127.0.0.1 1 2\r\n"}, failed, "")
		})
	}
}

func TestProxyProtocol_ConveysClientAddress(t *testing.T) {
	env := newEnvironment(t)
	for _, test := range []struct {
		kind kind
		port string
	}{{haproxy, passthroughV2}, {haproxy, passthroughV1}, {nginx, passthroughV1}} {
		t.Run(test.kind.name+" "+test.port, func(t *testing.T) {
			v := env.serve(t, serviceConfig{proxies: proxyProtocol()})
			at := env.start(t, test.kind, v).at(test.port)
			for from, status := range map[string]int{home: ok, away: unauthorized} {
				client := ""
				if status == ok {
					client = "mediawiki"
				}
				seen := env.expect(t, v, at, request{from: from, token: true}, status, client)
				if seen.Address != from || seen.Peer != proxyAddress {
					t.Errorf("the request comes from %+v, want %s through the proxy", seen, from)
				}
			}
			env.expect(t, v, at, request{cert: "alice"}, ok, "alice")
			for _, header := range []string{
				"PROXY TCP4 127.0.0.8 127.0.0.1 1 2\r\n", "PROXY UNKNOWN\r\n",
				"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x08\x7f\x00\x00\x01\x00\x01\x00\x02", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
			} {
				env.expect(t, v, at, request{token: true, before: header}, failed, "")        // after the header of the proxy
				env.expect(t, v, v.address, request{token: true, before: header}, failed, "") // not from a proxy
			}
			if seen := env.expect(t, v, v.address, request{from: home, token: true}, ok, "mediawiki"); seen.Peer != home {
				t.Errorf("a direct request comes from %+v", seen)
			}
			// From the proxy's address without a header, as another program on that machine could connect.
			env.expect(t, v, v.address, request{from: proxyAddress, cert: "alice"}, failed, "")
		})
	}
}

func TestProxyProtocol_HealthChecksHaveProxyAddress(t *testing.T) {
	env := newEnvironment(t)
	for version, changes := range map[string][]string{
		"1": {" send-proxy-v2", " send-proxy"},     // PROXY TCP4 from itself
		"2": {" send-proxy\n", " send-proxy-v2\n"}, // LOCAL
	} {
		t.Run(version, func(t *testing.T) {
			v := env.serve(t, serviceConfig{proxies: proxyProtocol()})
			env.start(t, haproxy, v, changes...)
			for range 4 {
				select {
				case seen := <-v.checks:
					if seen.Address != proxyAddress || seen.Peer != proxyAddress {
						t.Errorf("a health check comes from %+v", seen)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("no health check arrived")
				}
			}
		})
	}
}

func TestTerminatingProxy_ForwardsVerifiedCertificateOnly(t *testing.T) {
	env := newEnvironment(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, k.serviceConfig())
			at := env.start(t, k, v).at(terminating)
			seen := env.expect(t, v, at, request{cert: "alice"}, ok, "alice")
			if want := map[string]string{"haproxy": away, "nginx": proxyAddress}[k.name]; seen.Address != want || seen.Peer != proxyAddress {
				t.Errorf("the request comes from %+v, want %s", seen, want)
			}
			env.expect(t, v, at, request{cert: "alice-of-many-names"}, ok, "alice")
			env.expect(t, v, at, request{}, unauthorized, "") // the client must not become the proxy, whose certificate the service sees
			if a := env.send(t, at, request{cert: "mallory"}); a.Status == ok || v.last(t) != (record{}) {
				t.Errorf("a certificate of another CA reached the service: %+v", a)
			}
			for name, fields := range forgedHeaders(env.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					env.expect(t, v, at, request{fields: fields}, unauthorized, "")
					// A client that makes the proxy remove the header must not become another client.
					if a := env.send(t, at, request{cert: "alice", fields: fields}); a.Status != ok || v.last(t).Client != "alice" {
						t.Errorf("status %d, %v; want client alice", a.Status, a.err)
					}
				})
			}
			for name, fields := range lookalikeHeaders(env.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					if k.name == haproxy.name {
						env.expect(t, v, at, request{cert: "alice", fields: fields}, forbidden, "") // by haproxy
					} else {
						env.expect(t, v, at, request{cert: "alice", fields: fields}, ok, "alice")
					}
				})
			}
			for name, fields := range malformedHeaders(env.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					env.expectNoOtherClient(t, v, at, request{cert: "alice", fields: fields})
				})
			}
		})
	}
}

func TestTerminatingProxy_ForwardsCertificateOfResumedSession(t *testing.T) {
	env := newEnvironment(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, k.serviceConfig())
			at := env.start(t, k, v).at(terminating)
			for _, name := range []string{"alice", "bob", ""} {
				sessions, resumed := tls.NewLRUClientSessionCache(4), false
				for range 3 {
					a := env.send(t, at, request{cert: name, resume: sessions})
					if seen := v.last(t); seen.Client != name {
						t.Errorf("client %q was identified as %q (resumed: %v)", name, seen.Client, a.resumed)
					}
					resumed = resumed || a.resumed
				}
				if !resumed {
					t.Errorf("no TLS session of %q was resumed", name)
				}
			}
		})
	}
}

func TestTerminatingProxy_SharedConnectionsKeepClientsApart(t *testing.T) {
	env := newEnvironment(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, k.serviceConfig())
			at := env.start(t, k, v).at(terminating)
			for range 5 {
				for _, r := range []request{{from: home, cert: "alice"}, {from: away, cert: "bob"}, {from: away}, {from: home, cert: "bob"}} {
					a := env.send(t, at, r)
					seen := v.last(t)
					expected := seen.Address == r.from || k.name == nginx.name && seen.Address == proxyAddress
					if seen.Client != r.cert || !expected {
						t.Errorf("request %+v has status %d, the service saw %+v", r, a.Status, seen)
					}
				}
			}
			if conns := v.connections.Load(); k.name == nginx.name && conns >= 20 {
				t.Errorf("%d connections for 20 requests: the proxy shared none", conns)
			}
		})
	}
}

func TestTerminatingProxy_TokenNetworksNeedProxyProtocol(t *testing.T) {
	env := newEnvironment(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, k.serviceConfig())
			p := env.start(t, k, v)
			for _, port := range []string{terminating, dedicatedTokens} {
				if k.name == haproxy.name {
					env.expect(t, v, p.at(port), request{from: home, token: true}, ok, "mediawiki")
				} else {
					env.expect(t, v, p.at(port), request{from: home, token: true}, unauthorized, "")
				}
				env.expect(t, v, p.at(port), request{from: away, token: true}, unauthorized, "")
			}
		})
	}
}

func TestDedicatedFrontends_SeparateCertificatesAndTokens(t *testing.T) {
	env := newEnvironment(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, k.serviceConfig())
			p := env.start(t, k, v)
			env.expect(t, v, p.at(dedicatedCertificates), request{cert: "alice"}, ok, "alice")
			for _, cert := range []string{"", "mallory"} {
				if a := env.send(t, p.at(dedicatedCertificates), request{cert: cert}); a.Status == ok || v.last(t) != (record{}) {
					t.Errorf("certificate %q reached the service: %+v", cert, a)
				}
			}
			env.expect(t, v, p.at(dedicatedTokens), request{cert: "alice"}, unauthorized, "") // the frontend requests no certificate
			for name, fields := range forgedHeaders(env.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					env.expect(t, v, p.at(dedicatedCertificates), request{cert: "alice", fields: fields}, ok, "alice")
					env.expect(t, v, p.at(dedicatedTokens), request{fields: fields}, unauthorized, "")
				})
			}
		})
	}
}

// TestMisconfiguredProxy_OpensNothing removes parts of the examples that a careless operator might leave out.
func TestMisconfiguredProxy_OpensNothing(t *testing.T) {
	env := newEnvironment(t)
	const deletes = "\thttp-request del-header client-cert -m beg\n"
	bob := request{cert: "alice", fields: []string{"Client-Cert: " + env.field(t, "bob")}}
	for _, test := range []struct {
		name    string
		kind    kind
		changes []string
		port    string
		request request
		status  int
	}{
		{"haproxy is not listed", haproxy, []string{"edge-proxy.pem", "other-proxy.pem"}, terminating, request{cert: "alice"}, badRequest},
		{"nginx is not listed", nginx, []string{"edge-proxy.", "other-proxy."}, terminating, request{cert: "alice"}, badRequest},
		{"haproxy has no certificate", haproxy, []string{" crt /etc/haproxy/edge-proxy.pem", ""}, terminating, request{cert: "alice"}, badRequest},
		{"haproxy appends to the client's header", haproxy, []string{deletes, "", "set-header Client-Cert", "add-header Client-Cert"}, terminating, bob, badRequest},
		{"haproxy forwards an empty header", haproxy, []string{" if { ssl_c_used }", ""}, terminating, request{}, badRequest},
		{"haproxy forwards base64 without colons", haproxy, []string{":%[ssl_c_der,base64]:", "%[ssl_c_der,base64]"}, terminating, request{cert: "alice"}, badRequest},
		{"haproxy forwards the header in the frontend for tokens", haproxy, []string{deletes, ""}, dedicatedTokens, bob, badRequest},
		{"nginx forwards the header in the server for tokens", nginx, []string{`proxy_set_header Client-Cert "";`, ""}, dedicatedTokens, bob, badRequest},
		{"nginx forwards PEM", nginx, []string{"Client-Cert $client_cert", "Client-Cert $ssl_client_escaped_cert"}, terminating, request{cert: "alice"}, badRequest},
		{"haproxy forwards nothing", haproxy, []string{"http-request set-header Client-Cert", "#"}, terminating, request{cert: "alice"}, unauthorized},
		{"nginx forwards nothing", nginx, []string{"Client-Cert $client_cert", `Client-Cert ""`}, terminating, request{cert: "alice"}, unauthorized},
		{"haproxy accepts certificates of any CA", haproxy, []string{"verify optional", "verify optional crt-ignore-err all ca-ignore-err all"}, terminating, request{cert: "mallory"}, unauthorized},
		{"haproxy sends no PROXY header", haproxy, []string{" send-proxy-v2", ""}, terminating, request{cert: "alice"}, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := env.serve(t, test.kind.serviceConfig())
			env.expect(t, v, env.start(t, test.kind, v, test.changes...).at(test.port), test.request, test.status, "")
		})
	}
}

func TestDistinguishedName_IsAcceptedOnlyIfConfigured(t *testing.T) {
	env := newEnvironment(t)
	changes := map[string][]string{
		"haproxy": {"\thttp-request set-header Client-Cert", "\t#", "#http-request set-header X-Client-Dn", "http-request set-header X-Client-Dn"},
		"nginx":   {"proxy_set_header Client-Cert $client_cert;", `proxy_set_header Client-Cert "";`, "\t\t\tproxy_set_header X-Client-Dn \"\";\n", "", "#proxy_set_header X-Client-Dn", "proxy_set_header X-Client-Dn"},
	}
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			c := k.serviceConfig()
			off := env.serve(t, c)
			env.expect(t, off, env.start(t, k, off, changes[k.name]...).at(terminating), request{cert: "alice"}, unauthorized, "")

			c.dnField = "X-Client-Dn"
			v := env.serve(t, c)
			at := env.start(t, k, v, changes[k.name]...).at(terminating)
			env.expect(t, v, at, request{cert: "alice"}, ok, "alice")
			env.expect(t, v, at, request{cert: "alice", fields: []string{"X-Client-Dn: CN=bob"}}, ok, "alice")
			env.expect(t, v, at, request{}, unauthorized, "")
			env.expect(t, v, at, request{fields: []string{"X-Client-Dn: CN=bob"}}, unauthorized, "")
		})
	}
}

func TestTerminatingProxy_KeepsPathUnchanged(t *testing.T) {
	env := newEnvironment(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, k.serviceConfig())
			at := env.start(t, k, v).at(terminating)
			for path, status := range map[string]int{
				"/sessions/v1/enwiki%3Asession%3A1": ok, "/sessions/v1/a%2F..%2Fb": ok, "/sessions/v1/%2e%2e": ok, "/sessions/v1/%01%ff+~": ok,
				"/sessions/v1/a//b": noSuchResource, // a proxy that merges slashes would turn it into a valid key
			} {
				client := "alice"
				if status == noSuchResource {
					client = "" // the service rejects an unknown path before it identifies the client
				}
				if seen := env.expect(t, v, at, request{cert: "alice", path: path}, status, client); seen.Path != path {
					t.Errorf("%s arrived as %s", path, seen.Path)
				}
			}
		})
	}
}
