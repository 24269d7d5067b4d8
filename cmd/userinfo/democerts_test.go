package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"userinfo/access"
	"userinfo/internal/devca"
)

// demoConfigs are the configurations of deploy/compose.
var demoConfigs = []string{"../../deploy/compose/dc1.yaml", "../../deploy/compose/dc2.yaml"}

// newDemoDir returns a directory in which makeDemo has made everything.
func newDemoDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := makeDemo(dir, demoConfigs, io.Discard); err != nil {
		t.Fatal(err)
	}
	return dir
}

// demoFiles returns the content of every file below dir.
func demoFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDemoCerts_MakesWhatTheConfigurationsNeed(t *testing.T) {
	dir := newDemoDir(t)
	token := strings.TrimPrefix(strings.TrimSpace(demoFiles(t, dir)["client/token.header"]), "Authorization: Bearer ")
	for _, name := range []string{"dc1.yaml", "dc2.yaml"} {
		o, err := openConfig(filepath.Join(dir, "userinfo", name))
		if err != nil {
			t.Fatal(err)
		}
		if hash := o.Clients[0].Tokens[0].SHA256; hash != access.Token(token).HashText() {
			t.Errorf("%s: the hash %s is not the hash of the token", name, hash)
		}
		if warnings := o.Warnings(); len(warnings) > 0 {
			t.Errorf("%s: %q", name, warnings)
		}
	}
}

func TestDemoCerts_CertificatesHaveTheNamesThatPeersVerify(t *testing.T) {
	files := demoFiles(t, newDemoDir(t))
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(files["client/ca.crt"])) {
		t.Fatal("client/ca.crt holds no certificate")
	}
	for _, c := range []struct {
		file, key string
		usage     x509.ExtKeyUsage
		names     []string
	}{
		{"userinfo/server.crt", "userinfo/server.key", x509.ExtKeyUsageServerAuth, []string{"localhost", "127.0.0.1", "userinfo-dc1", "userinfo-dc2"}},
		{"cassandra/node.pem", "cassandra/node.pem", x509.ExtKeyUsageServerAuth, []string{demoNodeName}},
		{"userinfo/cassandra-client.crt", "userinfo/cassandra-client.key", x509.ExtKeyUsageClientAuth, []string{""}},
		{"client/client.crt", "client/client.key", x509.ExtKeyUsageClientAuth, []string{""}},
		{"prometheus/prometheus.crt", "prometheus/prometheus.key", x509.ExtKeyUsageClientAuth, []string{""}},
	} {
		pair, err := tls.X509KeyPair([]byte(files[c.file]), []byte(files[c.key]))
		if err != nil {
			t.Fatalf("%s: %v", c.file, err)
		}
		for _, name := range c.names {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, KeyUsages: []x509.ExtKeyUsage{c.usage}}); err != nil {
				t.Errorf("%s: %q: %v", c.file, name, err)
			}
		}
	}
	for _, name := range []string{"userinfo/ca.crt", "cassandra/ca.crt", "haproxy/ca.crt", "prometheus/ca.crt"} {
		if files[name] != files["client/ca.crt"] {
			t.Errorf("%s is not the CA in client/ca.crt", name)
		}
	}
}

func TestDemoCerts_KeepsCompleteFilesAndReplacesIncompleteOnes(t *testing.T) {
	dir := newDemoDir(t)
	before := demoFiles(t, dir)
	var said bytes.Buffer
	if err := makeDemo(dir, demoConfigs, &said); err != nil || !strings.Contains(said.String(), "nothing to do") {
		t.Fatalf("%v %s", err, &said)
	}
	for name, text := range demoFiles(t, dir) {
		if text != before[name] {
			t.Errorf("%s has changed", name)
		}
	}
	if err := os.Remove(filepath.Join(dir, "prometheus", "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if err := makeDemo(dir, demoConfigs, io.Discard); err != nil {
		t.Fatal(err)
	}
	for name, text := range demoFiles(t, dir) {
		if text == before[name] {
			t.Errorf("%s is the old one, which does not belong to the new CA and keys", name)
		}
	}
}

// TestDemoCerts_OnlyOwnersReadSecrets checks modes, and, if the test runs as root, the users.
func TestDemoCerts_OnlyOwnersReadSecrets(t *testing.T) {
	dir := newDemoDir(t)
	users := map[string]int{"userinfo": serviceUser, "cassandra": cassandraUser, "prometheus": prometheusUser, "client": os.Geteuid(), "haproxy": os.Geteuid()}
	for name := range demoFiles(t, dir) {
		var file syscall.Stat_t
		if err := syscall.Stat(filepath.Join(dir, name), &file); err != nil {
			t.Fatal(err)
		}
		want := os.Geteuid()
		if want == 0 {
			want = users[filepath.Dir(name)]
		}
		public := strings.HasSuffix(name, ".crt") || strings.HasSuffix(name, ".yaml")
		if mode := file.Mode & 0o777; int(file.Uid) != want || public && mode != 0o644 || !public && mode != 0o600 {
			t.Errorf("%s: mode %o of user %d, want user %d", name, mode, file.Uid, want)
		}
	}
}

// TestDemoCerts_ReplacesLinks checks that root writes nothing through a link of the user who owns a directory.
func TestDemoCerts_ReplacesLinks(t *testing.T) {
	dir, other := newDemoDir(t), filepath.Join(t.TempDir(), "other")
	link := filepath.Join(dir, "client", "client.key")
	err := errors.Join(os.WriteFile(other, []byte("other"), 0o600), os.Remove(link), os.Symlink(other, link), os.Remove(filepath.Join(dir, "client", "ca.crt")))
	if err != nil {
		t.Fatal(err)
	}
	if err := makeDemo(dir, demoConfigs, io.Discard); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "other" {
		t.Errorf("the file that the link names holds %q, %v", text, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestDemoCerts_KeepsKeysOfOthers checks that the command does not replace keys of an installation, which may be the only ones.
func TestDemoCerts_KeepsKeysOfOthers(t *testing.T) {
	for name, ca := range map[string][]byte{"no CA": nil, "an empty CA": {}, "another CA": newTestCA(t)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			own := filepath.Join(dir, "userinfo")
			err := errors.Join(os.Mkdir(own, 0o700), os.WriteFile(filepath.Join(own, "seal.key"), []byte("production"), 0o600))
			if ca != nil {
				err = errors.Join(err, os.WriteFile(filepath.Join(own, "ca.crt"), ca, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			before := demoFiles(t, dir)
			if err := makeDemo(dir, demoConfigs, io.Discard); err == nil || !strings.Contains(err.Error(), "exists, and demo-certs has not made it") {
				t.Errorf("error %v", err)
			}
			if after := demoFiles(t, dir); !maps.Equal(before, after) {
				t.Errorf("the files are now %v", after)
			}
		})
	}
}

// newTestCA returns the certificate of a CA that demo-certs has not made.
func newTestCA(t *testing.T) []byte {
	t.Helper()
	ca, err := devca.New("another CA")
	if err != nil {
		t.Fatal(err)
	}
	return ca.PEM()
}

func TestDemoCerts_WantsAPlaceForTheHash(t *testing.T) {
	config := filepath.Join(t.TempDir(), "userinfo.yaml")
	if err := os.WriteFile(config, []byte("clients: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	dir := t.TempDir()
	code := run(t.Context(), []string{"demo-certs", dir, config}, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "has no token with the hash 0000") || len(demoFiles(t, dir)) > 0 {
		t.Errorf("exit code %d, stderr %q, files %v", code, &stderr, demoFiles(t, dir))
	}
}
