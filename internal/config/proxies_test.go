package config

import "testing"

func TestProxies_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"a proxy network of all addresses", sessions, sessions + "\nproxies: {proxy_protocol: [{network: 0.0.0.0/0}]}", "u.yaml:11: proxies.proxy_protocol[0].network: "},
		{"an unknown mode", sessions, sessions + "\nproxies: {proxy_protocol: [{network: 10.0.0.7/32, mode: maybe}]}", "u.yaml:11: proxies.proxy_protocol[0].mode: "},
		{"a proxy's certificate without a CA", sessions, sessions + "\nproxies: {certificates: [{cn: edge}]}", "u.yaml:11: proxies.certificates[0]: "},
		{"client_dn without proxies", sessions, sessions + "\nproxies: {client_dn: {field: X-Client-Dn}}", "u.yaml:11: proxies.certificates: "},
	})
}
