package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// nodeNames are the names that certificates of Cassandra nodes may have: host names, and wildcards for one label such as
// *.db.example. They are in lower case.
type nodeNames []string

// newNodeNames checks names and returns them in lower case. It fails closed: it rejects a name that would match hosts of more
// than one domain. Every error is a *FieldError.
func newNodeNames(texts []string, serverName string) (nodeNames, error) {
	var all nodeNames
	for i, text := range texts {
		name := strings.ToLower(text)
		if err := checkNodeName(name); err != nil {
			return nil, &FieldError{Field: fmt.Sprintf("names[%d]", i), Err: err}
		}
		all = append(all, name)
	}
	if len(all) > 0 && serverName != "" && !all.match(serverName) {
		return nil, &FieldError{Field: "server_name", Err: fmt.Errorf("%q is not one of names, but each certificate must contain it and one of names: leave out server_name, or add it to names", serverName)}
	}
	return all, nil
}

// checkNodeName accepts a host name, and "*." with a host name of at least two labels.
func checkNodeName(name string) error {
	if name == "" {
		return errors.New("empty; give a host name such as db1.example, or *.example.org for all hosts of a domain")
	}
	if net.ParseIP(name) != nil {
		return errors.New("is an IP address; leave out names, and each certificate must contain its node's address")
	}
	host, wildcard := strings.CutPrefix(name, "*.")
	labels := strings.Split(host, ".")
	if strings.Contains(host, "*") {
		return errors.New("only the whole first label can be a wildcard, as in *.example.org, and it stands for one label")
	}
	if wildcard && len(labels) < 2 {
		return errors.New("matches hosts of more than one domain; name the domain, as in *.example.org")
	}
	for _, label := range labels {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("is not a host name")
		}
	}
	return nil
}

// match reports whether a name in a certificate is one of the names. A wildcard in the certificate stands for each of its
// hosts, so it matches the same wildcard and each of these hosts.
func (ns nodeNames) match(certified string) bool {
	certified = strings.ToLower(certified)
	_, domain, _ := strings.Cut(certified, ".")
	for _, name := range ns {
		_, nameDomain, _ := strings.Cut(name, ".")
		switch {
		case name == certified:
			return true
		case strings.HasPrefix(name, "*.") && domain == nameDomain && checkNodeName(certified) == nil:
			return true
		case strings.HasPrefix(certified, "*.") && domain == nameDomain && checkNodeName(certified) == nil:
			return true
		}
	}
	return false
}

// verifier returns a VerifyConnection (crypto/tls) that accepts nodes with one of the names. It does not compare the
// certificate with the address that was dialled.
//
// It replaces the verification of crypto/tls. So it also verifies the chain against the roots, that the certificate is for
// servers, and the server name if there is one. It fails closed: without names it accepts nothing.
func (ns nodeNames) verifier(roots *x509.CertPool, serverName string, now func() time.Time) func(tls.ConnectionState) error {
	return func(c tls.ConnectionState) error {
		if len(c.PeerCertificates) == 0 || roots == nil {
			return errors.New("the node has sent no certificate, or there is no CA")
		}
		leaf, intermediates := c.PeerCertificates[0], x509.NewCertPool()
		for _, cert := range c.PeerCertificates[1:] {
			intermediates.AddCert(cert)
		}
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: intermediates, CurrentTime: now(), DNSName: serverName,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			return err
		}
		for _, name := range leaf.DNSNames {
			if ns.match(name) {
				return nil
			}
		}
		return fmt.Errorf("the node's certificate is for %q, and none of these names is in cassandra.tls.names", leaf.DNSNames)
	}
}
