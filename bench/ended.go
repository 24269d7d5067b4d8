package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// untilEnded is a context that ends with this process, whichever way it is ended, so that what it has started is ended, too:
// also where nobody reads any more what it says.
func untilEnded(says ...*os.File) (context.Context, context.CancelFunc) {
	ctx, end := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	go func() {
		for range pipes { // a connection that its peer has closed gives the signal as well, and ends nothing
			if slices.ContainsFunc(says, unread) {
				end()
			}
		}
	}()
	return ctx, func() { signal.Stop(pipes); close(pipes); end() }
}

// unread tells whether f is a pipe that nobody reads.
func unread(f *os.File) bool {
	at := []unix.PollFd{{Fd: int32(f.Fd())}}
	n, err := unix.Poll(at, 0)
	return err == nil && n > 0 && at[0].Revents&unix.POLLERR != 0
}
