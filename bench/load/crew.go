package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"userinfo/bench/result"
)

// Crew is several generator processes that share one Spec and act as one. Its methods are called one at a time.
type Crew struct {
	spec    Spec
	members []*member
}

// member is one process.
type member struct {
	process *exec.Cmd
	in      io.WriteCloser
	say     *json.Encoder
	hear    *json.Decoder
}

// StartCrew starts n generators and returns once all are connected. command makes the process, which is to call Generate
// and to end when ctx does; nil is this program with the argument generate.
func StartCrew(ctx context.Context, n int, s Spec, command func(ctx context.Context) *exec.Cmd) (*Crew, error) {
	if n < 1 {
		return nil, fmt.Errorf("%d generators: say one at least", n)
	}
	if command == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		command = func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, self, "generate") }
	}
	c := &Crew{spec: s}
	for i := range n {
		m, err := startMember(command(ctx))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting a generator: %w", err), c.Close())
		}
		c.members = append(c.members, m)
		s.Share, s.Shares = i, n
		if err := m.say.Encode(s); err != nil {
			return nil, errors.Join(fmt.Errorf("telling a generator what to do: %w", err), c.Close())
		}
	}
	if _, err := c.replies(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func startMember(process *exec.Cmd) (*member, error) {
	if process.Stderr == nil {
		process.Stderr = os.Stderr
	}
	// A generator runs on one thread, unless said otherwise: a request then wakes none, and costs up to a third less. Where
	// one core is not enough, more processes are.
	if env := process.Environ(); !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "GOMAXPROCS=") }) {
		process.Env = append(env, "GOMAXPROCS=1")
	}
	process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
	process.WaitDelay = 2 * Patience
	in, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	return &member{process: process, in: in, say: json.NewEncoder(in), hear: json.NewDecoder(out)}, nil
}

// Round has all generators do r, each its share of the rate, and merges what they count. After an error the Crew is of no
// more use.
func (c *Crew) Round(ctx context.Context, r Round) (result.Sample, error) {
	for _, m := range c.members {
		if err := m.say.Encode(r); err != nil {
			return result.Sample{}, fmt.Errorf("telling a generator of a round: %w", err)
		}
	}
	// The processes end with the context that they were started with; the round's own ends the waiting for them.
	defer context.AfterFunc(ctx, func() {
		for _, m := range c.members {
			_ = m.process.Cancel()
		}
	})()
	parts, err := c.replies()
	if err = errors.Join(ctx.Err(), err); err != nil {
		return result.Sample{}, err
	}
	s := Merge(parts...)
	s.Workload, s.Data, s.ValueBytes = c.spec.Workload.Name, c.spec.Data.Bytes(), c.spec.Data.ValueBytes
	return s, nil
}

// replies hears one of each member.
func (c *Crew) replies() (parts []*Part, err error) {
	for i, m := range c.members {
		var r reply
		if e := m.hear.Decode(&r); e != nil {
			err = errors.Join(err, fmt.Errorf("generator %d of %d has ended without a word: %w", i+1, len(c.members), e))
		} else if r.Error != "" {
			err = errors.Join(err, fmt.Errorf("generator %d of %d: %s", i+1, len(c.members), r.Error))
		}
		parts = append(parts, r.Part)
	}
	return parts, err
}

// Pids is the processes, for who wants to know what they cost.
func (c *Crew) Pids() []int {
	var pids []int
	for _, m := range c.members {
		pids = append(pids, m.process.Process.Pid)
	}
	return pids
}

// Close ends the generators in good order, and by force what has not ended after twice Patience.
func (c *Crew) Close() error {
	for _, m := range c.members {
		_ = m.in.Close() // which is how they are told
	}
	var errs []error
	for _, m := range c.members {
		hurry := time.AfterFunc(2*Patience, func() { _ = m.process.Process.Kill() })
		err := m.process.Wait()
		hurry.Stop()
		if err != nil {
			errs = append(errs, fmt.Errorf("a generator ended: %w", err))
		}
	}
	c.members = nil
	return errors.Join(errs...)
}
