package cassandra

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/store"
)

const (
	passwordAuthenticator = "org.apache.cassandra.auth.PasswordAuthenticator"
	mutualTLSClass        = "org.apache.cassandra.auth.MutualTlsAuthenticator"
)

// withPassword returns the settings of a session that logs in as user.
func (s *stub) withPassword(password func() (string, error)) Config {
	c := s.config()
	c.Credentials = func() (string, []byte, error) {
		p, err := password()
		return "user", []byte(p), err
	}
	return c
}

func TestLogin_WorksWithEveryAuthenticatorForPasswords(t *testing.T) {
	for _, c := range []struct{ class, challenge string }{
		{"", ""}, // AllowAllAuthenticator
		{passwordAuthenticator, ""},
		{"org.apache.cassandra.auth.MutualTlsWithPasswordFallbackAuthenticator", ""},
		{"com.datastax.bdp.cassandra.auth.DseAuthenticator", "PLAIN-START"},
		{"com.example.LDAPAuthenticator", ""},
	} {
		t.Run(c.class, func(t *testing.T) {
			s := newStub(t)
			s.set(func(s *stubState) { s.authenticator, s.challenge, s.password = c.class, c.challenge, "right" })
			s.open(s.withPassword(func() (string, error) { return "right", nil }), slog.New(slog.DiscardHandler))
		})
	}
}

func TestLogin_NamesAuthenticatorThatCannotWork(t *testing.T) {
	for name, c := range map[string]struct {
		class, challenge string
		want             string
	}{
		"Kerberos":                                {"com.example.KerberosAuthenticator", "", "com.example.KerberosAuthenticator: the service does not support Kerberos"},
		"client certificates without one":         {mutualTLSClass, "", mutualTLSClass + ": it needs a client certificate"},
		"an authenticator that goes on asking":    {"com.example.TwoFactors", "second factor", "com.example.TwoFactors, which asks for more than a password"},
		"an authenticator that asks PLAIN for it": {"com.example.TwoFactors", "PLAIN-START", "com.example.TwoFactors, which asks for more than a password"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t)
			s.set(func(s *stubState) { s.authenticator, s.challenge, s.password = c.class, c.challenge, "right" })
			config := s.withPassword(func() (string, error) { return "right", nil })
			log := slog.New(slog.DiscardHandler)
			_, openErr := Open(t.Context(), config, NewMetrics(prometheus.NewRegistry()), log, time.Now)
			_, adminErr := OpenAdmin(t.Context(), config, log)
			for _, err := range []error{openErr, adminErr} {
				if !errors.Is(err, ErrCannotLogIn) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "right") {
					t.Errorf("got error %v, want %q", err, c.want)
				}
			}
		})
	}
}

func TestLogin_WorksWithClientCertificate(t *testing.T) {
	s := newStub(t)
	s.set(func(s *stubState) { s.authenticator, s.password = mutualTLSClass, "right" })
	c := s.withPassword(func() (string, error) { return "right", nil })
	c.TLS = func() *tls.Config { return &tls.Config{RootCAs: s.ca.Pool(), Certificates: []tls.Certificate{s.cert}} }
	s.open(c, slog.New(slog.DiscardHandler))
}

func TestLogin_FailsClosed(t *testing.T) {
	s := newStub(t)
	s.set(func(s *stubState) { s.authenticator, s.password = passwordAuthenticator, "" })
	for name, c := range map[string]struct {
		credentials func() (string, []byte, error)
		want        error
	}{
		"none configured": {nil, ErrCannotLogIn},
		"unreadable":      {func() (string, []byte, error) { return "user", []byte("right"), errors.New("no such file") }, errCredentials},
		"no user":         {func() (string, []byte, error) { return "", []byte("right"), nil }, errCredentials},
		"no password":     {func() (string, []byte, error) { return "user", nil, nil }, errCredentials},
		"a zero byte":     {func() (string, []byte, error) { return "user\x00", []byte("right"), nil }, errCredentials},
	} {
		config := s.config()
		config.Credentials = c.credentials
		_, err := OpenAdmin(t.Context(), config, slog.New(slog.DiscardHandler))
		if !errors.Is(err, c.want) || strings.Contains(fmt.Sprint(err), "right") {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

func TestLogin_NamesRefusedPasswordAtStart(t *testing.T) {
	s := newStub(t)
	s.set(func(s *stubState) { s.authenticator, s.password = passwordAuthenticator, "right" })
	_, err := OpenAdmin(t.Context(), s.withPassword(func() (string, error) { return "wrong", nil }), slog.New(slog.DiscardHandler))
	if err == nil || errors.Is(err, ErrCannotLogIn) || !strings.Contains(err.Error(), "password refused by 127.0.0.1") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("got error %v", err)
	}
}

// TestLogin_UsesNewPasswordWithoutRestart changes the role's password, restarts the node, and only then changes the file.
func TestLogin_UsesNewPasswordWithoutRestart(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	s.set(func(s *stubState) { s.authenticator, s.password = passwordAuthenticator, "old-secret" })
	var password, unreadable atomic.Value
	password.Store("old-secret")
	config := s.withPassword(func() (string, error) {
		if err, ok := unreadable.Load().(string); ok && err != "" {
			return "", errors.New(err)
		}
		return password.Load().(string), nil
	})
	var log logBuffer
	session, registry := s.open(config, slog.New(slog.NewTextHandler(&log, nil)))
	table := session.Table(store.CollectionConfig{Name: "sessions", Table: "sessions", MaxTTL: time.Hour})
	ready := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return table.Ready(ctx) == nil
	}

	s.set(func(s *stubState) { s.password = "new-secret" })
	if !ready() {
		t.Error("a connection that was logged in does not work any more")
	}
	s.disconnect("")
	eventually(t, "several logins were refused", func() bool {
		return gatherGauge(t, registry, "userinfo_cassandra_password_refused_total") >= 4
	})
	if n := strings.Count(log.String(), "password refused by 127.0.0.1"); n != 1 {
		t.Errorf("the refused password was logged %d times, want once:\n%s", n, log.String())
	}
	if ready() {
		t.Error("ready without a login")
	}

	unreadable.Store("no such file")
	eventually(t, "the unreadable file is logged", func() bool { return strings.Contains(log.String(), "no such file") })
	unreadable.Store("")
	password.Store("new-secret")
	eventually(t, "the new password works", ready)
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log contains a password:\n%s", log.String())
	}
}

