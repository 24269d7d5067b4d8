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
	failed       = 0 // the connection
	ok           = 200
	badRequest   = 400
	unauthorized = 401
	forbidden    = 403

	noSuchResource = 404
)

// speaks has the proxies' address as one that speaks the PROXY protocol, always.
func speaks() []tlsconf.ProxySource {
	return []tlsconf.ProxySource{{Network: proxyAddress + "/32", Mode: "required"}}
}

// behind is how a terminating proxy of each kind is known: haproxy sends a PROXY header there, too, nginx cannot.
func (k kind) behind() setting {
	if k.name == haproxy.name {
		return setting{proxies: speaks()}
	}
	return setting{}
}

// forged are ways to say that one is bob, of a client that is not.
func forged(cert string) map[string][]string {
	return map[string][]string{
		"a field":                      {"Client-Cert: " + cert},
		"a field in small letters":     {"client-cert: " + cert},
		"a field in capitals":          {"CLIENT-CERT: " + cert},
		"two fields":                   {"Client-Cert: " + cert, "Client-Cert: " + cert},
		"two fields, differently":      {"client-cert: " + cert, "CLIENT-cert: " + cert},
		"an empty field and another":   {"Client-Cert:", "Client-Cert: " + cert},
		"a chain":                      {"Client-Cert-Chain: " + cert},
		"a field and a chain":          {"Client-Cert: " + cert, "Client-Cert-Chain: " + cert},
		"a DN":                         {"X-Client-Dn: CN=bob"},
		"a field to be taken off":      {"Connection: Client-Cert", "Client-Cert: " + cert},
		"a field after a long one":     {"X-Long: " + strings.Repeat("x", 4000), "Client-Cert: " + cert},
		"a field that is two requests": {"Client-Cert: " + cert, "Content-Length: 0"},
	}
}

// lookalikes are names that only some programs take for the fields'.
func lookalikes(cert string) map[string][]string {
	return map[string][]string{
		"an underscore":                {"Client_Cert: " + cert},
		"an underscore, small letters": {"client_cert: " + cert},
		"an underscore beside a field": {"Client_Cert: " + cert, "Client-Cert: " + cert},
		"an underscore in a DN":        {"X_Client_Dn: CN=bob"},
	}
}

// unreadable are no fields of their name: refused, or part of another that says nothing. net/http makes a space of a
// folded line, as RFC 9112, section 5.2, lets it.
func unreadable(cert string) map[string][]string {
	return map[string][]string{
		"a folded field":              {"Client-Cert: " + cert[:60], " " + cert[60:]},
		"a field in a folded line":    {"X-Other: a", " Client-Cert: " + cert, "X-Third:", "\tb"},
		"a space before the colon":    {"Client-Cert : " + cert},
		"a field with a NUL":          {"Client-Cert: \x00" + cert},
		"a name with a space in it":   {"Client Cert: " + cert},
		"a carriage return in a name": {"X: a\rClient-Cert: " + cert},
	}
}

func TestThroughAPassthroughAClientIsItselfAndSpeaksForNobody(t *testing.T) {
	w := newWorld(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := w.serve(t, setting{dnField: "X-Client-Dn"})
			at := w.start(t, k, v).at(passthrough)
			seen := w.want(t, v, at, who{cert: "alice"}, ok, "alice")
			if seen.Address != proxyAddress || seen.Peer != proxyAddress {
				t.Errorf("without the PROXY protocol it comes from %+v", seen)
			}
			w.want(t, v, at, who{}, unauthorized, "")
			w.want(t, v, at, who{cert: "edge-proxy"}, unauthorized, "") // who holds it is a proxy, and no client
			w.want(t, v, at, who{cert: "mallory"}, failed, "")          // of another CA
			w.want(t, v, at, who{from: home, token: true}, unauthorized, "")
			for _, forgeries := range []map[string][]string{forged(w.field(t, "bob")), lookalikes(w.field(t, "bob"))} {
				for name, fields := range forgeries {
					t.Run(name, func(t *testing.T) {
						w.want(t, v, at, who{cert: "alice", fields: fields}, badRequest, "")
						w.want(t, v, at, who{fields: fields}, badRequest, "")
					})
				}
			}
			for name, fields := range unreadable(w.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					w.wantNobodyElse(t, v, at, who{cert: "alice", fields: fields})
				})
			}
			w.want(t, v, at, who{cert: "alice", before: "PROXY TCP4 127.0.0.8 127.0.0.1 1 2\r\n"}, failed, "")
		})
	}
}

