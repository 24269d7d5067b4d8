// Package target starts what the benchmark measures, and connects to it.
//
//	userinfo         the service on a test cluster
//	userinfo-memory  the service on its memory store (userinfo dev)
//	sidecar          haproxy on this machine, which keeps connections to the service
//	handler, loop    baselines in Go: 2 KB from memory, the same TLS
//	redis            redis-server with TLS
//	driver           gocql in the benchmark's own process, on the service's own table
//
// Invariants:
//
//  1. All servers have certificates (P-256) of one CA, verify client certificates, and listen on this machine only.
//  2. All instances on the cluster share keys, data and configuration. They differ only in executable and environment.
//  3. Close stops every process, removes the cluster and deletes all files.
//
// It does not protect against other users of this machine, except by a directory with mode 0700. After SIGKILL, processes
// that it has started go on, and the next run removes the old cluster.
package target

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// Target is what requests are sent to, and the processes whose cost is counted.
type Target struct {
	Name      string
	Processes []Process // without the benchmark's own

	http        *load.HTTPConfig            // nil if it is not an HTTP store
	dial        func() (load.Dialer, error) // otherwise
	tokenHeader string                      // file with the Authorization header of a client without certificate
}

// Dialer returns a dialer for connections to t.
func (t *Target) Dialer() (load.Dialer, error) {
	if t.http != nil {
		return load.NewHTTP(*t.http)
	}
	return t.dial()
}

// With returns the same target with another HTTP configuration, for example with fresh connections.
func (t *Target) With(change func(*load.HTTPConfig)) (*Target, error) {
	if t.http == nil {
		return nil, fmt.Errorf("%s is not an HTTP store: it has one kind of connection", t.Name)
	}
	other, config := *t, *t.http
	change(&config)
	other.http = &config
	return &other, nil
}

// CheckCertificate returns an error if t is an HTTP store whose client has no certificate.
func (t *Target) CheckCertificate() error {
	if t.http != nil && t.http.Certificate == "" {
		return fmt.Errorf("the client of %s has no certificate: add certificate=FILE,key=FILE to its -url", t.Name)
	}
	return nil
}

// WithToken returns the same target with a bearer token instead of a client certificate.
func (t *Target) WithToken() (*Target, error) {
	if t.tokenHeader == "" {
		return nil, fmt.Errorf("the client of %s has no token: add header=FILE to its -url", t.Name)
	}
	return t.With(func(c *load.HTTPConfig) { c.Certificate, c.Key, c.Header = "", "", t.tokenHeader })
}

// ParseURL reads the description of an HTTP session store that runs already:
//
//	NAME=URL[,ca=FILE][,certificate=FILE,key=FILE][,header=FILE][,set=POST][,pid=NUMBER]
//
// See load.HTTPConfig. pid, which may be repeated, is a process of the store on this machine, whose CPU time and memory are
// counted. ParseURL reads the files.
func ParseURL(text string) (*Target, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" || strings.ContainsAny(name, ",: \t") {
		return nil, fmt.Errorf("%q is not NAME=URL[,ca=FILE][,certificate=FILE,key=FILE][,header=FILE][,set=POST][,pid=NUMBER]", text)
	}
	if slices.Contains(result.Targets, name) {
		return nil, fmt.Errorf("the benchmark has a target %q of its own: choose another name", name)
	}
	parts := strings.Split(rest, ",")
	c := load.HTTPConfig{URL: parts[0]}
	t := &Target{Name: name, http: &c}
	fields := map[string]*string{"ca": &c.CA, "certificate": &c.Certificate, "key": &c.Key, "header": &c.Header, "set": &c.Set}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		field := fields[key]
		switch {
		case key == "pid":
			pid, err := strconv.Atoi(value)
			if err == nil {
				_, err = CPU(pid)
			}
			if err != nil {
				return nil, fmt.Errorf("target %s: pid=%s: give the number of a process that runs on this machine: %w", name, value, err)
			}
			t.Processes = append(t.Processes, Process{Kind: result.KindService, PID: pid})
		case field == nil:
			return nil, fmt.Errorf("target %s: %q is not one of ca, certificate, key, header, set, pid", name, key)
		case value == "" || *field != "":
			return nil, fmt.Errorf("target %s: give %s= once, with a value", name, key)
		default:
			*field = value
		}
	}
	t.tokenHeader = c.Header
	d, err := t.Dialer()
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	return t, d.Close()
}

// Instance is a parsed name of a target that the benchmark starts: userinfo:GOGC=200+BINARY=/path/to/userinfo.
type Instance struct {
	Kind   string   // one of result.Targets
	Binary string   // executable of the service; empty: built from this source tree
	Env    []string // NAME=VALUE, added to the benchmark's own environment
}

// ParseName reads the name of a target that the benchmark starts. BINARY is the only name that does not become an
// environment variable.
func ParseName(name string) (Instance, error) {
	kind, settings, has := strings.Cut(name, ":")
	i := Instance{Kind: kind}
	if !slices.Contains(result.Targets, kind) {
		return i, fmt.Errorf("there is no target %q: use one of %s, or the name of a -url", name, strings.Join(result.Targets, ", "))
	}
	if !has {
		return i, nil
	}
	if kind != result.UserInfo && kind != result.Memory {
		return i, fmt.Errorf("target %q: only %s and %s have settings", name, result.UserInfo, result.Memory)
	}
	for _, setting := range strings.Split(settings, "+") {
		key, value, ok := strings.Cut(setting, "=")
		switch {
		case !ok || key == "":
			return i, fmt.Errorf("target %q: %q is not NAME=VALUE", name, setting)
		case key == "BINARY" && value == "":
			return i, errors.New("BINARY= needs the path of an executable")
		case key == "BINARY":
			i.Binary = value
		default:
			i.Env = append(i.Env, setting)
		}
	}
	return i, nil
}
