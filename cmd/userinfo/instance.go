package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"userinfo/internal/keyfile"
)

// instanceHost returns the host of an instance's URL, with the port if the URL has one. It accepts https only, so that no credential is
// sent in clear.
func instanceHost(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("write https:// and a host, with a port if it is not 443, and nothing else")
	}
	return u.Host, nil
}

// readCertificates returns the certificates in a PEM file, at least one.
func readCertificates(name string) (all []*x509.Certificate, err error) {
	text, err := keyfile.ReadPublic(name)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s holds no certificate: %w", name, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM", name)
	}
	return all, nil
}

// readCAs returns a pool of the CAs in a PEM file. Without a file it returns nil, which stands for the CAs of this machine.
func readCAs(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	certificates, err := readCertificates(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return pool, nil
}