func TestThroughTheProxyProtocolTheClientsAddressIsKnown(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		kind kind
		port string
	}{{haproxy, passthroughV2}, {haproxy, passthroughV1}, {nginx, passthroughV1}} {
		t.Run(test.kind.name+" "+test.port, func(t *testing.T) {
			v := w.serve(t, setting{proxies: speaks()})
			at := w.start(t, test.kind, v).at(test.port)
			for from, status := range map[string]int{home: ok, away: unauthorized} {
				client := ""
				if status == ok {
					client = "mediawiki"
				}
				seen := w.want(t, v, at, who{from: from, token: true}, status, client)
				if seen.Address != from || seen.Peer != proxyAddress {
					t.Errorf("it comes from %+v, want %s by way of the proxy", seen, from)
				}
			}
			w.want(t, v, at, who{cert: "alice"}, ok, "alice")
			for _, header := range []string{
				"PROXY TCP4 127.0.0.8 127.0.0.1 1 2\r\n", "PROXY UNKNOWN\r\n",
				"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x08\x7f\x00\x00\x01\x00\x01\x00\x02", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
			} {
				w.want(t, v, at, who{token: true, before: header}, failed, "")        // after the proxy's own
				w.want(t, v, v.address, who{token: true, before: header}, failed, "") // from who is no proxy
			}
			if seen := w.want(t, v, v.address, who{from: home, token: true}, ok, "mediawiki"); seen.Peer != home {
				t.Errorf("past the proxy it comes from %+v", seen)
			}
			// The proxy's own address without a header, as from another program on its machine.
			w.want(t, v, v.address, who{from: proxyAddress, cert: "alice"}, failed, "")
		})
	}
}

func TestHaproxysHealthChecksAreItsOwn(t *testing.T) {
	w := newWorld(t)
	for version, changes := range map[string][]string{
		"1": {" send-proxy-v2", " send-proxy"},     // PROXY TCP4 from itself
		"2": {" send-proxy\n", " send-proxy-v2\n"}, // LOCAL
	} {
		t.Run(version, func(t *testing.T) {
			v := w.serve(t, setting{proxies: speaks()})
			w.start(t, haproxy, v, changes...)
			for range 4 {
				select {
				case seen := <-v.checks:
					if seen.Address != proxyAddress || seen.Peer != proxyAddress {
						t.Errorf("a check comes from %+v", seen)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("there is no check")
				}
			}
		})
	}
}

func TestThroughATerminatingProxyAClientIsWhoTheProxySaysAndNobodyElse(t *testing.T) {
	w := newWorld(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := w.serve(t, k.behind())
			at := w.start(t, k, v).at(terminating)
			seen := w.want(t, v, at, who{cert: "alice"}, ok, "alice")
			if want := map[string]string{"haproxy": away, "nginx": proxyAddress}[k.name]; seen.Address != want || seen.Peer != proxyAddress {
				t.Errorf("it comes from %+v, want %s", seen, want)
			}
			w.want(t, v, at, who{cert: "alice-of-many-names"}, ok, "alice")
			w.want(t, v, at, who{}, unauthorized, "") // not the proxy, whose certificate it is that the service has seen
			if a := w.ask(t, at, who{cert: "mallory"}); a.Status == ok || v.last(t) != (record{}) {
				t.Errorf("a certificate of another CA reached the service: %+v", a)
			}
			for name, fields := range forged(w.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					w.want(t, v, at, who{fields: fields}, unauthorized, "")
					// One that asks the proxy to take the field off is nobody at worst.
					if a := w.ask(t, at, who{cert: "alice", fields: fields}); a.Status != ok || v.last(t).Client != "alice" {
						t.Errorf("status %d, %v; want it to be alice", a.Status, a.err)
					}
				})
			}
			for name, fields := range lookalikes(w.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					if k.name == haproxy.name {
						w.want(t, v, at, who{cert: "alice", fields: fields}, forbidden, "") // by haproxy
					} else {
						w.want(t, v, at, who{cert: "alice", fields: fields}, ok, "alice")
					}
				})
			}
			for name, fields := range unreadable(w.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					w.wantNobodyElse(t, v, at, who{cert: "alice", fields: fields})
				})
			}
		})
	}
}

