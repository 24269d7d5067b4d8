package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/config"
	"userinfo/internal/devca"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// devMemory is the largest size in bytes of what `userinfo dev` stores.
const devMemory = 256 << 20

// devOptions are the flags of dev.
type devOptions struct {
	listen            string
	keep, debug, open bool
	fenceExempt       []string
}

func devCommand() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:   "dev",
		Short: "Serve from memory on this machine, to try the service",
		Long: `Dev serves one collection, sessions, and passwords from memory, on a loopback address. It makes a CA, certificates, a token and keys in a
temporary directory, and prints commands to paste. It stops with Ctrl-C or when its terminal closes.`,
		Example: `  userinfo dev
  userinfo dev --listen 127.0.0.1:9443 --debug`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGHUP) // the keys must not outlive the terminal
			defer stop()
			ignoreBrokenPipe() // so that the directory is removed even if nobody reads the output
			return failed(serveDev(ctx, o, c.OutOrStdout(), c.ErrOrStderr()))
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8443", "loopback `ADDRESS` to serve on; port 0 takes any free port")
	f.BoolVar(&o.keep, "keep", false, "keep the directory with the keys on exit")
	f.BoolVar(&o.debug, "debug", false, "log every request")
	f.StringSliceVar(&o.fenceExempt, "fence-exempt", nil, "`PATTERN` of keys that can be set again at once after a delete, as fence_exempt of a collection")
	f.BoolVar(&o.open, "open", false, "let everybody on this machine do everything, without credentials")
	return c
}

func serveDev(ctx context.Context, o devOptions, stdout, stderr io.Writer) (err error) {
	l, err := listenLoopback(o.listen)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "userinfo-dev-") // mode 0700
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	c, err := devConfig(dir, o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	opened, err := (&config.File{Config: c}).Open(time.Now)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s, err := newService(opened, stderr)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer s.logs.closeLogs(&err)
	printDev(stdout, dir, "https://"+l.Addr().String(), c.Collections[0].Path, programCommand(), o.keep)
	return s.serveTables(ctx, l, memoryTables(devMemory))
}

// listenLoopback listens on an address that only this machine can reach.
func listenLoopback(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; choose another port with --listen 127.0.0.1:PORT, or any free port with --listen 127.0.0.1:0", err)
	}
	if err != nil {
		return nil, err
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("%s is not on loopback: dev is for this machine only", address), l.Close())
	}
	return l, nil
}

// devConfig writes the files that the service and a client need into dir, and returns a configuration with one client,
// which may use a certificate, a token or signatures.
func devConfig(dir string, o devOptions) (*config.Config, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	token, err := writeDevFiles(dir)
	if err != nil {
		return nil, err
	}
	c := &config.Config{
		TLS:         tlsconf.ServerFiles{Certificate: in("server.crt"), Key: in("server.key"), ClientCA: in("ca.crt")},
		Seal:        config.Seal{IndexKey: in("index.key"), Keys: []string{in("seal.key")}},
		Collections: []config.Collection{{Name: "sessions", FenceExempt: o.fenceExempt}},
		Passwords: &config.Passwords{
			Seal:     config.Seal{IndexKey: in("passwords-index.key"), Keys: []string{in("passwords-seal.key")}},
			Argon2id: config.Argon2id{Memory: 4 << 10, Time: 1}, MaxHashMemory: 64 << 10, // cheap: nobody's password is here
		},
		Clients: []access.Client{{
			Name:          "dev",
			Certificates:  []access.CertificateName{{CN: "dev"}},
			Tokens:        []access.TokenRule{{SHA256: token.HashText(), Generated: true}},
			SignatureKeys: []access.SignatureKey{{ID: "dev", File: in("signature.key")}},
			Grants:        devGrants(),
			Keys:          []string{"*"},
		}},
		Audiences: devAudiences(o.open),
		Dev:       true,
		Shutdown:  config.Shutdown{Drain: new(time.Duration)},
	}
	if o.debug {
		c.LogLevel = "debug"
	}
	c.ApplyDefaults()
	return c, nil
}

// devGrants returns every grant.
func devGrants() []access.Grant {
	all := []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete", "metrics:get", "openapi:get", "operators:get"}
	for _, action := range access.PasswordActions {
		all = append(all, access.GrantOn(access.Passwords, action))
	}
	return all
}

