package config

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/internal/keyfile"
	"userinfo/store/seal"
)

// Tokens of the only client: in the configuration at the start, and in the one that replaces it.
const (
	oldToken access.Token = "userinfo_test-old"
	newToken access.Token = "userinfo_test-new"
)

// networks of a token, at the end of a configuration, and addresses inside and outside.
const (
	networks = "        networks: [198.51.100.0/24]\n"
	inside   = "198.51.100.1"
	outside  = "192.0.2.1"
)

// testReloader is a Reloader and the files that a test replaces.
type testReloader struct {
	*Reloader
	t      *testing.T
	dir    string
	common string // the configuration without its clients
	log    bytes.Buffer
}

func newTestReloader(t *testing.T) *testReloader { t.Helper(); return newTestReloaderOf(t, minimal) }

// newTestReloaderOf returns a testReloader whose configuration begins as text, which is minimal or withPasswords.
func newTestReloaderOf(t *testing.T, text string) *testReloader {
	t.Helper()
	r := &testReloader{t: t, dir: t.TempDir()}
	writeMinimalFiles(t, r.dir)
	before, rest, _ := strings.Cut(text, "clients:")
	_, after, _ := strings.Cut(rest, "seal:")
	r.common = before + "seal:" + strings.Replace(after, ", metrics: [{token: true}]", "", 1)
	r.write("userinfo.yaml", r.common+client(oldToken))
	f, err := Load(filepath.Join(r.dir, "userinfo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.Open(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r.Reloader = NewReloader(o, Options{Now: time.Now, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Registry: prometheus.NewRegistry()})
	return r
}

// writeMinimalFiles writes the files that the minimal configuration names into dir.
func writeMinimalFiles(t *testing.T, dir string) {
	t.Helper()
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.Write(dir, "server", devca.Loopback()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"ca.crt": string(ca.PEM()), "password": "password\n", "index.key": newIndexKey(t), "seal.key": newSealKey(t),
		"passwords-index.key": newIndexKey(t), "passwords-seal.key": newSealKey(t),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// client returns the end of a configuration.
func client(token access.Token) string {
	return `clients:
  - name: wiki
    grants: [sessions:get]
    keys: ["*"]
    tokens:
      - sha256: ` + token.HashText() + "\n"
}

func (r *testReloader) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *testReloader) writeConfig(text string) { r.t.Helper(); r.write("userinfo.yaml", text) }

// tick calls Reload as Run does at every interval, and checks whether it replaced the Snapshot without failing.
func (r *testReloader) tick(wantChanged bool) {
	r.t.Helper()
	before := r.Current()
	r.Reload(false)
	if changed := r.Current() != before; changed != wantChanged || len(r.logged) > 0 {
		r.t.Errorf("changed %v, failures %v; want %v and none", changed, r.logged, wantChanged)
	}
}

// wantAdmitted checks that token is admitted from an address, and the other token is not.
func (r *testReloader) wantAdmitted(token access.Token, from string) {
	r.t.Helper()
	for name, each := range map[string]access.Token{"old": oldToken, "new": newToken} { // a token prints as redacted
		if admitted := admits(r.Current(), each, from); admitted != (each == token) {
			r.t.Errorf("the %s token is admitted from %s: %v", name, from, admitted)
		}
	}
}

func admits(s *Snapshot, token access.Token, from string) bool {
	id, err := s.Rules.Policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}, Remote: netip.MustParseAddr(from)})
	return err == nil && access.Admit(id, "sessions") == nil
}

func TestReloader_UsesChangedFileOnceItWasTheSameTwice(t *testing.T) {
	r := newTestReloader(t)
	r.tick(false)
	r.writeConfig(r.common + client(newToken)) // half written, but valid: the token is good from everywhere
	r.tick(false)
	r.wantAdmitted(oldToken, outside)
	r.writeConfig(r.common + client(newToken) + networks)
	r.tick(false)
	r.wantAdmitted(oldToken, outside)
	r.tick(true)
	r.wantAdmitted(newToken, inside)
	if admits(r.Current(), newToken, outside) {
		t.Error("the first half is in force")
	}
	r.tick(false)
}

