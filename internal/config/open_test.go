package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/devca"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

func newIndexKey(t *testing.T) string {
	t.Helper()
	k, err := seal.NewIndexKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.Text()
}

func newSealKey(t *testing.T) string {
	t.Helper()
	k, err := seal.NewSealKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.Text()
}

// openMinimal writes the minimal configuration, changed by edit, and its files, and opens it from another directory.
func openMinimal(t *testing.T, edit func(dir, text string) string) (*Opened, error) {
	t.Helper()
	dir := t.TempDir()
	writeMinimalFiles(t, dir)
	name := filepath.Join(dir, "u.yaml")
	if err := os.WriteFile(name, []byte(edit(dir, minimal)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f.Open(time.Now)
}

func TestFile_Open_FindsFilesBesideTheConfiguration(t *testing.T) {
	o, err := openMinimal(t, func(_, text string) string { return text })
	if err != nil {
		t.Fatal(err)
	}
	if o.Snapshot.Server == nil || o.Snapshot.Cassandra == nil || o.Snapshot.SealKeys == nil {
		t.Errorf("opened %+v", o.Snapshot)
	}
}

func TestFile_Open_FindsFilesByAbsoluteName(t *testing.T) {
	_, err := openMinimal(t, func(dir, text string) string {
		elsewhere := t.TempDir()
		for _, name := range []string{"server.crt", "server.key", "ca.crt", "password", "index.key", "seal.key"} {
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(elsewhere, name)); err != nil {
				t.Fatal(err)
			}
			text = strings.Replace(text, ": "+name, ": "+filepath.Join(elsewhere, name), 1)
			text = strings.Replace(text, "["+name, "["+filepath.Join(elsewhere, name), 1)
		}
		return text
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFile_Open_ReportsAllMistakesWithTheirLines(t *testing.T) {
	_, err := openMinimal(t, func(dir, text string) string {
		for _, name := range []string{"server.key", "password", "seal.key"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return text
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"u.yaml:2: tls.key: ", "u.yaml:7: cassandra.password_file: the file is empty", "u.yaml:17: seal.keys[0]: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not contain %q:\n%v", want, err)
		}
	}
}

func TestFile_Open_LocatesNodeNames(t *testing.T) {
	_, err := openMinimal(t, func(_, text string) string {
		return strings.Replace(text, "tls: {ca: ca.crt}", "tls:\n    ca: ca.crt\n    names:\n    - db1.example\n    - \"*\"", 1)
	})
	if err == nil || !strings.Contains(err.Error(), "u.yaml:12: cassandra.tls.names[1]: only the whole first label") {
		t.Errorf("error %v", err)
	}
}

func TestFile_Open_DoesNotPrintPasswordInPlaceOfItsFile(t *testing.T) {
	_, err := openMinimal(t, func(_, text string) string {
		return strings.Replace(text, "password_file: password", "password_file: hunter2", 1)
	})
	if err == nil || !strings.Contains(err.Error(), "u.yaml:7: cassandra.password_file: cannot be opened: no such file or directory; name a file") ||
		strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

func TestFile_Open_RejectsOneSignatureKeyForTwoClients(t *testing.T) {
	_, err := openMinimal(t, func(dir, text string) string {
		secret, err := signature.NewSecret(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "s.key"), []byte(secret.Text()), 0o600); err != nil {
			t.Fatal(err)
		}
		return strings.Replace(text, "seal:", `  - {name: a, grants: [metrics:get], signature_keys: [{id: a-1, file: s.key}]}
  - {name: b, grants: [metrics:get], signature_keys: [{id: b-1, file: s.key}]}
seal:`, 1)
	})
	if err == nil || !strings.Contains(err.Error(), `clients[2].signature_keys[0].file: holds the key of client "a"`) {
		t.Errorf("error %v", err)
	}
}

// fileKind says who may use a file.
type fileKind int

const (
	secretFile  fileKind = iota + 1 // read through keyfile.Read
	publicFile                      // everybody may read it
	writtenFile                     // the service only appends to it; others may not use it
)

// fileKinds says of each setting that names a file which kind it is.
var fileKinds = map[string]fileKind{
	"tls.key": secretFile, "tls.session_ticket_key": secretFile,
	"cassandra.username_file": secretFile, "cassandra.password_file": secretFile, "cassandra.tls.key": secretFile,
	"seal.index_key": secretFile, "seal.keys[0]": secretFile,
	"audit.key_file": secretFile, "tracing.headers_file": secretFile,
	"clients[0].signature_keys[0].file": secretFile,

	"tls.certificate": publicFile, "tls.client_ca": publicFile, "tls.client_cas[0].file": publicFile, "tls.crls[0]": publicFile,
	"tls.denied_certificates": publicFile, "cassandra.tls.ca": publicFile, "cassandra.tls.certificate": publicFile, "tracing.ca": publicFile,
	"clients[0].signature_keys[1].file": publicFile, // a public key

	"audit.file": writtenFile,
}

// openEverything returns a configuration with every setting that names a file. Each setting has a file of its own.
func openEverything(t *testing.T) *Opened {
	t.Helper()
	dir := t.TempDir()
	writeMinimalFiles(t, dir)
	writeOptionalFiles(t, dir)
	text := strings.NewReplacer(
		"tls: {certificate: server.crt, key: server.key}", "tls: {certificate: server.crt, key: server.key, client_ca: ca.crt, client_cas: [{name: b, file: ca-b.crt}], "+
			"crls: [crl], denied_certificates: denied, session_ticket_key: ticket.key}",
		"username: userinfo", "username_file: username",
		"tls: {ca: ca.crt}", "tls: {ca: nodes.crt, certificate: client.crt, key: client.key}",
		"    keys: [\"*\"]", "    keys: [\"*\"]\n    signature_keys: [{id: s, file: sign.key}, {id: p, file: sign.pub}]",
		"seal:", "audit: {key_file: audit.key, file: audit.log}\ntracing: {endpoint: 'https://c.example', ca: collector.crt, headers_file: headers}\nseal:",
	).Replace(minimal)
	name := filepath.Join(dir, "u.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.Open(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range o.fileNames() {
		if fileKinds[file.path] == 0 || *file.name == "" {
			t.Fatalf("%s is not tested: add it to fileKinds and to the configuration", file.path)
		}
	}
	return o
}

// forEachMode calls do with each setting that names a file and several modes of the file, and says whether the service must refuse
// the file. The last mode is good.
func forEachMode(t *testing.T, o *Opened, do func(path string, mode os.FileMode, refused bool)) {
	t.Helper()
	for _, file := range o.fileNames() {
		private := fileKinds[file.path] != publicFile
		for _, m := range []struct {
			mode    os.FileMode
			refused bool
		}{{0o644, private}, {0o604, private}, {0o646, true}, {0o602, true}, {0o600, false}} {
			if err := os.Chmod(*file.name, m.mode); err != nil {
				t.Fatal(err)
			}
			do(file.path, m.mode, m.refused)
		}
	}
}

func TestFile_Open_ChecksPermissionsOfEveryFile(t *testing.T) {
	o := openEverything(t)
	forEachMode(t, o, func(path string, mode os.FileMode, refused bool) {
		_, err := o.Open(time.Now)
		if (err != nil) != refused {
			t.Errorf("%s of mode %04o: %v", path, mode, err)
		}
		if err != nil && !(strings.Contains(err.Error(), ": "+path+": ") && strings.Contains(err.Error(), "chmod")) {
			t.Errorf("%s of mode %04o: the error does not name the setting and what to do: %v", path, mode, err)
		}
	})
}

// TestReloader_ChecksPermissionsOfEveryFile changes only modes, so that no content has changed. The files of Cassandra's password are
// not reloaded: Credentials reads and checks them for each connection, and Headers those of the collector for each batch. A reload
// does not look at files that are only written, nor at the CA of the collector.
func TestReloader_ChecksPermissionsOfEveryFile(t *testing.T) {
	o := openEverything(t)
	r := NewReloader(o, Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	r.Reload(false)
	forEachMode(t, o, func(path string, mode os.FileMode, refused bool) {
		if fileKinds[path] == writtenFile || path == "tracing.ca" {
			return
		}
		r.Reload(false)
		failures := fmt.Sprint(slices.Collect(maps.Values(r.logged)))
		if _, _, err := o.Cassandra.Credentials(); err != nil {
			failures += err.Error()
		}
		if _, err := o.Tracing.Headers(); err != nil {
			failures += err.Error()
		}
		if got := failures != "[]"; got != refused {
			t.Errorf("%s of mode %04o: %s", path, mode, failures)
		}
	})
}

// TestDocs_ListEverySecretFile compares the list of secret files in docs/operations.md with the settings.
func TestDocs_ListEverySecretFile(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## Secret files\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for path, kind := range fileKinds {
		name := regexp.MustCompile(`\[\d+\]|^clients\[0\]\.`).ReplaceAllString(path, "")
		if kind == secretFile && !strings.Contains(section, "`"+name+"`") {
			t.Errorf("the section on secret files does not list %s", name)
		}
	}
}

// writeOptionalFiles writes the files that the minimal configuration does not name.
func writeOptionalFiles(t *testing.T, dir string) {
	t.Helper()
	ca, err := devca.New("clients")
	if err != nil {
		t.Fatal(err)
	}
	_, _, clientErr := ca.Write(dir, "client", devca.Leaf{CommonName: "userinfo", Client: true})
	crl, crlErr := ca.CRL(time.Now().Add(time.Hour))
	audit, auditErr := access.NewAuditKey(rand.Reader)
	ticket, ticketErr := tlsconf.NewTicketKey(rand.Reader)
	secret, secretErr := signature.NewSecret(rand.Reader)
	public, _, publicErr := ed25519.GenerateKey(rand.Reader)
	der, derErr := x509.MarshalPKIXPublicKey(public)
	if err := errors.Join(clientErr, crlErr, auditErr, ticketErr, secretErr, publicErr, derErr); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"ca-b.crt": ca.PEM(), "nodes.crt": ca.PEM(), "collector.crt": ca.PEM(), "headers": []byte("Authorization: Bearer x\n"), "crl": crl, "denied": nil, "audit.log": nil, "audit.key": []byte(audit.Text()), "ticket.key": []byte(ticket.Text()),
		"username": []byte("userinfo\n"), "sign.key": []byte(secret.Text()), "sign.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
