package target

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	startPatience = time.Minute      // until a process is ready
	stopPatience  = 30 * time.Second // until it has ended, before it is killed
	pollInterval  = 20 * time.Millisecond
	maxSaid       = 1 << 20 // bytes that are kept of what it says
)

// child is a process that was started.
type child struct {
	command *exec.Cmd
	ready   chan struct{} // closed once it has said that it is
	ended   chan struct{} // closed once it has been waited for

	mu   sync.Mutex
	said bytes.Buffer // both outputs
}

// start starts a process, which ends with the lab at the latest. It is ready once it has said a line of which isReady is
// true. env is beside this process's own.
func (l *Lab) start(isReady func(line string) bool, env []string, name string, args ...string) (*child, error) {
	c := &child{command: exec.Command(name, args...), ready: make(chan struct{}), ended: make(chan struct{})}
	c.command.Env = append(os.Environ(), env...)
	c.command.Stderr = c
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	l.closers = append(l.closers, c.stop)
	go c.read(bufio.NewReader(out), isReady)
	return c, nil
}

// read keeps what is said on standard output until it ends.
func (c *child) read(out *bufio.Reader, isReady func(string) bool) {
	waiting := true
	for {
		line, err := out.ReadString('\n')
		_, _ = c.Write([]byte(line)) // never fails
		if waiting && isReady(line) {
			waiting = false
			close(c.ready)
		}
		if err != nil {
			break
		}
	}
	_ = c.command.Wait() // its code is in ProcessState
	close(c.ended)
}

// Write keeps what is said on standard error.
func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said.Len() < maxSaid {
		c.said.Write(p)
	}
	return len(p), nil
}

func (c *child) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

func (c *child) pid() int { return c.command.Process.Pid }

// await waits until the process is ready, and returns what it has said.
func (c *child) await(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case <-c.ready:
		return c.text(), nil
	case <-c.ended:
		return "", fmt.Errorf("%s has ended (%v) after saying:\n%s", c.name(), c.command.ProcessState, c.text())
	case <-ctx.Done():
		return "", errors.Join(fmt.Errorf("%s is not ready (%w) after saying:\n%s", c.name(), ctx.Err(), c.text()), c.stop())
	}
}

// awaitTaking waits until the process takes connections.
func (c *child) awaitTaking(ctx context.Context, connect func() (io.Closer, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		conn, err := connect()
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s has ended (%v) after saying:\n%s", c.name(), c.command.ProcessState, c.text())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s takes no connection: %w; it said:\n%s", c.name(), err, c.text()), c.stop())
		case <-tick.C:
		}
	}
}

func (c *child) name() string { return filepath.Base(c.command.Path) }

// stop ends the process in good order, or else by force. One that has ended already is fine: an interrupt from the
// keyboard goes to all of them.
func (c *child) stop() error {
	_ = c.command.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.ended:
		return nil
	case <-time.After(stopPatience):
	}
	_ = c.command.Process.Kill()
	<-c.ended
	return fmt.Errorf("%s did not end within %v of SIGTERM and was killed; it said:\n%s", c.name(), stopPatience, c.text())
}
