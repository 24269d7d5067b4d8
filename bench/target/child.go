package target

import (
	"bytes"
	"context"
	"fmt"
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
	ended   chan struct{} // closed when it has ended

	mu     sync.Mutex
	output bytes.Buffer // standard output and error
}

// start starts a process, and waits until isReady, which gets its output so far. The testbed's Close stops it. env is added
// to this process's environment.
func (b *Testbed) start(ctx context.Context, isReady func(output string) bool, env []string, name string, args ...string) (*child, error) {
	c := &child{command: exec.Command(name, args...), ended: make(chan struct{})}
	c.command.Env = append(os.Environ(), env...)
	c.command.Stdout, c.command.Stderr = c, c
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	b.onClose(c.stop)
	go func() {
		_ = c.command.Wait() // ProcessState has its result
		close(c.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !isReady(c.text()) {
		select {
		case <-c.ended:
			return nil, fmt.Errorf("%s has ended (%v) after writing:\n%s", filepath.Base(name), c.command.ProcessState, c.text())
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is not ready (%w) after writing:\n%s", filepath.Base(name), ctx.Err(), c.text())
		case <-tick.C:
		}
	}
	return c, nil
}

// Write keeps output of the process.
func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.output.Len() < maxOutput {
		c.output.Write(p)
	}
	return len(p), nil
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