func TestReloader_ForgetsChangeThatWasUndone(t *testing.T) {
	r := newTestReloader(t)
	for range 2 {
		r.writeConfig(r.common + client(newToken))
		r.tick(false)
		r.writeConfig(r.common + client(oldToken))
		r.tick(false)
	}
	r.wantAdmitted(oldToken, inside)
}

func TestReloader_IgnoresInvalidHalfWrittenFile(t *testing.T) {
	r := newTestReloader(t)
	r.writeConfig(r.common)
	r.tick(false)
	r.writeConfig(r.common + client(newToken))
	r.tick(false)
	r.tick(true)
}

func TestReloader_Run_ReloadsAtOnceOnSignal(t *testing.T) {
	r := newTestReloader(t)
	r.writeConfig(r.common + client(newToken))
	ctx, stop := context.WithCancel(t.Context())
	hangup, done := make(chan os.Signal), make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx, hangup)
	}()
	hangup <- syscall.SIGHUP
	stop()
	<-done
	r.wantAdmitted(newToken, inside)
}

func TestReloader_Run_CallsOnSignalInsteadOfReload(t *testing.T) {
	r := newTestReloader(t)
	r.writeConfig("not: [a configuration\n")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var before, after []string
	r.options.OnSignal = func(reload func()) {
		before = r.Failing()
		reload()
		after = r.Failing()
		stop()
	}
	hangup := make(chan os.Signal, 1)
	hangup <- syscall.SIGHUP
	r.Run(ctx, hangup)
	if len(before) != 0 || !slices.Equal(after, []string{"clients"}) {
		t.Errorf("failing parts: %v before, %v after", before, after)
	}
	r.writeConfig(r.common + client(newToken))
	r.Reload(true)
	if parts := r.Failing(); len(parts) != 0 {
		t.Errorf("after a repair: %v", parts)
	}
}

func TestReloader_RefusesClientsTogetherWithOtherChanges(t *testing.T) {
	r := newTestReloader(t)
	for name, common := range map[string]string{
		"a limit":                r.common + "limits: {max_connections: 7}\n",
		"a collection elsewhere": strings.Replace(r.common, "- name: sessions", "- {name: sessions, path: /elsewhere, table: elsewhere}", 1),
		"another collection in the place of one": strings.Replace(r.common, "- name: sessions",
			"- {name: sessions, path: /elsewhere, table: elsewhere}\n  - {name: other, path: /sessions/v1, table: sessions}", 1),
		"a certificate's file": strings.Replace(r.common, "tls: {certificate: ", "tls: {certificate: /elsewhere", 1),
	} {
		r.writeConfig(common + client(newToken))
		for range 2 { // the second look must not accept it either
			r.Reload(true)
			if err := r.logged["clients"]; !strings.Contains(err, "in other parts than clients, audiences, authorities, proxies, seal.keys and not_before of collections: restart, or undo") {
				t.Errorf("%s: error %q", name, err)
			}
			r.wantAdmitted(oldToken, inside)
		}
	}
	r.writeConfig(r.common + client(newToken))
	r.Reload(true)
	if len(r.logged) > 0 {
		t.Errorf("once the other changes are undone: %v", r.logged)
	}
	r.wantAdmitted(newToken, inside)
}

func TestReloader_KeepsOldStateOfBadPartAndReloadsOthers(t *testing.T) {
	r := newTestReloader(t)
	before := r.Current()
	r.writeConfig(r.common + client(newToken))
	r.write("seal.key", "not a key")
	r.write("server.key", "not a key")
	r.Reload(true)
	after := r.Current()
	if after.SealKeys != before.SealKeys || after.Server != before.Server {
		t.Error("a bad part was replaced")
	}
	r.wantAdmitted(newToken, inside)
	for part, want := range map[string]float64{"seal": 1, "tls": 1, "clients": 0} {
		if got := testutil.ToFloat64(r.failed.WithLabelValues(part)); got != want {
			t.Errorf("userinfo_reload_failed{part=%q} is %v, want %v", part, got, want)
		}
	}
	if got := testutil.ToFloat64(r.reloads.WithLabelValues("clients")); got != 1 {
		t.Errorf("userinfo_reloads_total{part=\"clients\"} is %v, want 1", got)
	}
	r.Reload(true)
	if n := strings.Count(r.log.String(), "reload failed"); n != 2 {
		t.Errorf("%d failures logged, want one for each part:\n%s", n, r.log.String())
	}
}

