// Package target starts what the benchmark measures, and speaks to what of it is not HTTP.
//
//	userinfo         the built program on a test cluster    ┐
//	userinfo-memory  userinfo dev                           │ kind https: load.HTTPSFiles
//	sidecar          haproxy that keeps connections to one  │
//	handler, loop    floors: 2 KB from memory, the same TLS ┘
//	redis            redis-server, TLS only                   kind redis
//	driver           gocql, in the generator's process        kind driver
//
// Invariants: all servers of one Lab have certificates of one CA and one kind (P-256), verify a client's certificate where
// it has one, and listen on this machine alone; a Target has paths of files and no secret, so that it can be given to other
// processes as JSON; what a Lab has started and written ends with its Close.
//
// It does not defend against other users of this machine beyond a directory of mode 0700, nor clear up after a SIGKILL: a
// cluster that was left is removed by the next one's start, other processes go on.
package target

import (
	"encoding/json"
	"fmt"

	"userinfo/bench/cost"
	"userinfo/bench/load"
)

// The kinds that Dial knows. Everything else is load.KindHTTPS.
const (
	KindRedis  = "redis"
	KindDriver = "driver"
)

// Target is what a generator sends its requests to, and whose processes are charged for them.
type Target struct {
	Name      string          // result.Sample.Target
	Kind      string          // of connection: load.KindHTTPS, KindRedis or KindDriver
	Settings  json.RawMessage // of that kind
	Nodes     int             // of Cassandra behind it; 0 where there is none, or it is not known
	Processes []cost.Process  // but for the generator

	files load.HTTPSFiles // the same as Settings
	token string          // file with the header of a client without certificate; empty where there is none
}

// Dial makes connections of the kinds redis and driver.
func Dial(kind string, settings json.RawMessage) (load.Dialer, error) {
	switch kind {
	case KindRedis:
		return decode(settings, RedisSettings.dialer)
	case KindDriver:
		return decode(settings, DriverSettings.dialer)
	default:
		return nil, fmt.Errorf("there is no connection of kind %q: it is %s or %s", kind, KindRedis, KindDriver)
	}
}

func decode[S any](text json.RawMessage, dialer func(S) (load.Dialer, error)) (load.Dialer, error) {
	var s S
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("reading a target's settings: %w", err)
	}
	return dialer(s)
}

// encode cannot fail: settings are texts and numbers.
func encode(settings any) json.RawMessage {
	text, err := json.Marshal(settings)
	if err != nil {
		panic("target: settings that are no JSON: " + err.Error())
	}
	return text
}

// https is a target of that kind.
func https(name string, files load.HTTPSFiles, processes ...cost.Process) *Target {
	return &Target{Name: name, Kind: load.KindHTTPS, Settings: encode(files), Processes: processes, files: files}
}

// Dialer makes connections to t from this process.
func (t *Target) Dialer() (load.Dialer, error) {
	if t.Kind == load.KindHTTPS {
		return t.files.Dialer()
	}
	return Dial(t.Kind, t.Settings)
}

// With is the same target asked in another way, such as with fresh connections. It must be of kind https.
func (t *Target) With(change func(*load.HTTPSFiles)) (*Target, error) {
	if t.Kind != load.KindHTTPS {
		return nil, fmt.Errorf("%s is of kind %s: only %s has other ways to be asked", t.Name, t.Kind, load.KindHTTPS)
	}
	other := *t
	change(&other.files)
	other.Settings = encode(other.files)
	return &other, nil
}

// ByCertificate is an error where the client has none, or none that is known here.
func (t *Target) ByCertificate() error {
	if t.Kind == load.KindHTTPS && t.files.Certificate == "" {
		return fmt.Errorf("the client of %s has no certificate: give it one, certificate=FILE,key=FILE", t.Name)
	}
	return nil
}

// ByToken is the same target asked with a bearer token and no client certificate.
func (t *Target) ByToken() (*Target, error) {
	if t.token == "" {
		return nil, fmt.Errorf("the client of %s has no token: give it one, header=FILE", t.Name)
	}
	return t.With(func(f *load.HTTPSFiles) { f.Certificate, f.Key, f.Header = "", "", t.token })
}
