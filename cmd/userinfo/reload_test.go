package main

import (
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"userinfo/access"
	"userinfo/internal/config"
	"userinfo/internal/devca"
)

// Tokens of the only client, in the configuration at the start and in what is written over it.
const (
	oldToken access.Token = "userinfo_test-old"
	newToken access.Token = "userinfo_test-new"
)

// Networks of a token, at the end of a configuration, and addresses inside and outside.
const (
	networks = "        networks: [198.51.100.0/24]\n"
	inside   = "198.51.100.1"
	outside  = "192.0.2.1"
)

// minimal is the part of a configuration before its clients.
const minimal = `listen: 127.0.0.1:8443
tls: {certificate: server.crt, key: server.key}
cassandra:
  hosts: [127.0.0.1]
  local_datacentre: dc1
  username: userinfo
  password_file: password
  tls: {ca: ca.crt}
collections:
  - name: sessions
`

// edited is a service and the configuration file that tests write over.
type edited struct {
	*service
	t      *testing.T
	common string // the configuration but its clients
	file   string
}

func newEdited(t *testing.T) *edited {
	t.Helper()
	dir := t.TempDir()
	ca, err := devca.New("reload tests")
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := ca.Write(dir, "server", devca.Loopback())
	if err != nil {
		t.Fatal(err)
	}
	common := strings.NewReplacer("server.crt", certificate, "server.key", key).Replace(minimal)
	common += "seal: {index_key: index.key, keys: [seal.key]}\naudiences: {sessions: [{token: true}]}\n"
	e := &edited{t: t, common: common, file: filepath.Join(dir, "userinfo.yaml")}
	e.write(common + client(oldToken))
	file, err := config.Load(e.file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFiles(file.Config, false)
	if err != nil {
		t.Fatal(err)
	}
	if e.service, err = newService(file.Config, f, io.Discard); err != nil {
		t.Fatal(err)
	}
	e.reload.follow(file)
	return e
}

// client is the end of a configuration.
func client(token access.Token) string {
	return `clients:
  - name: wiki
    grants: [sessions:get]
    keys: ["*"]
    tokens:
      - sha256: ` + token.HashText() + "\n"
}

func (e *edited) write(text string) {
	e.t.Helper()
	if err := os.WriteFile(e.file, []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// tick looks at the file, as happens every reloadInterval.
func (e *edited) tick(wantChanged bool) {
	e.t.Helper()
	if changed, err := e.reload.clients(false); changed != wantChanged || err != nil {
		e.t.Errorf("changed %v, error %v; want %v and none", changed, err, wantChanged)
	}
}

// admits fails the test unless token is let in from an address, and the other token is not.
func (e *edited) admits(token access.Token, from string) {
	e.t.Helper()
	for name, each := range map[string]access.Token{"old": oldToken, "new": newToken} { // a token prints as redacted
		if in := e.knows(each, from); in != (each == token) {
			e.t.Errorf("the %s token is let in from %s: %v", name, from, in)
		}
	}
}

func (e *edited) knows(token access.Token, from string) bool {
	id, err := e.policy.Load().Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}, Remote: netip.MustParseAddr(from)})
	return err == nil && access.Admit(id, "sessions") == nil
}

func TestAFileThatChangesIsBelievedOnceTwoTicksHaveSeenTheSame(t *testing.T) {
	e := newEdited(t)
	e.tick(false)
	e.write(e.common + client(newToken)) // half written, and right all the same: a token that is good from everywhere
	e.tick(false)
	e.admits(oldToken, outside)
	e.write(e.common + client(newToken) + networks)
	e.tick(false)
	e.admits(oldToken, outside)
	e.tick(true)
	e.admits(newToken, inside)
	if e.knows(newToken, outside) {
		t.Error("the half that was seen first is in force")
	}
	e.tick(false)
}

func TestAChangeThatWasUndoneIsNewWhenItComesAgain(t *testing.T) {
	e := newEdited(t)
	for range 2 {
		e.write(e.common + client(newToken))
		e.tick(false)
		e.write(e.common + client(oldToken))
		e.tick(false)
	}
	e.admits(oldToken, inside)
}

func TestAFileHalfWrittenThatCannotBeUsedIsNoFailure(t *testing.T) {
	e := newEdited(t)
	e.write(e.common)
	e.tick(false)
	e.write(e.common + client(newToken))
	e.tick(false)
	e.tick(true)
}

func TestSIGHUPIsBelievedAtOnce(t *testing.T) {
	e := newEdited(t)
	e.write(e.common + client(newToken))
	ctx, stop := context.WithCancel(t.Context())
	hangup, ended := make(chan os.Signal), make(chan struct{})
	go func() {
		defer close(ended)
		e.reload.run(ctx, hangup)
	}()
	hangup <- syscall.SIGHUP
	stop()
	<-ended
	e.admits(newToken, inside)
}

func TestClientsThatComeWithOtherChangesAreRefused(t *testing.T) {
	e := newEdited(t)
	for name, common := range map[string]string{
		"a limit":                e.common + "limits: {max_connections: 7}\n",
		"a collection elsewhere": strings.Replace(e.common, "- name: sessions", "- {name: sessions, path: /elsewhere, table: elsewhere}", 1),
		"another in a collection's place": strings.Replace(e.common, "- name: sessions",
			"- {name: sessions, path: /elsewhere, table: elsewhere}\n  - {name: other, path: /sessions/v1, table: sessions}", 1),
		"a certificate's file": strings.Replace(e.common, "tls: {certificate: ", "tls: {certificate: /elsewhere", 1),
	} {
		e.write(common + client(newToken))
		for range 2 { // a second look does not make it better
			changed, err := e.reload.clients(true)
			if changed || err == nil || !strings.Contains(err.Error(), "in other parts than clients, audiences, proxies and seal.keys: restart, or undo") {
				t.Errorf("%s: changed %v, error %v", name, changed, err)
			}
		}
		e.admits(oldToken, inside)
	}
	e.write(e.common + client(newToken))
	if changed, err := e.reload.clients(true); !changed || err != nil {
		t.Errorf("once they are undone: changed %v, error %v", changed, err)
	}
	e.admits(newToken, inside)
}
