package cassandra

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
)

// relogInterval is the time after which the same failed login to the same node is logged again.
const relogInterval = 10 * time.Minute

// ErrCannotLogIn is the error of Open and OpenAdmin if a node asks for credentials that are not configured, or for more than a
// password and a client certificate. Another attempt cannot help.
var ErrCannotLogIn = errors.New("the service cannot log in to Cassandra")

// errCredentials is the error of a connection attempt for which the user and the password could not be read.
var errCredentials = errors.New("the user and password for Cassandra cannot be read")

// login logs new connections in. It reads user and password for each connection, so that both can change while the
// service runs. Connections that exist stay logged in.
//
// login answers every authenticator with user and password (SASL PLAIN), whatever the authenticator's name is. It returns an
// error for authenticators that are known to need something else. It is safe for concurrent use.
type login struct {
	credentials    func() (username string, password []byte, err error)
	hasCertificate func() bool
	refused        prometheus.Counter
	log            *slog.Logger
	now            func() time.Time

	mu    sync.Mutex
	nodes map[string]*nodeLogin // by address
}

// nodeLogin is what is known about the logins to one node.
type nodeLogin struct {
	sent       sentHash // of the last user and password sent; zero if the node has never asked
	failure    error    // of the last connection attempt; nil if it logged in
	loggedText string   // the failure that was logged last
	loggedSent sentHash // sent at that failure
	loggedAt   time.Time
}

// sentHash is the SHA-256 of a user and a password, so that the password does not stay in memory.
type sentHash [sha256.Size]byte

var _ gocql.ConnectObserver = (*login)(nil)

func newLogin(c Config, refused prometheus.Counter, log *slog.Logger, now func() time.Time) *login {
	return &login{
		credentials: c.Credentials, refused: refused, log: log, now: now, nodes: make(map[string]*nodeLogin),
		hasCertificate: func() bool {
			config := c.TLS()
			return config != nil && (len(config.Certificates) > 0 || config.GetClientCertificate != nil)
		},
	}
}

// authenticator returns the authenticator of a new connection. It is gocql's AuthProvider.
func (l *login) authenticator(host *gocql.HostInfo) (gocql.Authenticator, error) {
	return plainAuthenticator{login: l, address: host.ConnectAddress().String()}, nil
}

// node returns what is known about a node, and creates it on first use. The caller holds mu.
func (l *login) node(address string) *nodeLogin {
	n := l.nodes[address]
	if n == nil {
		n = &nodeLogin{}
		l.nodes[address] = n
	}
	return n
}

func (l *login) setSent(address string, s sentHash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.node(address).sent = s
}

// ObserveConnect implements gocql.ConnectObserver. The driver calls it after each connection attempt.
func (l *login) ObserveConnect(o gocql.ObservedConnect) {
	address := o.Host.ConnectAddress().String()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.node(address)
	n.failure = loginFailure(address, n.sent, o.Err)
	switch {
	case o.Err == nil:
		n.loggedText = ""
		return
	case n.failure == nil: // the node cannot be reached: nothing is known about the login
		return
	}
	if isRefusal(o.Err) && n.sent != (sentHash{}) {
		l.refused.Inc()
	}
	text := n.failure.Error()
	if text == n.loggedText && n.sent == n.loggedSent && l.now().Sub(n.loggedAt) < relogInterval {
		return
	}
	n.loggedText, n.loggedSent, n.loggedAt = text, n.sent, l.now()
	l.log.Error("login to a Cassandra node failed; trying again", "cause", text)
}

// failure returns a login failure of the last connection attempts, or nil. It wraps ErrCannotLogIn only if this is the result of
// every node: another node may be configured in another way.
func (l *login) failure() (failure error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	permanent := true
	for _, n := range l.nodes {
		permanent = permanent && errors.Is(n.failure, ErrCannotLogIn)
		if n.failure != nil {
			failure = n.failure
		}
	}
	if failure != nil && !permanent && errors.Is(failure, ErrCannotLogIn) {
		return errors.New(failure.Error())
	}
	return failure
}

