package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"userinfo/access"
	"userinfo/internal/keyfile"
	"userinfo/tlsconf"
)

// question is a request that check-config is asked about.
type question struct {
	credentials access.Credentials
	untrusted   error // why the certificate is not accepted; nil if it is
	grant       access.Grant
	key         access.Key
}

// newQuestion reads the values of --as, --may and --key-file. server verifies a certificate.
func newQuestion(as, may, keyFile string, server *tlsconf.Server) (q question, err error) {
	q.grant = access.Grant(may)
	seen := make(map[string]bool)
	for _, credential := range strings.Split(as, ",") {
		name, value, _ := strings.Cut(credential, "=")
		switch {
		case value == "":
			return q, fmt.Errorf("--as: %q is not NAME=VALUE", name)
		case seen[name]:
			return q, fmt.Errorf("--as: %s is there twice; a request has one", name)
		}
		seen[name] = true
		switch name {
		case "certificate":
			err = q.readCertificate(value, server)
		case "token":
			err = q.readToken(value)
		case "signature":
			q.credentials.SignatureKey = value
		case "address":
			q.credentials.Remote, err = netip.ParseAddr(value)
		default:
			err = errors.New("there are certificate, token, signature and address")
		}
		if err != nil {
			return q, fmt.Errorf("--as %s: %w", name, err)
		}
	}
	if keyFile != "" {
		if q.key, err = readSessionKey(keyFile); err != nil {
			return q, fmt.Errorf("--key-file: %w", err)
		}
	}
	return q, nil
}

// healthGrant is the name of health in --may. Health has no grants; its audience alone decides.
var healthGrant = access.GrantOn(access.Health, access.Get)

// checkGrant returns an error if the grant does not exist, or if it needs a session key that is missing.
func (q *question) checkGrant(p *access.Policy) error {
	if q.grant == healthGrant {
		return nil
	}
	needsKey, err := p.NeedsKey(q.grant)
	switch {
	case err != nil:
		return fmt.Errorf("--may: %w, health:get", err)
	case needsKey && q.key == "":
		return errors.New("--key-file is missing: this grant needs a session key")
	}
	return nil
}

// readToken adds the token in a secret file to the credentials.
func (q *question) readToken(name string) error {
	credentials, err := readBearer(name)
	if err == nil {
		q.credentials.Authorization = append(q.credentials.Authorization, credentials)
	}
	return err
}

// readBearer reads a secret file that holds a token, and returns the Authorization header with this token. Its errors do not contain
// the name of the file, which may be the token itself in the wrong place.
func readBearer(name string) (string, error) {
	return keyfile.Read(name, func(text []byte) (string, error) {
		token := strings.TrimRight(string(text), "\r\n")
		if token == "" || strings.ContainsAny(token, " \r\n") {
			return "", errors.New("the file must hold the token alone, in one line")
		}
		return "Bearer " + token, nil
	})
}

// readCertificate reads a certificate chain in PEM, leaf first, and verifies it as the service does.
func (q *question) readCertificate(name string, server *tlsconf.Server) error {
	chain, err := readCertificates(name)
	if err != nil {
		return err
	}
	q.credentials.Certificate = chain[0]
	chains, err := server.BuildChains(chain[0], chain[1:])
	if err == nil {
		q.credentials.ClientCAs, err = server.VerifyChains(chains)
	}
	q.untrusted = err
	return nil
}

// answer prints whether the request would be allowed, and returns it. It asks the functions that the service uses, in the
// same order.
func (q question) answer(p *access.Policy, w io.Writer) (allowed bool) {
	health := q.grant == healthGrant
	if health && p.IsOpen(access.Health) { // whatever the credentials are
		fmt.Fprintln(w, "allowed, as anybody")
		return true
	}
	if q.untrusted != nil {
		return refuse(w, "", q.untrusted)
	}
	if _, proxy := p.IsProxy(q.credentials.Certificate, q.credentials.ClientCAs); proxy {
		q.credentials.Certificate, q.credentials.ClientCAs = nil, nil // a proxy's certificate is not its client's
	}
	id, err := p.Authenticate(q.credentials)
	if err != nil {
		return refuse(w, "", err)
	}
	if health {
		err = access.Admit(id, access.Health)
	} else {
		_, err = access.Authorize(id, q.grant, q.key)
	}
	if err != nil {
		return refuse(w, id.Client(), err)
	}
	client := clientName(id.Client())
	if proofs := id.AuthenticatedBy(); len(proofs) > 0 {
		client += ", known by " + strings.Join(proofs, " and ")
	}
	fmt.Fprintf(w, "allowed, as %s\n", client)
	return true
}

func refuse(w io.Writer, client string, err error) (allowed bool) {
	fmt.Fprintf(w, "refused, as %s: %v\n", clientName(client), err)
	return false
}

// clientName returns the name of a client in an answer.
func clientName(client string) string {
	if client == "" {
		return "nobody"
	}
	return client
}
