package target

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
)

// Parse reads how any HTTP session store is asked, ours or another:
//
//	NAME=URL[,ca=FILE][,certificate=FILE,key=FILE][,header=FILE][,set=POST][,pid=NUMBER]…
//
// URL is what keys are appended to and ends in a slash. header is a file of header lines, as curl -H @FILE takes it; pid is
// of a process of the service on this machine, whose CPU time then counts. The files are opened.
func Parse(text string) (*Target, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" || strings.ContainsAny(name, ", \t") {
		return nil, fmt.Errorf("target %q is not NAME=URL[,ca=FILE][,certificate=FILE,key=FILE][,header=FILE][,set=POST][,pid=NUMBER]", text)
	}
	if kind, _, _ := strings.Cut(name, ":"); slices.Contains(result.Targets, kind) {
		return nil, fmt.Errorf("target %q is one that the benchmark starts itself: give yours another name", name)
	}
	parts := strings.Split(rest, ",")
	files := load.HTTPSFiles{URL: parts[0]}
	fields := map[string]*string{"ca": &files.CA, "certificate": &files.Certificate, "key": &files.Key, "header": &files.Header, "set": &files.Set}
	var processes []cost.Process
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		if key == "pid" {
			pid, err := strconv.Atoi(value)
			if err != nil || pid < 1 {
				return nil, fmt.Errorf("target %s: pid %q is no number of a process", name, value)
			}
			if _, err := cost.CPU(pid); err != nil {
				return nil, fmt.Errorf("target %s: %w: give the pid of one that runs on this machine", name, err)
			}
			processes = append(processes, cost.Process{Kind: result.KindService, PID: pid})
			continue
		}
		field := fields[key]
		switch {
		case field == nil:
			return nil, fmt.Errorf("target %s: %q is none of ca, certificate, key, header, set, pid", name, key)
		case value == "" || *field != "":
			return nil, fmt.Errorf("target %s: give %s once, and not empty", name, key)
		}
		*field = value
	}
	dialer, err := files.Dialer()
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	t := https(name, files, processes...)
	t.token = files.Header
	return t, dialer.Close()
}