// loginFailure returns the error of a connection attempt if it is about the login, and otherwise nil.
func loginFailure(address string, sent sentHash, err error) error {
	switch {
	case isRefusal(err) && sent != (sentHash{}):
		return fmt.Errorf("password refused by %s: %w; compare cassandra.username and the file cassandra.password_file with the role in Cassandra", address, err)
	case isRefusal(err):
		return fmt.Errorf("client certificate refused by %s: %w; see cassandra.tls.certificate", address, err)
	case errors.Is(err, ErrCannotLogIn), errors.Is(err, errCredentials):
		return err
	}
	return nil
}

// isRefusal reports whether err is Cassandra's answer to wrong credentials.
func isRefusal(err error) bool {
	var answer gocql.RequestError
	return errors.As(err, &answer) && answer.Code() == gocql.ErrCodeCredentials
}

// plainAuthenticator logs one connection in, with SASL PLAIN.
type plainAuthenticator struct {
	login   *login
	address string
	class   string // the node's authenticator; empty before the node has named it
	answer  []byte // the password, if the node has been answered with it
}

var _ gocql.Authenticator = plainAuthenticator{}

// Challenge implements gocql.Authenticator. The first request is the class name of the node's authenticator.
//
// DseAuthenticator supports several mechanisms. Challenge names the mechanism first, and the node then asks PLAIN-START.
func (c plainAuthenticator) Challenge(request []byte) ([]byte, gocql.Authenticator, error) {
	const mechanism = "PLAIN"
	first := c.class == ""
	if first {
		c.class = string(request)
		if err := c.login.check(c.class); err != nil {
			return nil, nil, fmt.Errorf("%w: node %s has authenticator %s: %w", ErrCannotLogIn, c.address, c.class, err)
		}
		if simpleName(c.class) == "DseAuthenticator" {
			return []byte(mechanism), c, nil
		}
	}
	if c.answer != nil || !first && string(request) != mechanism+"-START" {
		return nil, nil, fmt.Errorf("%w: node %s has authenticator %s, which asks for more than a password", ErrCannotLogIn, c.address, c.class)
	}
	var err error
	c.answer, err = c.password()
	return c.answer, c, err
}

// Success implements gocql.Authenticator. It overwrites the password that was sent. The driver's own copy stays in its buffer for
// frames until that is used again.
func (c plainAuthenticator) Success([]byte) error {
	clear(c.answer)
	return nil
}

// password reads user and password, and returns them in the form of SASL PLAIN. It fails closed: nothing is sent if one of
// them is empty, or contains the byte that separates them.
func (c plainAuthenticator) password() ([]byte, error) {
	if c.login.credentials == nil {
		return nil, fmt.Errorf("%w: node %s asks for a password (%s), but none is configured: set cassandra.username and cassandra.password_file", ErrCannotLogIn, c.address, c.class)
	}
	username, password, err := c.login.credentials()
	defer clear(password)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentials, err)
	}
	if username == "" || len(password) == 0 || strings.Contains(username, "\x00") || bytes.IndexByte(password, 0) >= 0 {
		return nil, fmt.Errorf("%w: one of them is empty or contains a zero byte", errCredentials)
	}
	response := make([]byte, 0, 2+len(username)+len(password)) // a buffer that grows leaves copies of the password
	response = append(append(append(append(response, 0), username...), 0), password...)
	c.login.setSent(c.address, sha256.Sum256(response[1:]))
	return response, nil
}

// check returns an error if it is known that the service cannot log in to an authenticator.
func (l *login) check(class string) error {
	name := simpleName(class)
	switch {
	case strings.Contains(name, "Kerberos"), strings.Contains(name, "GSSAPI"):
		return errors.New("the service does not support Kerberos: use an authenticator for passwords or client certificates")
	case name == "MutualTlsAuthenticator" && !l.hasCertificate():
		return errors.New("it needs a client certificate: set cassandra.tls.certificate and cassandra.tls.key")
	}
	return nil
}

// simpleName returns the name of a Java class without its package.
func simpleName(class string) string { return class[strings.LastIndexByte(class, '.')+1:] }
