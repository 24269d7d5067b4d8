package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestFile_Open_ChecksPermissionsOfEveryFile makes each file that a configuration can name readable and writable by everybody.
func TestFile_Open_ChecksPermissionsOfEveryFile(t *testing.T) {
	dir := t.TempDir()
	writeMinimalFiles(t, dir)
	writeOptionalFiles(t, dir)
	text := strings.NewReplacer(
		"tls: {certificate: server.crt, key: server.key}", "tls: {certificate: server.crt, key: server.key, client_ca: ca.crt, client_cas: [{name: b, file: ca-b.crt}], "+
			"crls: [crl], denied_certificates: denied, session_ticket_key: ticket.key}",
		"username: userinfo", "username_file: username",
		"tls: {ca: ca.crt}", "tls: {ca: nodes.crt, certificate: client.crt, key: client.key}",
		"    keys: [\"*\"]", "    keys: [\"*\"]\n    signature_keys: [{id: s, file: sign.key}, {id: p, file: sign.pub}]",
		"seal:", "audit: {key_file: audit.key, file: audit.log}\nseal:",
	).Replace(minimal)
	f, err := Parse(filepath.Join(dir, "u.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(time.Now); err != nil {
		t.Fatal(err)
	}
	secret := []string{"tls.key", "tls.session_ticket_key", "cassandra.username_file", "cassandra.password_file", "cassandra.tls.key", "seal.index_key", "seal.keys[0]",
		"audit.key_file", "audit.file", "clients[0].signature_keys[0].file"}
	for _, file := range f.fileNames() {
		if *file.name == "" {
			t.Errorf("%s is not tested", file.path)
			continue
		}
		for mode, refused := range map[os.FileMode]bool{0o644: slices.Contains(secret, file.path), 0o646: true, 0o600: false} {
			if err := os.Chmod(*file.name, mode); err != nil {
				t.Fatal(err)
			}
			_, err := f.Open(time.Now)
			if (err != nil) != refused {
				t.Errorf("%s of mode %04o: %v", file.path, mode, err)
			}
			if err != nil && !(strings.Contains(err.Error(), ": "+file.path+": ") && strings.Contains(err.Error(), "chmod")) {
				t.Errorf("%s of mode %04o: the error does not name the setting and what to do: %v", file.path, mode, err)
			}
		}
		if err := os.Chmod(*file.name, 0o600); err != nil {
			t.Fatal(err)
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
		"ca-b.crt": ca.PEM(), "nodes.crt": ca.PEM(), "crl": crl, "denied": nil, "audit.log": nil, "audit.key": []byte(audit.Text()), "ticket.key": []byte(ticket.Text()),
		"username": []byte("userinfo\n"), "sign.key": []byte(secret.Text()), "sign.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