func TestATerminatingProxySpeaksForEachClientOnAResumedTLSSessionToo(t *testing.T) {
	w := newWorld(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := w.serve(t, k.behind())
			at := w.start(t, k, v).at(terminating)
			for _, name := range []string{"alice", "bob", ""} {
				sessions, resumed := tls.NewLRUClientSessionCache(4), false
				for range 3 {
					a := w.ask(t, at, who{cert: name, resume: sessions})
					if seen := v.last(t); seen.Client != name {
						t.Errorf("%q is %q (resumed: %v)", name, seen.Client, a.resumed)
					}
					resumed = resumed || a.resumed
				}
				if !resumed {
					t.Errorf("no session of %q was resumed", name)
				}
			}
		})
	}
}

func TestClientsOfATerminatingProxyShareItsConnectionsAndNothingElse(t *testing.T) {
	w := newWorld(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := w.serve(t, k.behind())
			at := w.start(t, k, v).at(terminating)
			for range 5 {
				for _, who := range []who{{from: home, cert: "alice"}, {from: away, cert: "bob"}, {from: away}, {from: home, cert: "bob"}} {
					a := w.ask(t, at, who)
					seen := v.last(t)
					known := seen.Address == who.from || k.name == nginx.name && seen.Address == proxyAddress
					if seen.Client != who.cert || !known {
						t.Errorf("%+v gets %d, as %+v", who, a.Status, seen)
					}
				}
			}
			if conns := v.connections.Load(); k.name == nginx.name && conns >= 20 {
				t.Errorf("%d connections for 20 requests: nothing was shared", conns)
			}
		})
	}
}

func TestATokenPassesATerminatingProxyAndItsNetworksNeedTheProxyProtocol(t *testing.T) {
	w := newWorld(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := w.serve(t, k.behind())
			p := w.start(t, k, v)
			for _, port := range []string{terminating, dedicatedTokens} {
				if k.name == haproxy.name {
					w.want(t, v, p.at(port), who{from: home, token: true}, ok, "mediawiki")
				} else {
					w.want(t, v, p.at(port), who{from: home, token: true}, unauthorized, "")
				}
				w.want(t, v, p.at(port), who{from: away, token: true}, unauthorized, "")
			}
		})
	}
}

func TestOfDedicatedFrontendsOneIsForCertificatesAndTheOtherNever(t *testing.T) {
	w := newWorld(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := w.serve(t, k.behind())
			p := w.start(t, k, v)
			w.want(t, v, p.at(dedicatedCertificates), who{cert: "alice"}, ok, "alice")
			for _, cert := range []string{"", "mallory"} {
				if a := w.ask(t, p.at(dedicatedCertificates), who{cert: cert}); a.Status == ok || v.last(t) != (record{}) {
					t.Errorf("certificate %q reached the service: %+v", cert, a)
				}
			}
			w.want(t, v, p.at(dedicatedTokens), who{cert: "alice"}, unauthorized, "") // it is not asked for
			for name, fields := range forged(w.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					w.want(t, v, p.at(dedicatedCertificates), who{cert: "alice", fields: fields}, ok, "alice")
					w.want(t, v, p.at(dedicatedTokens), who{fields: fields}, unauthorized, "")
				})
			}
		})
	}
}

