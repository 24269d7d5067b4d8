package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/internal/keyfile"
)

// Users of the images in deploy/compose.
const (
	serviceUser    = 64001
	cassandraUser  = 999
	prometheusUser = 65534
	keepOwner      = -1 // the user who has the directory already
)

const (
	demoCA       = "userinfo demonstration"  // the CA
	demoDays     = 364                       // how long certificates are valid; a CA of devca is valid for a year
	demoNodeName = "nodes.cassandra.example" // in the certificate of all nodes
)

// noTokenHash stands in a configuration where the hash of a token belongs.
var noTokenHash = []byte(strings.Repeat("0", 64))

func demoCertsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo-certs DIRECTORY [CONFIG...]",
		Short: "Make certificates, keys and a token for deploy/compose",
		Long: `Demo-certs makes everything that is secret in deploy/compose, with a new CA. NOT FOR PRODUCTION: one CA signs everything.

  DIRECTORY/client      ca.crt, client.crt, client.key, token.header and signature.key, for curl and userinfo sign
  DIRECTORY/userinfo    certificates and keys of the instances, and a copy of each CONFIG, in which the hash of the token
                        replaces the zeros
  DIRECTORY/cassandra   the certificate of the nodes, for ` + demoNodeName + `
  DIRECTORY/haproxy     the CA
  DIRECTORY/prometheus  the certificate of the client prometheus

If all files exist, it changes nothing. If one is missing, it makes all of them again. It never replaces a file in a directory
without a certificate of its own CA, because that may be the only copy of a key. If it runs as root, each directory
belongs to the user of its container: 64001 for userinfo, 999 for cassandra, 65534 for prometheus. The files in client belong
to the owner of that directory. Certificates are valid for 364 days.`,
		Example: "  userinfo demo-certs demo deploy/compose/dc1.yaml deploy/compose/dc2.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return failed(makeDemo(args[0], args[1:], c.OutOrStdout()))
		},
	}
}

// demoDirectory is what one container of deploy/compose needs.
type demoDirectory struct {
	name  string
	owner int               // numeric user, or keepOwner
	files map[string][]byte // by name
}

