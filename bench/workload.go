package main

import (
	"fmt"

	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/bench/target"
)

// workload is a mix of requests, how they are sent, and the default targets.
type workload struct {
	name        string
	about       string
	mix         load.Mix
	mode        result.Mode
	rate        float64 // requests/s; 0 in a closed loop
	valueBytes  int
	connections int
	token       bool // the client has a bearer token instead of a certificate
	fresh       bool // a new connection for each request
	resume      bool // with fresh: resume the TLS session
	http2       bool
	sidecar     bool // requests go to the sidecar of the target
	targets     []string
}

const (
	// sessionBytes is the size of a MediaWiki session at most, usually.
	sessionBytes = 2048
	// kept is how many connections a closed loop keeps. An open loop has more, so that slow answers do not use all of them.
	kept, keptOpen = 32, 256
)

// workloads returns all workloads.
func workloads() []workload {
	service := []string{result.UserInfo}
	gets := load.Mix{Get: 1, Keys: load.Uniform}
	closed := func(name, about string, w workload, targets ...string) workload {
		w.name, w.about, w.mode, w.connections, w.valueBytes, w.targets = name, about, result.Closed, kept, sessionBytes, targets
		if w.mix.Rate() == 0 {
			w.mix = gets
		}
		return w
	}
	open := func(name, about string, mix load.Mix, targets ...string) workload {
		return workload{name: name, about: about, mix: mix, mode: result.Open, rate: mix.Rate(), connections: keptOpen, valueBytes: sessionBytes, targets: targets}
	}
	all := []workload{
		closed(result.Get, "gets of 2 KB as fast as they are answered, with a client certificate", workload{},
			result.UserInfo, result.Handler, result.Driver, result.Redis),
		closed("get/token", "get with a bearer token", workload{token: true}, service...),
		closed("get/http2", "get over HTTP/2, with a connection for each client", workload{http2: true}, service...),
		closed("set", "sets of 2 KB", workload{mix: load.Mix{Set: 1, Keys: load.Uniform}}, result.UserInfo, result.Driver),
		open(result.Latency, "3,000 gets/s", load.Mix{Get: 3000, Keys: load.Uniform}, result.UserInfo, result.Redis, result.Driver),
		open(result.DesignTarget, "the design target: 9,000 gets/s and 100 sets/s", load.Mix{Get: 9000, Set: 100, Keys: load.Zipf}, service...),
		open("production", "an ordinary hour of Wikimedia's session store: gets, sets, deletes, some touches",
			load.Mix{Get: 1750, Set: 600, Touch: 5, Delete: 25, Keys: load.Zipf}, service...),
		open("peak", "its worst hour: 9,000 gets/s, 1,500 sets/s, 200 deletes/s", load.Mix{Get: 9000, Set: 1500, Delete: 200, Keys: load.Zipf}, service...),
		open("storm", "one key: 3,000 gets/s and 100 sets/s, a session that a broken script uses", load.Mix{Get: 3000, Set: 100, Keys: load.One}, service...),
		open("misses", "3,000 gets/s of keys that nobody has set: made-up cookies", load.Mix{Miss: 3000, Keys: load.Uniform}, service...),
		open("large", "values of 100 kB: 90 gets/s and 10 sets/s", load.Mix{Get: 90, Set: 10, Keys: load.Zipf}, service...),
		closed(result.FreshMTLS, "a new TLS connection for each get, with a client certificate", workload{fresh: true},
			result.UserInfo, result.Memory, result.Loop, result.Handler),
		closed(result.FreshMTLSResumed, "fresh/mtls, resuming TLS sessions", workload{fresh: true, resume: true}, result.UserInfo, result.Memory, result.Loop),
		closed("fresh/token", "a new TLS connection for each get, with a bearer token", workload{fresh: true, token: true}, service...),
		closed("fresh/token+resumption", "fresh/token, resuming TLS sessions", workload{fresh: true, token: true, resume: true}, service...),
		closed("fresh/token+http2", "fresh/token over HTTP/2, as PHP does by default", workload{fresh: true, token: true, http2: true}, service...),
		closed("fresh/sidecar", "a new connection for each get to a haproxy on this machine, which keeps its own", workload{fresh: true, sidecar: true}, service...),
	}
	for i := range all {
		if all[i].name == "large" {
			all[i].valueBytes = 100_000
		}
	}
	return all
}

func workloadNamed(name string) (workload, error) {
	for _, w := range workloads() {
		if w.name == name {
			return w, nil
		}
	}
	return workload{}, fmt.Errorf("there is no workload %q; `go run ./bench list` lists them", name)
}

// at3000 returns w at a fixed rate of 3,000 requests/s, to compare costs: in a closed loop, and at other rates, a request
// costs less the more requests there are.
func (w workload) at3000() workload {
	w.mode, w.rate = result.Open, 3000
	return w
}

// connect returns t as this workload connects to it. It returns an error if t's client lacks the credential.
func (w workload) connect(t *target.Target) (*target.Target, error) {
	if w.token {
		var err error
		if t, err = t.WithToken(); err != nil {
			return nil, err
		}
	}
	if !w.fresh && !w.http2 {
		return t, nil
	}
	if w.fresh && !w.token && !w.sidecar {
		if err := t.CheckCertificate(); err != nil {
			return nil, err
		}
	}
	return t.With(func(c *load.HTTPConfig) { c.Fresh, c.Resume, c.HTTP2 = w.fresh, w.resume, w.http2 })
}
