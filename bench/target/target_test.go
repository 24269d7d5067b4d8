package target

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
)

// The tests' program is a floor where it is called as one, as the benchmark's is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "floor" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := RunFloor(ctx, os.Args[2:], os.Stdout)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func newLab(t *testing.T) *Lab {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	l, err := NewLab(Options{Floor: []string{os.Args[0], "floor"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// dialer is made from the target's JSON alone, as another process makes it.
func dialer(t *testing.T, target *Target) load.Dialer {
	t.Helper()
	d, err := func() (load.Dialer, error) {
		if target.Kind != load.KindHTTPS {
			return Dial(target.Kind, target.Settings)
		}
		var files load.HTTPSFiles
		if err := json.Unmarshal(target.Settings, &files); err != nil {
			return nil, err
		}
		return files.Dialer()
	}()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func dial(t *testing.T, d load.Dialer) load.Conn {
	t.Helper()
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var get = &load.Op{Method: load.Get, Key: "enwiki:session:1"}

// charged asks a target for a while, and returns what that cost by kind of process.
func charged(t *testing.T, target *Target, c load.Conn) map[string]result.Cost {
	t.Helper()
	m, err := cost.Start(t.Context(), target.Processes)
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := c.Do(t.Context(), get); err != nil {
			t.Fatal(err)
		}
	}
	costs, err := m.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]result.Cost)
	for _, c := range costs {
		if c.CPU <= 0 || c.RSS <= 0 {
			t.Errorf("300 gets cost %+v", c)
		}
		all[c.Kind] = c
	}
	return all
}

func floors(t *testing.T, l *Lab) map[string]*Target {
	t.Helper()
	all := make(map[string]*Target)
	for name, start := range map[string]func(context.Context, string, ...string) (*Target, error){
		result.Handler: l.Handler, result.Loop: l.Loop,
	} {
		var err error
		if all[name], err = start(t.Context(), name, "GOMAXPROCS=1"); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestAFloorAnswersWith2KBUnderMutualTLSAndIsCharged(t *testing.T) {
	for name, target := range floors(t, newLab(t)) {
		t.Run(name, func(t *testing.T) {
			c := dial(t, dialer(t, target))
			costs := charged(t, target, c)
			if len(costs) != 1 || name == result.Handler && costs[result.KindFloor].Mallocs < 300 {
				t.Errorf("300 gets cost %+v", costs)
			}
			if sent, received := c.Wire(); sent < 300*50 || received < 300*floorBytes {
				t.Errorf("300 gets are %d bytes sent and %d received", sent, received)
			}
		})
	}
}

func TestAFloorTakesATokenAndFreshConnections(t *testing.T) {
	for name, target := range floors(t, newLab(t)) {
		byToken, err := target.ByToken()
		if err != nil {
			t.Fatal(err)
		}
		for _, resume := range []bool{false, true} {
			fresh, err := byToken.With(func(f *load.HTTPSFiles) { f.Fresh, f.Resume = true, resume })
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprint(name, "/resume=", resume), func(t *testing.T) {
				c := dial(t, dialer(t, fresh))
				for range 3 {
					if err := c.Do(t.Context(), get); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// A floor with less TLS than the service would be a lower floor than there is.
func TestAFloorRefusesACertificateOfAnotherCAAndOldTLS(t *testing.T) {
	l, other := newLab(t), newLab(t)
	pair, err := tls.LoadX509KeyPair(other.file("client.crt"), other.file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := readPool(l.file("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range floors(t, l) {
		for what, config := range map[string]*tls.Config{
			"another CA": {RootCAs: pool, Certificates: []tls.Certificate{pair}},
			"TLS 1.2":    {RootCAs: pool, MaxVersion: tls.VersionTLS12},
		} {
			client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			answer, err := client.Get(target.files.URL)
			if err == nil {
				t.Errorf("%s takes a client with %s: %s", name, what, answer.Status)
				_ = answer.Body.Close()
			}
		}
	}
}

func TestNothingIsLeftOfALab(t *testing.T) {
	l := newLab(t)
	target := floors(t, l)[result.Handler]
	dir := l.dir
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is of mode %v: others may read it", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if _, err := cost.CPU(target.Processes[0].PID); err == nil {
		t.Error("the floor is still there")
	}
}

func TestAWorkloadOfCertificatesIsForClientsThatHaveOne(t *testing.T) {
	floor := floors(t, newLab(t))[result.Handler]
	if err := floor.ByCertificate(); err != nil {
		t.Error(err)
	}
	byToken, err := floor.ByToken()
	if err != nil {
		t.Fatal(err)
	}
	if err := byToken.ByCertificate(); err == nil || !strings.Contains(err.Error(), "certificate=FILE") {
		t.Errorf("without one: %v", err)
	}
}

func TestSettingsHoldNoSecret(t *testing.T) {
	l := newLab(t)
	target, err := floors(t, l)[result.Handler].ByToken()
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(l.file("token.header"))
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Fields(string(token))[2]
	if strings.Contains(string(target.Settings), secret) || !strings.Contains(string(target.Settings), "token.header") {
		t.Errorf("settings are %s", target.Settings)
	}
}

func TestAChildThatDoesNotComeUpIsAnErrorWithWhatItSaid(t *testing.T) {
	l := newLab(t)
	l.options.Floor = []string{"sh", "-c", "echo no such luck >&2; exit 3"}
	_, err := l.Handler(t.Context(), "handler")
	if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error is %v", err)
	}
}

func TestRunFloorSaysHowItIsCalled(t *testing.T) {
	for _, args := range [][]string{nil, {"handler"}, {"ceiling", t.TempDir()}} {
		if err := RunFloor(t.Context(), args, t.Output()); err == nil || !strings.Contains(err.Error(), "handler|loop") {
			t.Errorf("%q gives %v", args, err)
		}
	}
}

func TestSettingsThatAreNoneAreRefused(t *testing.T) {
	for _, c := range []struct{ kind, settings, want string }{
		{"memcached", `{}`, "redis or driver"},
		{KindRedis, `[`, "settings"},
		{KindRedis, `{"Address":"nowhere"}`, "address"},
		{KindRedis, `{"Address":"127.0.0.1:1","CA":"none","Certificate":"none","Key":"none"}`, "none"},
		{KindDriver, `{"PasswordFile":"none"}`, "none"},
	} {
		if _, err := Dial(c.kind, json.RawMessage(c.settings)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s gives %v, want %q", c.kind, c.settings, err, c.want)
		}
	}
}
