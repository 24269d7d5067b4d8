package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstSocket is the file descriptor of the first socket that systemd passes.
const firstSocket = 3

// Listener returns the listening TCP socket that systemd has passed to this process, or nil without one. It may be
// called once. It fails closed: more than one socket, or a socket of another kind, is an error.
//
// Closing the listener does not close the socket: systemd keeps it open. New connections then wait in the socket's queue
// until the next process of the service accepts them.
func Listener() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil // nothing was passed, or to another process
	}
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || count < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q; systemd sets it to the number of sockets", os.Getenv("LISTEN_FDS"))
	}
	switch count {
	case 0:
		return nil, nil
	case 1:
		return listener(firstSocket)
	}
	return nil, fmt.Errorf("systemd has passed %d sockets (%s), but the service listens on one: keep one line ListenStream= in one socket unit",
		count, os.Getenv("LISTEN_FDNAMES"))
}

// listener returns a listener for the socket with this file descriptor, and closes the descriptor.
func listener(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), os.Getenv("LISTEN_FDNAMES"))
	defer f.Close()
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return nil, errors.Join(errors.New("the file that systemd has passed is not a listening socket: use ListenStream= and Accept=no in the socket unit"), err)
	}
	l, err := net.FileListener(f) // duplicates the descriptor, with close-on-exec
	if err != nil {
		return nil, fmt.Errorf("using the socket that systemd has passed: %w", err)
	}
	if l.Addr().Network() != "tcp" {
		return nil, errors.Join(fmt.Errorf("the socket that systemd has passed is %s %s: use a TCP address in ListenStream=", l.Addr().Network(), l.Addr()), l.Close())
	}
	return l, nil
}