// TestLogin_LogsEachFailureOnce uses a clock, and reports connection attempts as the driver does.
func TestLogin_LogsEachFailureOnce(t *testing.T) {
	now := time.Unix(0, 0)
	var log logBuffer
	refused := newPasswordRefused()
	l := newLogin(Config{}, refused, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	attempt := func(last byte, password string, err error) {
		host := new(gocql.HostInfo).SetConnectAddress([]byte{10, 0, 0, last})
		l.setSent(host.ConnectAddress().String(), sha256.Sum256([]byte(password)))
		l.ObserveConnect(gocql.ObservedConnect{Host: host, Err: err})
	}
	no := badCredentials{}
	for i, c := range []struct {
		do   func()
		want int // lines in the log
	}{
		{func() { attempt(1, "a", no) }, 1},
		{func() { attempt(1, "a", no) }, 1},
		{func() { attempt(2, "a", no) }, 2},
		{func() { attempt(1, "a", errors.New("connection refused")) }, 2},
		{func() { attempt(1, "a", no) }, 2},
		{func() { attempt(1, "b", no) }, 3},
		{func() { now = now.Add(relogInterval); attempt(1, "b", no) }, 4},
		{func() { attempt(1, "c", nil) }, 4},
		{func() { attempt(1, "b", no) }, 5},
	} {
		c.do()
		if got := strings.Count(log.String(), "\n"); got != c.want {
			t.Errorf("after step %d the log has %d lines, want %d", i, got, c.want)
		}
	}
	if got := testutil.ToFloat64(refused); got != 7 {
		t.Errorf("%v refused passwords were counted, want 7", got)
	}
	attempt(1, "", no) // no password was sent
	if l.setSent("10.0.0.1", sentHash{}); testutil.ToFloat64(refused) != 8 {
		t.Error("the user alone does not count")
	}
	l.ObserveConnect(gocql.ObservedConnect{Host: new(gocql.HostInfo).SetConnectAddress([]byte{10, 0, 0, 1}), Err: no})
	if !strings.Contains(log.String(), "client certificate refused by 10.0.0.1") || testutil.ToFloat64(refused) != 8 {
		t.Errorf("a refused certificate was counted as a password, or not logged:\n%s", log.String())
	}
}

// badCredentials is Cassandra's answer to wrong credentials.
type badCredentials struct{}

func (badCredentials) Code() int       { return gocql.ErrCodeCredentials }
func (badCredentials) Message() string { return "no" }
func (badCredentials) Error() string   { return "no" }

func TestLogin_FailureIsPermanentOnlyIfEveryNodeSaysSo(t *testing.T) {
	l := newLogin(Config{}, newPasswordRefused(), slog.New(slog.DiscardHandler), time.Now)
	observe := func(last byte, err error) {
		l.ObserveConnect(gocql.ObservedConnect{Host: new(gocql.HostInfo).SetConnectAddress([]byte{10, 0, 0, last}), Err: err})
	}
	if err := l.failure(); err != nil {
		t.Errorf("before any attempt: %v", err)
	}
	observe(1, ErrCannotLogIn)
	if err := l.failure(); !errors.Is(err, ErrCannotLogIn) {
		t.Errorf("the only node: got %v, want ErrCannotLogIn", err)
	}
	observe(2, errors.New("connection refused"))
	if err := l.failure(); err == nil || errors.Is(err, ErrCannotLogIn) {
		t.Errorf("another node is away: got %v, want an error that is not ErrCannotLogIn", err)
	}
	observe(2, ErrCannotLogIn)
	if err := l.failure(); !errors.Is(err, ErrCannotLogIn) {
		t.Errorf("both nodes: got %v, want ErrCannotLogIn", err)
	}
}
