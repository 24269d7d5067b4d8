package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/config"
	"userinfo/internal/devca"
	"userinfo/store"
	"userinfo/tlsconf"
)

// devMemory bounds the memory store of `userinfo dev`.
const devMemory = 256 << 20

// dev serves from memory on loopback, with a CA, certificates, a token and a signature key made for the occasion. It ends with its
// terminal, lest the keys outlive it.
func dev(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // nor when nobody reads what it says
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8443", "the `ADDRESS` to serve on, of this machine only")
	keep := flags.Bool("keep", false, "keep the directory with the keys on exit")
	debug := flags.Bool("debug", false, "log every request")
	open := flags.Bool("open", false, "let anybody on this machine do everything, without credentials")
	if !parseFlags(flags, args, stderr) {
		return exitUsage
	}
	if err := serveDev(ctx, *listen, *keep, *debug, *open, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "userinfo dev:", err)
		return exitFailed
	}
	return exitOK
}

func serveDev(ctx context.Context, listen string, keep, debug, open bool, stdout, stderr io.Writer) (err error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w; --listen 127.0.0.1:0 takes any free port", err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return errors.Join(fmt.Errorf("%s is not on loopback: dev is for this machine alone", listen), l.Close())
	}
	dir, err := os.MkdirTemp("", "userinfo-dev-") // 0700
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if !keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	c, err := devConfig(dir)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if debug {
		c.LogLevel = "debug"
	}
	f, err := openFiles(c, false)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	keys, err := newKeys()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	f.keys.Store(keys)
	s, err := newService(c, f, stderr)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if open {
		if err := s.openToAnybody(); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	sayDev(stdout, dir, "https://"+l.Addr().String()+c.Collections[0].Path, keep)
	return s.run(ctx, l, inMemory(store.NewMemory(devMemory, time.Now)))
}

// inMemory has all collections in one memory store.
func inMemory(m *store.Memory) opener {
	return func(store.CollectionConfig) store.Rows { return m }
}

// openToAnybody replaces every audience's protections with none.
func (s *service) openToAnybody() error {
	rules := s.config.PolicyConfig(time.Now)
	rules.Dev, rules.Audiences = true, make(access.Audiences)
	for _, name := range append(rules.Collections, access.Metrics, access.OpenAPI, access.Health) {
		rules.Audiences[name] = []access.Alternative{{Allow: ptr(true)}}
	}
	policy, err := access.NewPolicy(rules)
	if err == nil {
		s.policy.Store(policy)
	}
	return err
}

// devConfig makes what a client and the service need in dir, and a configuration with one client, who may come by each way.
func devConfig(dir string) (*config.Config, error) {
	ca, err := devca.New("userinfo dev")
	if err != nil {
		return nil, err
	}
	token, err := access.NewToken(rand.Reader)
	if err != nil {
		return nil, err
	}
	caFile := filepath.Join(dir, "ca.crt")
	serverCert, serverKey, err := ca.Write(dir, "server", devca.Loopback())
	if err != nil {
		return nil, err
	}
	if _, _, err := ca.Write(dir, "client", devca.Leaf{CommonName: "dev", Client: true}); err != nil {
		return nil, err
	}
	secret, err := signature.NewSecret(rand.Reader)
	if err != nil {
		return nil, err
	}
	signatureKey := filepath.Join(dir, "signature.key")
	header := "Authorization: Bearer " + string(token) + "\n" // as curl -H @file takes it
	if err := errors.Join(os.WriteFile(caFile, ca.PEM(), 0o600), os.WriteFile(filepath.Join(dir, "token.header"), []byte(header), 0o600),
		os.WriteFile(signatureKey, []byte(secret.Text()+"\n"), 0o600)); err != nil {
		return nil, err
	}
	proven := []access.Alternative{{Certificate: ptr(true)}, {Token: ptr(true)}, {Signed: ptr(true)}}
	c := &config.Config{
		Audiences: access.Audiences{
			"sessions": proven, access.Metrics: proven, access.OpenAPI: proven, access.Health: {{Allow: ptr(true)}},
		},
		TLS:         tlsconf.ServerFiles{Certificate: serverCert, Key: serverKey, ClientCA: caFile},
		Collections: []config.Collection{{Name: "sessions"}},
		Clients: []access.Client{{
			Name:          "dev",
			Certificates:  []access.CertificateName{{CN: "dev"}},
			Tokens:        []access.TokenRule{{SHA256: token.HashText()}},
			SignatureKeys: []access.SignatureKey{{ID: "dev", File: signatureKey}},
			Grants:        []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete", "metrics:get", "openapi:get"},
			Keys:          []string{"*"},
		}},
		Shutdown: config.Shutdown{Drain: ptr(time.Duration(0))},
	}
	c.ApplyDefaults()
	return c, nil
}

// sayDev prints what can be pasted into a shell.
func sayDev(w io.Writer, dir, base string, keep bool) {
	fate := "removed on exit"
	if keep {
		fate = "kept"
	}
	fmt.Fprintf(w, `UserInfo, on this machine only. NOT FOR PRODUCTION: everything is in memory and lost on exit, there is no second
datacentre for a logout to reach, and whoever can read %[1]s
(0700, %[3]s) holds every key there is.

With the client certificate:
  ui() { curl -sS --cacert %[1]s/ca.crt --cert %[1]s/client.crt --key %[1]s/client.key "$@"; }
or with the bearer token:
  ui() { curl -sS --cacert %[1]s/ca.crt -H @%[1]s/token.header "$@"; }
or, for one request, with a signature:
  U=%[2]s/k; userinfo sign --key %[1]s/signature.key --keyid dev $U | curl -sS -i --cacert %[1]s/ca.crt -H @- $U

set, for an hour:  ui -i -X PUT -H 'TTL: 3600' --data-binary 'who=alice' %[2]s/enwiki%%3Asession%%3A1
get:               ui -i %[2]s/enwiki%%3Asession%%3A1
touch, for a day:  ui -i -X PATCH -H 'TTL: 86400' %[2]s/enwiki%%3Asession%%3A1
delete:            ui -i -X DELETE %[2]s/enwiki%%3Asession%%3A1

A deleted key stays deleted for a minute: to go through this again, take another.
Ctrl-C stops it.
`, dir, base, fate)
}

func ptr[T any](v T) *T { return &v }