// TestReloader_Current_NeverMixesTwoReloads changes the client's token, the seal key and the server's certificate in each
// reload, while readers compare what they see in one Snapshot.
func TestReloader_Current_NeverMixesTwoReloads(t *testing.T) {
	r := newTestReloader(t)
	ca, err := devca.New("generations")
	if err != nil {
		t.Fatal(err)
	}
	type generation struct {
		token     access.Token
		key       string
		cert, pem string
	}
	var generations []generation
	for _, token := range []access.Token{oldToken, newToken} {
		cert, key, err := ca.Issue(devca.Loopback())
		if err != nil {
			t.Fatal(err)
		}
		generations = append(generations, generation{token, newSealKey(t), string(cert), string(key)})
	}
	use := func(g generation) {
		r.writeConfig(r.common + client(g.token))
		r.write("seal.key", g.key)
		r.write("server.crt", g.cert)
		r.write("server.key", g.pem)
		r.Reload(true)
	}
	type seen struct {
		old    bool // the old token is admitted
		sealID string
		server any
	}
	look := func() seen {
		s := r.Current()
		return seen{admits(s, oldToken, inside), s.SealKeys.IDs()[0], s.Server}
	}
	var known sync.Map // of complete generations
	use(generations[0])
	known.Store(look(), true)

	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var observed sync.Map
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				observed.Store(look(), true)
			}
		})
	}
	for i := range 20 {
		use(generations[(i+1)%2])
		known.Store(look(), true)
	}
	stop()
	readers.Wait()
	if len(r.logged) > 0 {
		t.Fatal(r.logged)
	}
	observed.Range(func(s, _ any) bool {
		if _, ok := known.Load(s); !ok {
			t.Errorf("a mix of two reloads was in force: %+v", s)
		}
		return true
	})
}

// opens returns the name of a file in the directory of inotify for each time that it was opened since the last call; of all files
// without names.
func opens(t *testing.T, inotify int, of ...string) (names []string) {
	t.Helper()
	events := make([]byte, 64<<10)
	n, err := unix.Read(inotify, events)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for rest := events[:n]; len(rest) > 0; {
		size := binary.NativeEndian.Uint32(rest[12:])
		name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00"))
		if of == nil || slices.Contains(of, name) {
			names = append(names, name)
		}
		rest = rest[unix.SizeofInotifyEvent+size:]
	}
	return names
}

// opened returns the names of the files that were opened since the last call, each once.
func opened(t *testing.T, inotify int) []string {
	names := opens(t, inotify)
	slices.Sort(names)
	return slices.Compact(names)
}

// watchOpens returns a file from which opened reads.
func (r *testReloader) watchOpens() (inotify int) {
	r.t.Helper()
	inotify, err := unix.InotifyInit1(unix.IN_NONBLOCK)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { unix.Close(inotify) })
	if _, err := unix.InotifyAddWatch(inotify, r.dir, unix.IN_OPEN); err != nil {
		r.t.Fatal(err)
	}
	return inotify
}

