package main

import (
	"fmt"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// workload is what is asked, how, and of whom by default.
type workload struct {
	name        string
	mix         load.Workload
	mode        result.Mode
	perSecond   float64 // in mode Open; 0: the mix's own
	connections int
	token       bool // a bearer token in place of the client certificate
	fresh       bool // a new connection for each request
	resume      bool // with fresh: TLS sessions are resumed
	http2       bool
	sidecar     bool // the target is the sidecar's
	targets     []string
	about       string
}

func (w workload) rate() float64 {
	if w.mode == result.Closed {
		return 0
	}
	if w.perSecond > 0 {
		return w.perSecond
	}
	return w.mix.Rate()
}

// kept is how many connections a wiki's web servers keep to an instance here.
const kept = 32

// gets reads 2 KB values and nothing else. Every key is as likely as any other, so that no cache of hot ones helps.
func gets() load.Workload {
	w, err := load.WorkloadNamed("target")
	if err != nil {
		panic(err) // load has it
	}
	w.Name, w.Get, w.Set, w.Keys = result.Get, 1000, 0, load.Uniform
	return w
}

func sets() load.Workload {
	w := gets()
	w.Name, w.Get, w.Set = result.Set, 0, 1000
	return w
}

// workloads are the named ones, those of load and those that vary how they are asked.
func workloads() []workload {
	service := []string{result.UserInfo}
	all := []workload{
		{name: result.Get, mix: gets(), mode: result.Closed, targets: []string{result.UserInfo, result.Handler, result.Driver, result.Redis},
			about: "gets of 2 KB, as fast as they are answered, with a client certificate"},
		{name: result.GetToken, mix: gets(), mode: result.Closed, token: true, targets: service, about: "the same with a bearer token"},
		{name: "get/http2", mix: gets(), mode: result.Closed, http2: true, targets: service, about: "the same over HTTP/2, a connection each"},
		{name: result.Set, mix: sets(), mode: result.Closed, targets: []string{result.UserInfo, result.Driver}, about: "sets of 2 KB"},
		{name: result.Latency, mix: gets(), mode: result.Open, perSecond: 3000, targets: []string{result.UserInfo, result.Redis, result.Driver},
			about: "3,000 gets a second, on schedule"},
	}
	for _, mix := range load.Workloads() {
		if mix.Fresh {
			continue // those below are its variants
		}
		all = append(all, workload{name: mix.Name, mix: mix, mode: result.Open, targets: service, about: mix.About})
	}
	fresh := func(name, about string, w workload) workload {
		w.name, w.mix, w.mode, w.fresh, w.about = name, gets(), result.Closed, true, about
		w.mix.Fresh = true
		if w.targets == nil {
			w.targets = service
		}
		return w
	}
	all = append(all,
		fresh(result.FreshMTLS, "a new TLS connection for each get, with a client certificate", workload{targets: []string{result.UserInfo, result.Memory, result.Loop, result.Handler}}),
		fresh(result.FreshMTLSResumed, "the same, resuming TLS sessions", workload{resume: true, targets: []string{result.UserInfo, result.Memory, result.Loop}}),
		fresh(result.FreshToken, "a new TLS connection for each get, with a bearer token", workload{token: true}),
		fresh(result.FreshTokenResumed, "the same, resuming TLS sessions", workload{token: true, resume: true}),
		fresh("fresh/token+http2", "a new TLS connection for each get, over HTTP/2, as stock PHP does", workload{token: true, http2: true}),
		fresh(result.FreshSidecar, "a new connection for each get to a haproxy on the same machine, which keeps its own", workload{sidecar: true}))
	for i := range all {
		if all[i].connections == 0 {
			all[i].connections = kept
			if all[i].mode == result.Open {
				all[i].connections = 8 * kept
			}
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
	return workload{}, fmt.Errorf("there is no workload %q; `go run ./bench list` has them", name)
}
