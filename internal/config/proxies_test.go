package config

import "testing"

func TestProxies_ValidateRejects(t *testing.T) {
	const tlsLine, withCA = "tls: {certificate: server.crt, key: server.key}", "tls: {certificate: server.crt, key: server.key, client_ca: ca.crt}"
	testMistakes(t, []mistake{
		{"a proxy network of all addresses", sessions, sessions + "\nproxies: {proxy_protocol: [{network: 0.0.0.0/0}]}", "u.yaml:11: proxies.proxy_protocol[0].network: "},
		{"an unknown mode", sessions, sessions + "\nproxies: {proxy_protocol: [{network: 10.0.0.7/32, mode: maybe}]}", "u.yaml:11: proxies.proxy_protocol[0].mode: "},
		{"a proxy's certificate without a CA", sessions, sessions + "\nproxies: {certificates: [{cn: edge}]}", "u.yaml:11: proxies.certificates[0]: "},
		{"an unknown header of a proxy", tlsLine, withCA + "\nproxies: {certificates: [{cn: edge, header: x-forwarded-client-cert}]}", "u.yaml:3: proxies.certificates[0].header: unknown header; write client-cert"},
		{"client_dn with proxies that may not send it", tlsLine, withCA + "\nproxies: {client_dn: {field: X-Client-Dn, ca: client_ca}, certificates: [{cn: edge, header: xfcc}]}", "u.yaml:3: proxies.client_dn.field: no proxy may send it"},
		{"client_dn without proxies", sessions, sessions + "\nproxies: {client_dn: {field: X-Client-Dn}}", "u.yaml:11: proxies.certificates: "},
	})
}
