package mediawiki

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed testdata
var testdata embed.FS

// wikiTimeout is many times what the installation of a wiki, or the start of its server, takes.
const wikiTimeout = 4 * time.Minute

// Wiki is an installed wiki with SQLite. Its LocalSettings.php includes testdata/settings.php.
type Wiki struct {
	Version Version
	Dir     string // of its settings
	root    string // of MediaWiki
}

// Config is what testdata/settings.php reads for each request.
type Config struct {
	Server    string         `json:"server"`         // the origin of the wiki's URLs
	Site      string         `json:"site,omitempty"` // the name of the wiki; empty: "Wiki"
	Expiry    int            `json:"expiry"`         // of sessions, in seconds
	Prefix    string         `json:"prefix"`         // of keys
	Extension string         `json:"extension"`
	Cache     map[string]any `json:"cache"`
	Passwords map[string]any `json:"passwords,omitempty"` // $wgUserInfoPasswords; nil: passwords are in the wiki's database

	// SharedCache keeps MediaWiki's cache in its database, and turns off the part with the users (MainWANObjectCache), so that all
	// web servers learn at once that a user has changed.
	SharedCache bool `json:"sharedCache,omitempty"`
}

// InstallWiki runs MediaWiki's installer for an empty directory. The wiki has one user, who is an administrator. Configure
// must be called before the first request.
func InstallWiki(t *testing.T, v Version, dir, user, password string) *Wiki {
	t.Helper()
	w := &Wiki{Version: v, Dir: dir, root: v.Install(t)}
	for _, name := range []string{"data", "cache"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	passFile := filepath.Join(dir, "password")
	if err := os.WriteFile(passFile, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	w.maintain(t, nil, "install.php", "--dbtype=sqlite", "--dbname=enwiki", "--dbpath="+filepath.Join(dir, "data"),
		"--confpath="+dir, "--scriptpath=", "--server=http://localhost", "--passfile="+passFile, "Wiki", user)
	w.addSettings(t)
	return w
}

// addSettings makes LocalSettings.php, which MediaWiki's installer has written, include testdata/settings.php.
func (w *Wiki) addSettings(t *testing.T) {
	t.Helper()
	settings := w.localSettings()
	text, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings, []byte(string(text)+"\nrequire __DIR__ . '/settings.php';\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.copySettings(t)
}

// copySettings copies testdata to the wiki's directory.
func (w *Wiki) copySettings(t *testing.T) {
	t.Helper()
	files, err := fs.Sub(testdata, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(w.Dir, files); err != nil {
		t.Fatal(err)
	}
}

func (w *Wiki) localSettings() string { return filepath.Join(w.Dir, "LocalSettings.php") }

// Replica returns the same wiki with another Config and other local caches, in an empty directory: a web server of another
// datacentre. Both have one database.
func (w *Wiki) Replica(t *testing.T, dir string) *Wiki {
	t.Helper()
	r := &Wiki{Version: w.Version, Dir: dir, root: w.root}
	text, err := os.ReadFile(w.localSettings())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.localSettings(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "cache"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.copySettings(t)
	return r
}

// AddUser makes a user without special rights.
func (w *Wiki) AddUser(t *testing.T, name, password string) {
	t.Helper()
	w.maintain(t, []string{"MW_CONFIG_FILE=" + w.localSettings()}, "createAndPromote.php", name, password)
}

// maintain runs a maintenance script of MediaWiki.
func (w *Wiki) maintain(t *testing.T, env []string, script string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wikiTimeout)
	defer cancel()
	cmd := PHP(ctx, env, append([]string{filepath.Join(w.root, "maintenance", script)}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s of MediaWiki %s: %v\n%s", script, w.Version, err, out)
	}
}

// Configure puts a Config into force, from the next request.
func (w *Wiki) Configure(t *testing.T, c Config) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.Dir, "test.json")
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// Serve starts PHP's web server with several processes, because some tests need two requests at the same time. It returns
// the server's origin. The server stops at the end of the test, which fails if PHP complained about the extension.
func (w *Wiki) Serve(t *testing.T) (origin string) {
	t.Helper()
	address := FreeAddress(t)
	cmd := PHP(context.Background(), []string{"MW_CONFIG_FILE=" + w.localSettings(), "PHP_CLI_SERVER_WORKERS=4"},
		"-d", "opcache.enable_cli=1", "-d", "display_errors=0", "-d", "log_errors=1", "-S", address, "-t", w.root)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the processes end together
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopGroup(cmd)
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "deploy/mediawiki") || strings.Contains(line, `Extension\UserInfo`) {
				t.Errorf("PHP complained about the extension: %s", line)
			}
		}
		if t.Failed() {
			text := log.String()
			t.Logf("the web server of %s logged:\n%s", w.Version, text[max(0, len(text)-4000):])
		}
	})
	WaitListening(t, address)
	return "http://" + address
}

// Settle waits until no PHP request runs. MediaWiki writes sessions after it has sent the response.
func (w *Wiki) Settle(t *testing.T) {
	t.Helper()
	size := func(name string) int64 {
		info, err := os.Stat(filepath.Join(w.Dir, name))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	for deadline := time.Now().Add(wikiTimeout); size("started") != size("ended"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d PHP requests have started and %d have ended", size("started"), size("ended"))
		}
	}
}

// stopGroup ends a command and its children.
func stopGroup(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
}

// FreeAddress returns a loopback address that nobody listens at.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// WaitListening waits until a server listens at an address.
func WaitListening(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(wikiTimeout); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not listen: %v", err)
		}
	}
}

// ExtensionFile returns the path of the extension's extension.json, for Config.Extension. dir is the directory of the
// extension in this repository.
func ExtensionFile(t *testing.T, dir string) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join(dir, "extension.json"))
	if err != nil {
		t.Fatal(err)
	}
	return file
}
