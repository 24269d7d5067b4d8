package target

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/template"

	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
)

//go:embed haproxy.cfg
var sidecarText string

var sidecarConfig = template.Must(template.New("haproxy.cfg").Parse(sidecarText))

// Sidecar starts a haproxy before a target that is asked with a client certificate: plain HTTP on a unix socket in the
// lab's directory, and connections with mutual TLS to the target, which are kept.
func (l *Lab) Sidecar(ctx context.Context, name string, of *Target) (*Target, error) {
	if of.Kind != load.KindHTTPS || of.files.Certificate == "" {
		return nil, fmt.Errorf("%s is not asked over HTTPS with a client certificate, which a sidecar needs", of.Name)
	}
	u, err := url.Parse(of.files.URL)
	if err != nil {
		return nil, err
	}
	pair, err := join(l.file(name+".pem"), of.files.Certificate, of.files.Key)
	if err != nil {
		return nil, err
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost" // haproxy holds certificates against names alone; all of this machine's are for that, too
	}
	var text strings.Builder
	socket := l.file(name + ".sock")
	if err := sidecarConfig.Execute(&text, map[string]any{
		"Socket": socket, "Address": u.Host, "Name": host, "CA": of.files.CA, "Pair": pair,
	}); err != nil {
		return nil, err
	}
	file := l.file(name + ".haproxy.cfg")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	c, err := l.start(func(string) bool { return false }, nil, "haproxy", "-db", "-f", file)
	if err != nil {
		return nil, err
	}
	if err := c.awaitTaking(ctx, func() (io.Closer, error) { return net.Dial("unix", socket) }); err != nil {
		return nil, err
	}
	processes := append(slices.Clone(of.Processes), cost.Process{Kind: result.KindSidecar, PID: c.pid()})
	t := https(name, load.HTTPSFiles{URL: "http://" + u.Host + u.EscapedPath(), Socket: socket, Set: of.files.Set}, processes...)
	t.Nodes = of.Nodes
	return t, nil
}

// join writes a certificate and its key into one file.
func join(to string, files ...string) (string, error) {
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		all = append(all, text...)
	}
	return to, os.WriteFile(to, all, 0o600)
}
