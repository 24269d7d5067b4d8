package config

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"

	"userinfo/internal/field"
	"userinfo/internal/keyfile"
	"userinfo/store"
	"userinfo/tlsconf"
)

// Cassandra says how to reach the cluster. Connections always use verified TLS and a password.
type Cassandra struct {
	// Hosts are contact points in the local datacentre: host names or IP addresses, without a port.
	Hosts []string `yaml:"hosts"`
	// Port of the native protocol; default 9042.
	Port int `yaml:"port"`
	// LocalDatacentre is the datacentre's name in Cassandra. The service sends requests to nodes of this datacentre only.
	LocalDatacentre string `yaml:"local_datacentre"`
	// Keyspace holds the tables of all collections; default userinfo.
	Keyspace string `yaml:"keyspace"`
	// Replication is the number of replicas in each datacentre. `schema apply` creates the keyspace with it; `schema check`
	// and `serve` compare it with the cluster. Without it they only check that the local datacentre has replicas.
	Replication map[string]int `yaml:"replication"`
	// Username is the role that the service logs in as.
	Username string `yaml:"username"`
	// UsernameFile holds the role's name. Use it instead of Username if the role changes together with its password.
	UsernameFile string `yaml:"username_file"`
	// PasswordFile holds the role's password. A line end after the password is ignored. Both files are read at each new
	// connection.
	PasswordFile string `yaml:"password_file"`
	// TLS names the CA of the nodes' certificates and, optionally, a client certificate.
	TLS tlsconf.ClientFiles `yaml:"tls"`
}

func (c Cassandra) validate() error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, field.Errorf("cassandra."+name, format, args...))
	}
	if len(c.Hosts) == 0 {
		bad("hosts", "missing: list contact points in the local datacentre")
	}
	for i, host := range c.Hosts {
		if _, _, err := net.SplitHostPort(host); err == nil {
			bad(fmt.Sprintf("hosts[%d]", i), "give a host name or an IP address without a port; cassandra.port is the port of all hosts")
		}
	}
	if c.Port < 1 || c.Port > 65535 {
		bad("port", "must be from 1 to 65535")
	}
	if !store.IsIdentifier(c.Keyspace) {
		bad("keyspace", identifierRule)
	}
	if c.Username != "" && c.UsernameFile != "" {
		bad("username_file", "leave out username, or leave out username_file: use only one of them")
	}
	for _, required := range []struct{ name, value, hint string }{
		{"local_datacentre", c.LocalDatacentre, "the name of the datacentre, as `nodetool status` shows it"},
		{"username", c.Username + c.UsernameFile, "the service does not use a Cassandra without authentication"},
		{"password_file", c.PasswordFile, "name the file that holds the password"},
	} {
		if required.value == "" {
			bad(required.name, "missing: %s", required.hint)
		}
	}
	return errors.Join(errs...)
}

// Credentials reads the user and the password, which the caller should overwrite after use. It fails closed: an empty user or
// password is an error. Its errors do not contain the name of the password file, because somebody may have written the
// password itself there.
func (c Cassandra) Credentials() (username string, password []byte, err error) {
	username = c.Username
	if c.UsernameFile != "" {
		line, err := readLine("cassandra.username_file", c.UsernameFile)
		if err != nil {
			return "", nil, err
		}
		username = string(line)
	}
	password, err = readLine("cassandra.password_file", c.PasswordFile)
	return username, password, err
}

// readLine returns the text in a secret file without the line end. path is the setting, name the file.
func readLine(path, name string) ([]byte, error) {
	return readKey(path, name, keyfile.Read, func(text []byte) ([]byte, error) {
		line := bytes.TrimRight(text, "\r\n")
		if len(line) == 0 {
			return nil, fmt.Errorf("the file is empty; put the %s into it", strings.TrimSuffix(strings.TrimPrefix(path, "cassandra."), "_file"))
		}
		return bytes.Clone(line), nil
	})
}
