package fleet

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"userinfo/access"
	"userinfo/internal/testcluster"
)

// anyPort is the listen address of an instance until it has served once. After that, the configuration names the port
// that the instance got.
const anyPort = "127.0.0.1:0"

// InstanceConfig describes one instance. Name and Datacentre are required.
type InstanceConfig struct {
	Name       string
	Datacentre string
	Hosts      []string // Cassandra's contact points; default: all nodes of Datacentre
	Program    string   // the executable; default: the fleet's
	Env        []string // NAME=VALUE, added to this process's environment
	Sessions   []string // settings of the collection sessions, such as "layout: kask"

	username string // Cassandra's role; default: testcluster.Username
}

var configTemplate = template.Must(template.New("userinfo.yaml").Parse(`listen: {{.Listen}}
log_level: {{.LogLevel}}
tls:
  certificate: {{.Dir}}/server.crt
  key: {{.Dir}}/server.key
  client_ca: {{.Dir}}/ca.crt
cassandra:
  hosts: [{{.Hosts}}]
  local_datacentre: {{.Datacentre}}
  replication: {{"{"}}{{.Replication}}{{"}"}}
  username: {{.Username}}
  password_file: {{.PasswordFile}}
  tls: {ca: {{.CassandraCA}}}
{{if .Sealed}}seal: {index_key: {{.Dir}}/index.key, keys: [{{.Dir}}/seal.key]}
{{end}}collections:
  - name: sessions{{range .Sessions}}
    {{.}}{{end}}
  - name: kask
    layout: kask
clients:
  - name: mediawiki
    tokens: [{sha256: {{.TokenHash}}, networks: [127.0.0.0/8]}]
    certificates: [{{with .CommonName}}{cn: {{.}}}{{end}}]
    grants: [sessions:get, sessions:set, sessions:touch, sessions:delete, kask:get, kask:set, kask:touch, kask:delete, metrics:get]
    keys: ["*"]
  - name: probe
    certificates: [{cn: {{.ProbeClient}}}]
    grants: [kask:get]
    keys: ["*"]
{{- range .PasswordClients}}
  - name: {{.Name}}
    tokens: [{sha256: {{.TokenHash}}, networks: [127.0.0.0/8]}]
    grants: [passwords:verify, passwords:create, passwords:change, passwords:reset, passwords:delete]
    keys: ["*"]
{{- end}}
audiences:
  sessions: [{token: true}{{if .CommonName}}, {certificate: true}{{end}}]
  kask: [{token: true}, {certificate: true}]
  metrics: [{token: true}]
  health: [{allow: true}]
{{- if .PasswordClients}}
  passwords: [{token: true}]
passwords:
  seal: {index_key: {{.Dir}}/passwords-index.key, keys: [{{.Dir}}/passwords-seal.key]}
  argon2id: {memory: 64, time: 1}
  workers: 4
  guesses_per_minute: 100000
{{- end}}
shutdown: {drain: {{.Drain}}}
`))

// passwordClient is a client that may do everything with passwords.
type passwordClient struct {
	Name      string
	token     access.Token
	TokenHash string
}

// writeConfig writes the configuration file of an instance and returns its path.
func (f *Fleet) writeConfig(c InstanceConfig) (string, error) {
	hosts := strings.Join(c.Hosts, ", ")
	if hosts == "" {
		hosts = f.contactPoints(c.Datacentre)
	}
	replicas := map[string]int{}
	for _, n := range f.cluster.Nodes("") {
		replicas[n.Datacentre]++
	}
	var replication []string
	for _, dc := range slices.Sorted(maps.Keys(replicas)) {
		replication = append(replication, fmt.Sprintf("%s: %d", dc, replicas[dc]))
	}
	var text bytes.Buffer
	if err := configTemplate.Execute(&text, map[string]any{
		"Sessions": c.Sessions, "Sealed": hasSealedTable(c.Sessions),
		"Listen": anyPort, "LogLevel": f.logLevel, "Dir": f.dir,
		"Hosts": hosts, "Datacentre": c.Datacentre, "Replication": strings.Join(replication, ", "),
		"Username": cmp.Or(c.username, testcluster.Username), "PasswordFile": f.cluster.PasswordFile(), "CassandraCA": f.cluster.CAFile(),
		"TokenHash": f.token.HashText(), "CommonName": f.commonName, "ProbeClient": ProbeClient, "Drain": f.drain.String(),
		"PasswordClients": f.passwordClients,
	}); err != nil {
		return "", fmt.Errorf("making the configuration of instance %s: %w", c.Name, err)
	}
	file := filepath.Join(f.dir, c.Name+".yaml")
	return file, os.WriteFile(file, text.Bytes(), 0o600)
}

// program returns the executable of an instance.
func (c InstanceConfig) program(f *Fleet) string { return cmp.Or(c.Program, f.program) }

// hasSealedTable reports whether the collection sessions has a sealed table with these settings. The program refuses seal
// keys that nothing needs.
func hasSealedTable(settings []string) bool {
	isMoving := slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "read_through:") })
	return isMoving || !slices.Contains(settings, "layout: kask")
}