// makeDemo makes what is missing in dir and says what it has done.
func makeDemo(dir string, configs []string, stdout io.Writer) error {
	all, err := newDemo(configs)
	if err != nil {
		return err
	}
	done, complete := "made a new CA, certificates, keys and a token", true
	for _, d := range all {
		complete = complete && d.exists(dir)
	}
	if complete {
		done = "nothing to do: all files exist"
	} else {
		for _, d := range all {
			if err := d.mayReplace(dir); err != nil {
				return err
			}
		}
		for _, d := range all {
			if err := d.write(dir); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Fprintf(stdout, "%s: %s\n", dir, done)
	return err
}

// newDemo makes the content of all directories.
func newDemo(configs []string) ([]demoDirectory, error) {
	ca, err := devca.New(demoCA)
	if err != nil {
		return nil, err
	}
	var errs []error
	pair := func(name string, l devca.Leaf) map[string][]byte {
		l.CommonName, l.NotAfter = name, time.Now().AddDate(0, 0, demoDays)
		cert, key, err := ca.Issue(l)
		errs = append(errs, err)
		return map[string][]byte{name + ".crt": cert, name + ".key": key, "ca.crt": ca.PEM()}
	}
	server := devca.Loopback()
	server.DNSNames = append(server.DNSNames, "userinfo-dc1", "userinfo-dc2")
	service := pair("server", server)
	for name, text := range pair("cassandra-client", devca.Leaf{Client: true}) {
		service[name] = text
	}
	for _, kind := range keyKinds {
		text, err := kind.text(rand.Reader)
		service[kind.name+".key"], errs = []byte(text+"\n"), append(errs, err)
	}
	service["cassandra.password"] = []byte(rand.Text() + "\n") // the nodes of the demonstration do not ask for it
	node := pair("node", devca.Leaf{DNSNames: []string{demoNodeName}})
	node = map[string][]byte{"node.pem": slices.Concat(node["node.key"], node["node.crt"]), "ca.crt": ca.PEM()}
	client := pair("client", devca.Leaf{Client: true})
	client["signature.key"] = service["signature.key"] // both sides have it
	token, err := access.NewToken(rand.Reader)
	errs = append(errs, err)
	client["token.header"] = []byte("Authorization: Bearer " + string(token) + "\n") // as curl -H @FILE reads it
	errs = append(errs, addConfigs(service, configs, token))
	all := []demoDirectory{
		{"client", keepOwner, client},
		{"userinfo", serviceUser, service},
		{"cassandra", cassandraUser, node},
		{"haproxy", keepOwner, map[string][]byte{"ca.crt": ca.PEM()}},
		{"prometheus", prometheusUser, pair("prometheus", devca.Leaf{Client: true})},
	}
	return all, errors.Join(errs...)
}

// addConfigs adds a copy of each configuration to files. In the copy, the hash of the token replaces the zeros.
func addConfigs(files map[string][]byte, configs []string, token access.Token) error {
	for _, name := range configs {
		text, err := keyfile.ReadPublic(name)
		if err != nil {
			return err
		}
		if !bytes.Contains(text, noTokenHash) {
			return fmt.Errorf("%s has no token with the hash %s, which the hash of a new token replaces", name, noTokenHash)
		}
		files[filepath.Base(name)] = bytes.ReplaceAll(text, noTokenHash, []byte(token.HashText()))
	}
	return nil
}

// exists reports whether all files of d are there.
func (d demoDirectory) exists(dir string) bool {
	for name := range d.files {
		if _, err := os.Stat(filepath.Join(dir, d.name, name)); err != nil {
			return false
		}
	}
	return true
}

// mayReplace returns an error if a file of d is there that an earlier run has not made. It fails closed: without a certificate of
// the CA of an earlier run beside it, a file is somebody else's.
func (d demoDirectory) mayReplace(dir string) error {
	for name := range d.files {
		if strings.HasSuffix(name, ".crt") {
			if all, err := readCertificates(filepath.Join(dir, d.name, name)); err == nil && all[0].Issuer.CommonName == demoCA {
				return nil
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		name = filepath.Join(dir, d.name, name)
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s exists, and demo-certs has not made it: choose another directory, or remove the file", name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write writes the files of d below dir. Everybody may read certificates and configurations, and only the owner the rest.
func (d demoDirectory) write(dir string) error {
	dir = filepath.Join(dir, d.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	user, group, err := d.user(dir)
	if err != nil {
		return err
	}
	var errs []error
	if os.Geteuid() == 0 {
		errs = append(errs, os.Chown(dir, user, group))
	}
	for name, text := range d.files {
		mode := os.FileMode(0o600)
		if strings.HasSuffix(name, ".crt") || strings.HasSuffix(name, ".yaml") {
			mode = 0o644
		}
		errs = append(errs, replaceFile(filepath.Join(dir, name), text, mode, user, group))
	}
	return errors.Join(errs...)
}

// replaceFile writes a new file and gives it the name of the old one. If the process is root, the file gets the user and the group.
// It follows no link that has the name: the owner of the directory, who may be anybody, could make root write into any file.
func replaceFile(name string, text []byte, mode os.FileMode, user, group int) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".demo-certs-") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	errs := []error{err, f.Chmod(mode)}
	if os.Geteuid() == 0 {
		errs = append(errs, f.Chown(user, group))
	}
	if err := errors.Join(append(errs, f.Close())...); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), name)
}

// user returns the user and the group that the files of d in dir should belong to.
func (d demoDirectory) user(dir string) (user, group int, err error) {
	if d.owner != keepOwner {
		return d.owner, d.owner, nil
	}
	var now syscall.Stat_t
	if err := syscall.Stat(dir, &now); err != nil {
		return 0, 0, err
	}
	return int(now.Uid), int(now.Gid), nil
}