// devAudiences returns access rules that ask for any credential, or, if open, for none.
func devAudiences(open bool) access.Audiences {
	yes := true
	everybody := []access.Alternative{{Allow: &yes}}
	rules := []access.Alternative{{Certificate: &yes}, {Token: &yes}, {Signed: &yes}}
	if open {
		rules = everybody
	}
	return access.Audiences{"sessions": rules, access.Passwords: rules, access.Metrics: rules, access.OpenAPI: rules, access.Operators: rules, access.Health: everybody}
}

// writeDevFiles writes certificates and keys into dir, and returns the client's token.
func writeDevFiles(dir string) (access.Token, error) {
	ca, err := devca.New("userinfo dev")
	if err != nil {
		return "", err
	}
	_, _, serverErr := ca.Write(dir, "server", devca.Loopback())
	_, _, clientErr := ca.Write(dir, "client", devca.Leaf{CommonName: "dev", Client: true})
	token, tokenErr := access.NewToken(rand.Reader)
	index, indexErr := seal.NewIndexKey(rand.Reader)
	sealing, sealErr := seal.NewSealKey(rand.Reader)
	passwordIndex, passwordIndexErr := seal.NewIndexKey(rand.Reader)
	passwordSeal, passwordSealErr := seal.NewSealKey(rand.Reader)
	signing, signErr := signature.NewSecret(rand.Reader)
	if err := errors.Join(serverErr, clientErr, tokenErr, indexErr, sealErr, passwordIndexErr, passwordSealErr, signErr); err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"ca.crt":        string(ca.PEM()),
		"signature.key": signing.Text() + "\n",
		"token.header":  "Authorization: Bearer " + string(token) + "\n", // as curl -H @FILE reads it
		"index.key":     index.Text() + "\n",
		"seal.key":      sealing.Text() + "\n",

		"passwords-index.key": passwordIndex.Text() + "\n",
		"passwords-seal.key":  passwordSeal.Text() + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return token, nil
}

// programCommand returns how a shell calls this program. With `go run`, the path is good as long as dev runs.
func programCommand() string {
	program := os.Args[0]
	if strings.Contains(program, "/") { // otherwise the shell found it in PATH
		if absolute, err := filepath.Abs(program); err == nil {
			program = absolute
		}
	}
	return shellQuote(program)
}

// shellQuote quotes a word for a POSIX shell, if it needs quotes.
func shellQuote(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// printDev prints commands to paste into a shell.
func printDev(w io.Writer, dir, origin, path, program string, keep bool) {
	fate := "removed on exit"
	if keep {
		fate = "kept"
	}
	fmt.Fprintf(w, `UserInfo, on this machine only. NOT FOR PRODUCTION: everything is in memory and lost on exit, there is no second
datacentre for a logout to reach, and everybody who can read %[1]s
(0700, %[3]s) has every key.

Paste one of these into another terminal. With the client certificate:
  ui() { curl -sS --cacert %[1]s/ca.crt --cert %[1]s/client.crt --key %[1]s/client.key "$@"; }
or with the bearer token:
  ui() { curl -sS --cacert %[1]s/ca.crt -H @%[1]s/token.header "$@"; }

set, for an hour:  ui -i -X PUT -H 'TTL: 3600' --data-binary 'who=alice' %[2]s/enwiki%%3Asession%%3A1
get:               ui -i %[2]s/enwiki%%3Asession%%3A1
get, signed:       U=%[2]s/enwiki%%3Asession%%3A1; %[4]s sign --key %[1]s/signature.key --keyid dev $U | curl -sS -i --cacert %[1]s/ca.crt -H @- $U
touch, for a day:  ui -i -X PATCH -H 'TTL: 86400' %[2]s/enwiki%%3Asession%%3A1
delete:            ui -i -X DELETE %[2]s/enwiki%%3Asession%%3A1
watch:             %[4]s top --url %[5]s --ca %[1]s/ca.crt --cert %[1]s/client.crt --key %[1]s/client.key

A deleted key stays deleted for about 95 s. To repeat the commands, use another key, such as enwiki%%3Asession%%3A2.
Ctrl-C stops it.
`, dir, origin+path, fate, program, origin)
}
