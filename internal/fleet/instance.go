package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = time.Minute      // until an instance serves
	stopTimeout  = 30 * time.Second // until a process has ended after SIGTERM or SIGKILL
)

// Instance is one member of a fleet. It has one process at a time, and none after Kill or Stop. Its methods are safe
// for concurrent use.
type Instance struct {
	Name       string
	Datacentre string

	fleet  *Fleet
	config string   // path of the configuration file
	env    []string // added to this process's environment

	mu      sync.Mutex // guards the fields below
	program string     // the executable of the next process
	address string     // host:port; set when the first process listens, and never changed
	process *process   // the newest
	run     int        // number of the newest process, from 1
}

// StartInstance starts an instance and waits until it serves, at most one minute.
func (f *Fleet) StartInstance(ctx context.Context, c InstanceConfig) (*Instance, error) {
	i, err := f.LaunchInstance(c)
	if err != nil {
		return nil, err
	}
	return i, i.WaitServing(ctx)
}

// LaunchInstance starts an instance and does not wait until it serves.
func (f *Fleet) LaunchInstance(c InstanceConfig) (*Instance, error) {
	i := &Instance{Name: c.Name, Datacentre: c.Datacentre, fleet: f, program: c.program(f), env: c.Env}
	var err error
	if i.config, err = f.writeConfig(c); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.instances = append(f.instances, i)
	f.mu.Unlock()
	return i, i.launch()
}

// Start starts a new process after Kill or Stop and waits until it serves, at most one minute.
func (i *Instance) Start(ctx context.Context) error {
	if err := i.launch(); err != nil {
		return err
	}
	return i.WaitServing(ctx)
}

// SetProgram sets the executable of the next process, for example another version.
func (i *Instance) SetProgram(program string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.program = program
}

// launch starts a process and does not wait until it serves.
func (i *Instance) launch() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	command := i.fleet.command(i.program, "serve", "--config", i.config)
	command.Env = append(append(os.Environ(), "USERINFO_DRILL_CLOCK="+i.ClockFile()), i.env...)
	p, err := startProcess(command, i.setAddress)
	if err != nil {
		return err
	}
	i.process = p
	i.run++
	return nil
}

// setAddress stores the address that the first process listens at, and writes it into the configuration, so that later
// processes listen at the same address.
func (i *Instance) setAddress(address string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.address != "" {
		return nil
	}
	i.address = address
	text, err := os.ReadFile(i.config)
	if err != nil {
		return err
	}
	return os.WriteFile(i.config, bytes.Replace(text, []byte("listen: "+anyPort), []byte("listen: "+address), 1), 0o600)
}

// WaitListening waits until the newest process listens, ready or not, at most one minute. If the process ends instead, the
// error contains its log.
func (i *Instance) WaitListening(ctx context.Context) error {
	p := i.current()
	if err := i.wait(ctx, p, p.listening, "listen"); err != nil {
		return err
	}
	return p.listenErr
}

// WaitServing waits until the newest process serves, so that /readyz is 200 as long as Cassandra answers; at most one minute.
// If the process ends instead, the error contains its log.
func (i *Instance) WaitServing(ctx context.Context) error {
	if err := i.WaitListening(ctx); err != nil {
		return err
	}
	p := i.current()
	return i.wait(ctx, p, p.serving, "serve")
}

// wait waits until happened is closed. does names what the process does then, for the error.
func (i *Instance) wait(ctx context.Context, p *process, happened <-chan struct{}, does string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case <-happened:
		return nil
	case <-p.ended:
		return fmt.Errorf("instance %s ended before it could %s:\n%s", i.Name, does, p.log())
	case <-ctx.Done():
		return fmt.Errorf("instance %s does not %s within %v:\n%s", i.Name, does, startTimeout, p.log())
	}
}

func (i *Instance) current() *process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process
}

// ClockFile returns the path of the file that sets this instance's clock. Only programs built with the drill's clock
// read it. It contains the offset from the true time as a Go duration.
func (i *Instance) ClockFile() string { return filepath.Join(i.fleet.dir, i.Name+".clock") }

// Log returns what the newest process has logged, without requests on session keys; at most 4 MB.
func (i *Instance) Log() string { return i.current().log() }

// RequestCounts returns how many requests on keys of /sessions/v1 the newest process has logged.
func (i *Instance) RequestCounts() map[LoggedRequest]int { return i.current().requestCounts() }

// Run returns the number of the newest process: 1 for the first, 2 after one restart, and so on.
func (i *Instance) Run() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.run
}

// Ended reports whether the newest process has ended, for whatever reason.
func (i *Instance) Ended() bool {
	select {
	case <-i.current().ended:
		return true
	default:
		return false
	}
}

// PID returns the process id of the newest process.
func (i *Instance) PID() int { return i.current().command.Process.Pid }

// CollectionURL returns the URL of a collection, with a trailing slash.
func (i *Instance) CollectionURL(collection string) string {
	return i.BaseURL() + "/" + collection + "/v1/"
}

// BaseURL returns scheme, host and port.
func (i *Instance) BaseURL() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return "https://" + i.address
}

// Pause stops the process with SIGSTOP. The kernel still accepts connections for it, and no request is answered.
func (i *Instance) Pause() error { return i.current().command.Process.Signal(syscall.SIGSTOP) }

// Unpause continues a paused process.
func (i *Instance) Unpause() error { return i.current().command.Process.Signal(syscall.SIGCONT) }

// Kill ends the process with SIGKILL and waits until it has ended.
func (i *Instance) Kill() error {
	p := i.current()
	p.setKilled()
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return i.waitEnded(p)
}

// Stop ends the process with SIGTERM and waits until it has ended. It returns an error if the exit code is not 0,
// unless Kill ended the process.
func (i *Instance) Stop() error {
	p := i.current()
	if p == nil {
		return nil
	}
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails if the process has ended already
	if err := i.waitEnded(p); err != nil {
		return err
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 && !p.wasKilled() {
		return fmt.Errorf("instance %s ended with exit code %d:\n%s", i.Name, code, p.log())
	}
	return nil
}

func (i *Instance) waitEnded(p *process) error {
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("instance %s has not ended within %v:\n%s", i.Name, stopTimeout, p.log())
	}
}
