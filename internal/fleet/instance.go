package fleet

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// startPatience bounds how long an instance may take until it serves, stopPatience until it has ended.
const (
	startPatience = time.Minute
	stopPatience  = 30 * time.Second
)

// Instance is one place in the fleet, with a process or, after Kill or Stop, without.
type Instance struct {
	Name string
	DC   string

	fleet   *Fleet
	config  string
	program string
	env     []string // beside this process's own

	mu      sync.Mutex // guards what follows
	address string     // once it has served; the same ever after
	process *process   // the newest
	run     int        // counts the starts, from 1
}

// process is one run of an instance.
type process struct {
	command *exec.Cmd
	serving chan struct{} // closed once it listens
	ended   chan struct{} // closed once it has ended
	killed  bool

	mu       sync.Mutex
	logs     bytes.Buffer
	requests map[Request]int
}

// Request is what a log record tells of a request on a key.
type Request struct {
	Method string
	Status int
}

// maxLog bounds what is kept of a process's log, in bytes; counting goes on.
const maxLog = 4 << 20

// Serve starts an instance and waits until it listens. hosts are its contact points; by default all nodes of dc.
func (f *Fleet) Serve(ctx context.Context, name, dc string, hosts ...string) (*Instance, error) {
	i, err := f.Launch(name, dc, hosts...)
	if err != nil {
		return nil, err
	}
	return i, i.AwaitServing(ctx)
}

// Launch starts an instance, which may wait for its contact points before it listens.
func (f *Fleet) Launch(name, dc string, hosts ...string) (*Instance, error) {
	return f.launch(Plan{Name: name, DC: dc, Hosts: hosts})
}

// Plan is an instance that differs from the fleet's others.
type Plan struct {
	Name    string
	DC      string
	Hosts   []string // contact points; by default all nodes of DC
	Program string   // by default the fleet's
	Env     []string // NAME=VALUE, beside this process's own
}

// ServePlan is Serve of such an instance.
func (f *Fleet) ServePlan(ctx context.Context, p Plan) (*Instance, error) {
	i, err := f.launch(p)
	if err != nil {
		return nil, err
	}
	return i, i.AwaitServing(ctx)
}

func (f *Fleet) launch(p Plan) (*Instance, error) {
	i := &Instance{Name: p.Name, DC: p.DC, fleet: f, program: cmp.Or(p.Program, f.program), env: p.Env}
	var err error
	if i.config, err = f.config(p.Name, p.DC, "127.0.0.1:0", p.Hosts); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.instances = append(f.instances, i)
	f.mu.Unlock()
	return i, i.launch()
}

// ClockFile is read by programs with the drill's clock: their clock's offset from the true time, as a Go duration.
func (i *Instance) ClockFile() string { return filepath.Join(i.fleet.dir, i.Name+".clock") }

// Start starts the process of an instance that has none, and waits until it listens.
func (i *Instance) Start(ctx context.Context) error {
	if err := i.launch(); err != nil {
		return err
	}
	return i.AwaitServing(ctx)
}

// AwaitServing waits until the newest process listens.
func (i *Instance) AwaitServing(ctx context.Context) error {
	p := i.current()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case <-p.serving:
		return nil
	case <-p.ended:
		return fmt.Errorf("instance %s has ended:\n%s", i.Name, p.log())
	case <-ctx.Done():
		return fmt.Errorf("instance %s does not serve after %v:\n%s", i.Name, startPatience, p.log())
	}
}

// launch starts the process alone.
func (i *Instance) launch() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := &process{
		command: exec.Command(i.program, "serve", "--config", i.config),
		serving: make(chan struct{}), ended: make(chan struct{}), requests: make(map[Request]int),
	}
	p.command.Env = append(append(os.Environ(), "USERINFO_DRILL_CLOCK="+i.ClockFile()), i.env...)
	stderr, err := p.command.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.command.Start(); err != nil {
		return err
	}
	i.process = p
	i.run++
	go i.read(p, bufio.NewReader(stderr))
	return nil
}

// read takes the log apart until the process ends.
func (i *Instance) read(p *process, lines *bufio.Reader) {
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			i.take(p, line)
		}
		if err != nil {
			break
		}
	}
	_ = p.command.Wait() // its code is in ProcessState
	close(p.ended)
}

func (i *Instance) take(p *process, line []byte) {
	var record struct {
		Msg, Address, Method, Route string
		Status                      int
	}
	broken := json.Unmarshal(line, &record) != nil
	p.mu.Lock()
	defer p.mu.Unlock()
	if record.Msg == "request" && record.Route == "/sessions/v1/:key" {
		p.requests[Request{record.Method, record.Status}]++
		return
	}
	if !broken && record.Msg == "serving" {
		i.serves(record.Address)
		close(p.serving)
	}
	if !broken && record.Msg == "driver" { // chatter
		return
	}
	if p.logs.Len() < maxLog {
		p.logs.Write(line)
	}
}

// serves fixes the address of all later runs.
func (i *Instance) serves(address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.address == "" {
		i.address = address
		text, err := os.ReadFile(i.config)
		if err == nil {
			_ = os.WriteFile(i.config, bytes.Replace(text, []byte("listen: 127.0.0.1:0"), []byte("listen: "+address), 1), 0o600)
		}
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logs.String()
}

func (i *Instance) current() *process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process
}

// Log is what the newest process wrote, without requests.
func (i *Instance) Log() string { return i.current().log() }

// Logged counts the requests on keys of /sessions/v1 that the newest process has logged.
func (i *Instance) Logged() map[Request]int {
	p := i.current()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[Request]int, len(p.requests))
	for r, n := range p.requests {
		all[r] = n
	}
	return all
}

// Run counts the starts, from 1.
func (i *Instance) Run() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.run
}

// PID is that of the newest process.
func (i *Instance) PID() int { return i.current().command.Process.Pid }

// URL is that of a collection, ending in a slash.
func (i *Instance) URL(collection string) string { return i.Base() + "/" + collection + "/v1/" }

// Base is scheme, host and port.
func (i *Instance) Base() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return "https://" + i.address
}

// Pause freezes the process: the kernel still takes connections for it, and nothing answers.
func (i *Instance) Pause() error { return i.current().command.Process.Signal(syscall.SIGSTOP) }

// Continue lets a frozen process go on.
func (i *Instance) Continue() error { return i.current().command.Process.Signal(syscall.SIGCONT) }

// Kill ends the process with SIGKILL.
func (i *Instance) Kill() error {
	p := i.current()
	p.killed = true
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return i.await(p)
}

// Stop ends the process in good order. One that has ended already is fine where Kill did it.
func (i *Instance) Stop() error {
	p := i.current()
	if p == nil {
		return nil
	}
	_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended
	if err := i.await(p); err != nil {
		return err
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 && !p.killed {
		return fmt.Errorf("instance %s ended with %d:\n%s", i.Name, code, p.log())
	}
	return nil
}

func (i *Instance) await(p *process) error {
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopPatience):
		return fmt.Errorf("instance %s has not ended after %v:\n%s", i.Name, stopPatience, p.log())
	}
}
