package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"userinfo/access"
	"userinfo/schema"
)

const exampleFile = "../../deploy/userinfo.yaml"

func readExample(t *testing.T) (text []byte, c *File) {
	t.Helper()
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = Parse(exampleFile, text); err != nil {
		t.Fatal(err)
	}
	return text, c
}

func TestExample_HasEveryField(t *testing.T) {
	text, _ := readExample(t)
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	wantFields(t, "", reflect.TypeFor[Config](), []*yaml.Node{root.Content[0]})
}

// wantFields looks for every field of a struct in at least one of its nodes.
func wantFields(t *testing.T, path string, in reflect.Type, nodes []*yaml.Node) {
	t.Helper()
	for i := range in.NumField() {
		name := in.Field(i).Tag.Get("yaml")
		if name == "-" {
			continue
		}
		if name == "" {
			t.Errorf("%s.%s has no name in the file", in, in.Field(i).Name)
			continue
		}
		var found []*yaml.Node
		for _, n := range nodes {
			if _, value := child(n, name); value != nil {
				found = append(found, value)
			}
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		if at == "cassandra.username_file" && len(found) == 0 { // it excludes username, so it stands in a comment
			continue
		}
		if len(found) == 0 {
			t.Errorf("%s is not in the example", at)
		}
		of := in.Field(i).Type
		if of.Kind() == reflect.Map && of.Elem().Kind() == reflect.Slice { // of lists by name
			var lists []*yaml.Node
			for _, n := range found {
				for j := 1; j < len(n.Content); j += 2 {
					lists = append(lists, n.Content[j])
				}
			}
			of, found, at = of.Elem(), lists, at+".*"
		}
		if of.Kind() == reflect.Slice {
			var elements []*yaml.Node
			for _, n := range found {
				elements = append(elements, n.Content...)
			}
			of, found, at = of.Elem(), elements, at+"[]"
		}
		if of.Kind() == reflect.Pointer && of.Elem().Kind() == reflect.Struct {
			of = of.Elem()
		}
		if of.Kind() == reflect.Struct {
			wantFields(t, at, of, found)
		}
	}
}

// TestExample_ShowsDefaults removes each line with one; what is left must mean the same.
func TestExample_ShowsDefaults(t *testing.T) {
	text, whole := readExample(t)
	for _, name := range []string{
		"min_version", "port", "keyspace", "path", "table", "layout", "default_ttl", "max_ttl", "fence", "max_value_bytes",
		"max_in_flight", "max_connections", "idle_timeout", "drain", "grace", "log_level", "window", "nonces", "http2", "required", "patience",
		"sample_ratio", "service_name",
	} {
		line := regexp.MustCompile(`(?m)^ *` + name + `: .*\n`)
		if n := len(line.FindAll(text, -1)); n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
		c, err := Parse(exampleFile, line.ReplaceAll(text, nil))
		if err != nil {
			t.Errorf("without %s: %v", name, err)
			continue
		}
		if name == "min_version" && c.TLS.MinVersion == "" {
			c.TLS.MinVersion = "1.3" // tlsconf's default, which its own tests hold
		}
		if !reflect.DeepEqual(c.Config, whole.Config) {
			t.Errorf("%s does not show its default", name)
		}
	}
}

func TestMinimalExample_IsRightWithItsFiles(t *testing.T) {
	text, err := os.ReadFile("../../deploy/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 40 {
		t.Errorf("it has %d lines", n)
	}
	dir := t.TempDir()
	files := t.TempDir()
	writeMinimalFiles(t, files)
	for name, from := range map[string]string{
		"tls/server.crt": "server.crt", "tls/server.key": "server.key", "cassandra.password": "password",
		"tls/cassandra-ca.crt": "ca.crt", "keys/index": "index.key", "keys/seal-1": "seal.key",
	} {
		to := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(filepath.Join(files, from), to)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Parse(filepath.Join(dir, "minimal.yaml"), text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(time.Now); err != nil {
		t.Error(err)
	}
	if _, err := schema.Print(f.SchemaSpec()); err != nil {
		t.Errorf("schema print refuses it: %v", err)
	}
}

func TestExample_AdmitsNobody(t *testing.T) {
	_, c := readExample(t)
	for _, client := range c.Clients {
		for _, token := range client.Tokens {
			if token.SHA256 != fmt.Sprintf("%064d", 0) {
				t.Errorf("client %s has the hash of a token that somebody might have", client.Name)
			}
		}
	}
	policy, err := c.Policy(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := policy.Authenticate(access.Credentials{})
	if err != nil || id.Client() != "" {
		t.Errorf("somebody without credentials is client %q, %v", id.Client(), err)
	}
	for _, audience := range []string{"sessions", access.Metrics, access.OpenAPI, access.Operators} {
		if access.Admit(id, audience) == nil {
			t.Errorf("somebody without credentials is let in to %s", audience)
		}
	}
}
