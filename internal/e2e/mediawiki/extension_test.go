//go:build integration

package mediawiki_test

import (
	"context"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/mediawiki"
)

// extensionDir is the extension, as a wiki has it in its folder extensions.
const extensionDir = "../../../deploy/mediawiki"

// passed matches PHPUnit's last line if no test failed or was skipped.
var passed = regexp.MustCompile(`(?m)^OK \((\d+) tests, \d+ assertions\)$`)

// TestExtension_PassesItsTests runs the extension's tests, which check MediaWiki's contract and the class's own promises.
func TestExtension_PassesItsTests(t *testing.T) {
	// MediaWiki's lock deletes its key and sets it again.
	service := devserver.Start(t, "--fence-exempt", "*:lock")
	files := clientFiles(t, service)
	scripted := newScriptedServer(t)
	for _, v := range mediawiki.Versions {
		t.Run(string(v), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
			defer cancel()
			cmd := mediawiki.PHPUnit(ctx, extensionDir, []string{
				"MW_INSTALL_PATH=" + v.Install(t),
				"USERINFO_URL=" + service.URL + "/", "USERINFO_FILES=" + files,
				"USERINFO_FAKE=" + scripted.URL, "USERINFO_FAKE_CA=" + scripted.caFile,
			})
			out, err := cmd.CombinedOutput()
			if m := passed.FindSubmatch(out); err != nil || m == nil || len(m[1]) < 3 { // there are more than 100 tests
				t.Errorf("PHPUnit: %v\n%s", err, out)
			}
		})
	}
}

// clientFiles copies what a client needs of a service into a new directory: ca.crt, token, client.crt, client.key and
// signature.key.
func clientFiles(t *testing.T, s *devserver.Server) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"ca.crt", "client.crt", "client.key", "signature.key", "token.header"} {
		text, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "token.header" {
			name, text = "token", []byte(strings.TrimPrefix(string(text), "Authorization: Bearer "))
		}
		write(t, filepath.Join(dir, name), string(text))
	}
	return dir
}

// serverTLS returns the TLS settings of a server with this certificate.
func serverTLS(t *testing.T, cert, key string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// TestExtension_HasNoSyntaxErrors checks the files that PHPUnit does not load, too.
func TestExtension_HasNoSyntaxErrors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(extensionDir, "*", "*.php"))
	if err != nil || len(files) < 6 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		if out, err := exec.Command("php", "-l", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
