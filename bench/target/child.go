package target

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second // before the process is killed
	maxOutput    = 1 << 20          // bytes that are kept of a process's output
)

// child is a process that the testbed has started.
type child struct {
	command *exec.Cmd
	ready   chan struct{} // closed when it has written the line that isReady accepts
	ended   chan struct{} // closed when it has ended

	mu     sync.Mutex
	output bytes.Buffer // standard output and error
}

// start starts a process, and waits until it writes a line that isReady accepts, unless that is nil. The testbed's Close stops it. env is added
// to this process's environment.
func (b *Testbed) start(ctx context.Context, isReady func(line string) bool, env []string, name string, args ...string) (*child, error) {
	c := &child{command: exec.Command(name, args...), ready: make(chan struct{}), ended: make(chan struct{})}
	c.command.Env = append(os.Environ(), env...)
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.command.Stdout, c.command.Stderr = in, in
	err = c.command.Start()
	in.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), out.Close())
	}
	b.onClose(c.stop)
	go c.read(out, isReady)
	if isReady == nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case <-c.ready:
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("%s has ended (%v) after writing:\n%s", filepath.Base(name), c.command.ProcessState, c.text())
	case <-ctx.Done():
		return nil, fmt.Errorf("%s is not ready (%w) after writing:\n%s", filepath.Base(name), ctx.Err(), c.text())
	}
}

// read keeps the output until the process ends.
func (c *child) read(out *os.File, isReady func(string) bool) {
	defer out.Close()
	lines := bufio.NewReader(out)
	waiting := isReady != nil
	for {
		line, err := lines.ReadString('\n')
		c.mu.Lock()
		if c.output.Len() < maxOutput {
			c.output.WriteString(line)
		}
		c.mu.Unlock()
		if waiting && isReady(line) {
			waiting = false
			close(c.ready)
		}
		if err != nil {
			break
		}
	}
	_ = c.command.Wait() // ProcessState has its result
	close(c.ended)
}

// waitListening waits until the process accepts connections.
func (c *child) waitListening(ctx context.Context, network, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial(network, address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s has ended (%v) after writing:\n%s", filepath.Base(c.command.Path), c.command.ProcessState, c.text())
		case <-ctx.Done():
			return fmt.Errorf("%s accepts no connection: %w; it wrote:\n%s", filepath.Base(c.command.Path), err, c.text())
		case <-tick.C:
		}
	}
}

func (c *child) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.output.String()
}

func (c *child) pid() int { return c.command.Process.Pid }

// stop ends the process with SIGTERM, or with SIGKILL if that takes too long. A process that has ended already is not an
// error: an interrupt from the keyboard goes to all of them.
func (c *child) stop() error {
	_ = c.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		return nil
	case <-time.After(stopTimeout):
	}
	_ = c.command.Process.Kill()
	<-c.ended
	return fmt.Errorf("%s was killed, because it did not end within %v of SIGTERM; it wrote:\n%s", c.command.Path, stopTimeout, c.text())
}
