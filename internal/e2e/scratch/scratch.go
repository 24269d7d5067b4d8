// Package scratch makes every file that a configuration names, for tests of examples of configurations.
package scratch

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/devca"
)

// Dir is a directory with a configuration and its files.
type Dir struct {
	Path    string
	Program string // path of the program userinfo, which makes keys
	clients *devca.CA
	servers *devca.CA
}

// New returns the Dir at dir, which must be empty.
func New(dir, program string) (*Dir, error) {
	s := &Dir{Path: dir, Program: program}
	var err error
	if s.servers, err = devca.New("servers"); err != nil {
		return nil, err
	}
	s.clients, err = devca.New("clients")
	return s, err
}

// fileKinds says which kind of file each path in a configuration names. Lists have no index in the name.
var fileKinds = map[string]string{
	"tls.certificate": "certificate", "tls.key": "private key", "tls.client_ca": "client CA", "tls.client_cas.file": "other CA",
	"tls.crls": "CRL", "tls.denied_certificates": "empty", "tls.session_ticket_key": "ticket",
	"cassandra.password_file": "password", "cassandra.username_file": "password", "cassandra.tls.ca": "other CA",
	"cassandra.tls.certificate": "certificate", "cassandra.tls.key": "private key",
	"seal.index_key": "index", "seal.keys": "seal", "passwords.seal.index_key": "index", "passwords.seal.keys": "seal",
	"clients.signature_keys.file": "signature", "audit.key_file": "audit",
	"audit.file": "empty", "tracing.ca": "other CA", "tracing.headers_file": "headers",
}

// WriteConfig writes a configuration as userinfo.yaml and creates the files that it names. It moves absolute paths into the
// directory. Relative paths are relative to the directory already.
func (s *Dir) WriteConfig(text string) error {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return err
	}
	if err := s.makeFiles(&root, ""); err != nil {
		return err
	}
	moved, err := yaml.Marshal(&root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Path, "userinfo.yaml"), moved, 0o600)
}

func (s *Dir) makeFiles(n *yaml.Node, name string) error {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			if err := s.makeFiles(n.Content[i+1], strings.TrimPrefix(name+"."+n.Content[i].Value, ".")); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		kind, ok := fileKinds[name]
		if !ok {
			return nil
		}
		file := filepath.Join(s.Path, n.Value)
		if filepath.IsAbs(n.Value) {
			n.Value = file
		}
		text, err := s.content(kind)
		if err != nil {
			return fmt.Errorf("making the file for %s: %w", name, err)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		return os.WriteFile(file, text, 0o600)
	default:
		for _, child := range n.Content {
			if err := s.makeFiles(child, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// content returns the content of a file of this kind.
func (s *Dir) content(kind string) ([]byte, error) {
	switch kind {
	case "certificate", "private key":
		return s.pair(kind)
	case "client CA":
		return s.clients.PEM(), nil
	case "other CA":
		ca, err := devca.New("other CA")
		if err != nil {
			return nil, err
		}
		return ca.PEM(), nil
	case "CRL":
		return s.clients.CRL(time.Now().Add(24 * time.Hour))
	case "empty":
		return nil, nil
	case "headers":
		return []byte("Authorization: Bearer secret\n"), nil
	case "password":
		return []byte("secret\n"), nil
	}
	return exec.Command(s.Program, "key", "new", kind).Output()
}

// pair returns the certificate or the key of one server. The files are the same each time, because a configuration names
// the two separately.
func (s *Dir) pair(kind string) ([]byte, error) {
	cert, key := filepath.Join(s.Path, "server.crt"), filepath.Join(s.Path, "server.key")
	if _, err := os.Stat(cert); err != nil {
		leaf := devca.Leaf{CommonName: "userinfo.example", DNSNames: []string{"userinfo.example"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
		if _, _, err := s.servers.Write(s.Path, "server", leaf); err != nil {
			return nil, err
		}
	}
	if kind == "certificate" {
		return os.ReadFile(cert)
	}
	return os.ReadFile(key)
}