// What a careless operator leaves out of the examples, and what is then left.
func TestACarelessProxyOpensNothing(t *testing.T) {
	w := newWorld(t)
	const deletes = "\thttp-request del-header client-cert -m beg\n"
	bob := who{cert: "alice", fields: []string{"Client-Cert: " + w.field(t, "bob")}}
	for _, test := range []struct {
		name    string
		kind    kind
		changes []string
		port    string
		who     who
		status  int
	}{
		{"haproxy is not listed", haproxy, []string{"edge-proxy.pem", "other-proxy.pem"}, terminating, who{cert: "alice"}, badRequest},
		{"nginx is not listed", nginx, []string{"edge-proxy.", "other-proxy."}, terminating, who{cert: "alice"}, badRequest},
		{"haproxy has no certificate", haproxy, []string{" crt /etc/haproxy/edge-proxy.pem", ""}, terminating, who{cert: "alice"}, badRequest},
		{"haproxy adds to what the client sent", haproxy, []string{deletes, "", "set-header Client-Cert", "add-header Client-Cert"}, terminating, bob, badRequest},
		{"haproxy forwards an empty field", haproxy, []string{" if { ssl_c_used }", ""}, terminating, who{}, badRequest},
		{"haproxy forwards PEM's form", haproxy, []string{":%[ssl_c_der,base64]:", "%[ssl_c_der,base64]"}, terminating, who{cert: "alice"}, badRequest},
		{"haproxy passes on what is sent to a frontend for others", haproxy, []string{deletes, ""}, dedicatedTokens, bob, badRequest},
		{"nginx passes on what is sent to a frontend for others", nginx, []string{`proxy_set_header Client-Cert "";`, ""}, dedicatedTokens, bob, badRequest},
		{"nginx forwards PEM", nginx, []string{"Client-Cert $client_cert", "Client-Cert $ssl_client_escaped_cert"}, terminating, who{cert: "alice"}, badRequest},
		{"haproxy forwards nothing", haproxy, []string{"http-request set-header Client-Cert", "#"}, terminating, who{cert: "alice"}, unauthorized},
		{"nginx forwards nothing", nginx, []string{"Client-Cert $client_cert", `Client-Cert ""`}, terminating, who{cert: "alice"}, unauthorized},
		{"haproxy takes certificates of any CA", haproxy, []string{"verify optional", "verify optional crt-ignore-err all ca-ignore-err all"}, terminating, who{cert: "mallory"}, unauthorized},
		{"haproxy sends no PROXY header", haproxy, []string{" send-proxy-v2", ""}, terminating, who{cert: "alice"}, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := w.serve(t, test.kind.behind())
			w.want(t, v, w.start(t, test.kind, v, test.changes...).at(test.port), test.who, test.status, "")
		})
	}
}

func TestADistinguishedNameIsBelievedWhereBothSidesAreConfiguredSo(t *testing.T) {
	w := newWorld(t)
	changes := map[string][]string{
		"haproxy": {"\thttp-request set-header Client-Cert", "\t#", "#http-request set-header X-Client-Dn", "http-request set-header X-Client-Dn"},
		"nginx":   {"proxy_set_header Client-Cert $client_cert;", `proxy_set_header Client-Cert "";`, "\t\t\tproxy_set_header X-Client-Dn \"\";\n", "", "#proxy_set_header X-Client-Dn", "proxy_set_header X-Client-Dn"},
	}
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			s := k.behind()
			off := w.serve(t, s)
			w.want(t, off, w.start(t, k, off, changes[k.name]...).at(terminating), who{cert: "alice"}, unauthorized, "")

			s.dnField = "X-Client-Dn"
			v := w.serve(t, s)
			at := w.start(t, k, v, changes[k.name]...).at(terminating)
			w.want(t, v, at, who{cert: "alice"}, ok, "alice")
			w.want(t, v, at, who{cert: "alice", fields: []string{"X-Client-Dn: CN=bob"}}, ok, "alice")
			w.want(t, v, at, who{}, unauthorized, "")
			w.want(t, v, at, who{fields: []string{"X-Client-Dn: CN=bob"}}, unauthorized, "")
		})
	}
}

func TestAKeyPassesATerminatingProxyAsItWasSent(t *testing.T) {
	w := newWorld(t)
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := w.serve(t, k.behind())
			at := w.start(t, k, v).at(terminating)
			for path, status := range map[string]int{
				"/sessions/v1/enwiki%3Asession%3A1": ok, "/sessions/v1/a%2F..%2Fb": ok, "/sessions/v1/%2e%2e": ok, "/sessions/v1/%01%ff+~": ok,
				"/sessions/v1/a//b": noSuchResource, // which a proxy that merges slashes would have made a key
			} {
				if seen := w.want(t, v, at, who{cert: "alice", path: path}, status, "alice"); seen.Path != path {
					t.Errorf("%s arrives as %s", path, seen.Path)
				}
			}
		})
	}
}