func TestReloader_ReadsOnlyWhatMayHaveChanged(t *testing.T) {
	r := newTestReloader(t)
	now := time.Now()
	r.watch = keyfile.NewWatch(func() time.Time { return now })
	tick := func() { r.tick(false); now = now.Add(ReloadInterval) }
	inotify := r.watchOpens()
	all := []string{"ca.crt", "index.key", "seal.key", "server.crt", "server.key", "userinfo.yaml"}
	for range 2 {
		tick()
		if got := opened(t, inotify); !slices.Equal(got, all) {
			t.Errorf("at first, opened %v; want %v", got, all)
		}
	}
	for range 10 {
		tick()
	}
	if got := opened(t, inotify); got != nil {
		t.Errorf("opened %v, but nothing has changed", got)
	}
	r.Reload(true)
	if got := opened(t, inotify); !slices.Equal(got, all) {
		t.Errorf("SIGHUP: opened %v; want %v", got, all)
	}
	r.write("next", newSealKey(t))
	if err := os.Rename(filepath.Join(r.dir, "next"), filepath.Join(r.dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	opened(t, inotify)
	r.tick(true)
	if got := opened(t, inotify); !slices.Equal(got, []string{"index.key", "seal.key"}) {
		t.Errorf("after a seal key was replaced, opened %v", got)
	}
}

// TestReloader_RotatesSealKeys follows "Change a seal key" in docs/operations.md: a change of the list alone, with files that have not
// changed for a while, comes into force without a signal.
func TestReloader_RotatesSealKeys(t *testing.T) {
	t.Run("seal", func(t *testing.T) {
		rotatesSealKeys(t, minimal, "seal.key", func(s *Snapshot) *seal.Keys { return s.SealKeys })
	})
	t.Run("passwords.seal", func(t *testing.T) {
		rotatesSealKeys(t, withPasswords, "passwords-seal.key", func(s *Snapshot) *seal.Keys { return s.PasswordKeys })
	})
}

// rotatesSealKeys rotates the only seal key of a list, which is in the file old.
func rotatesSealKeys(t *testing.T, text, old string, inForce func(*Snapshot) *seal.Keys) {
	r := newTestReloaderOf(t, text)
	now := time.Now()
	r.watch = keyfile.NewWatch(func() time.Time { return now })
	idOf := func(file string) string {
		r.t.Helper()
		text, err := os.ReadFile(filepath.Join(r.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		k, err := seal.ParseSealKey(text)
		if err != nil {
			t.Fatal(err)
		}
		return k.ID().String()
	}
	r.write("next.key", newSealKey(t))
	for _, files := range [][]string{{old}, {old, "next.key"}, {"next.key", old}, {"next.key"}} {
		r.writeConfig(strings.Replace(r.common, "keys: ["+old+"]", "keys: ["+strings.Join(files, ", ")+"]", 1) + client(oldToken))
		for range 5 {
			r.Reload(false)
			now = now.Add(ReloadInterval)
		}
		var want []string
		for _, file := range files {
			want = append(want, idOf(file))
		}
		if got := inForce(r.Current()).IDs(); !slices.Equal(got, want) || len(r.logged) > 0 {
			t.Errorf("keys: %v: the keys in force are %v, want %v; failures %v", files, got, want, r.logged)
		}
	}
}

// TestReloader_TriesFailedPartAgain has a certificate that is not valid yet: it can become valid although its file stays the same.
func TestReloader_TriesFailedPartAgain(t *testing.T) {
	r := newTestReloader(t)
	now := time.Now()
	r.watch = keyfile.NewWatch(func() time.Time { return now })
	r.options.Now = func() time.Time { return now }
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	leaf := devca.Loopback()
	leaf.NotBefore = now.Add(time.Hour)
	if _, _, err := ca.Write(r.dir, "server", leaf); err != nil {
		t.Fatal(err)
	}
	before := r.Current().Server
	inotify := r.watchOpens()
	for range 25 { // 50 s
		r.Reload(false)
		now = now.Add(ReloadInterval)
		if testutil.ToFloat64(r.failed.WithLabelValues("tls")) != 1 || r.Current().Server != before {
			t.Fatal("a certificate that is not valid yet is in force")
		}
	}
	if n := len(opens(t, inotify, "server.key")); n > 6 { // three looks, each compares and loads
		t.Errorf("the key of a certificate that is not valid yet was read %d times", n)
	}
	now = now.Add(time.Hour)
	r.Reload(false)
	if testutil.ToFloat64(r.failed.WithLabelValues("tls")) != 0 || r.Current().Server == before {
		t.Errorf("the certificate is not in force: %v", r.logged)
	}
}
