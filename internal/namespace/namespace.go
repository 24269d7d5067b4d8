// Package namespace runs functions inside namespaces of Linux, for tests. It needs root.
package namespace

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Run calls do inside the namespace that a file stands for, such as /proc/PID/ns/net or /run/netns/NAME. Sockets and files that
// do opens can be used outside. Goroutines that do starts run outside.
func Run(file string, do func() error) error {
	namespace, err := os.Open(file)
	if err != nil {
		return err
	}
	defer namespace.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so that the thread ends with this goroutine
		// A thread that shares its working directory with others must not enter a mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			done <- fmt.Errorf("unshare: %w", err)
			return
		}
		if err := unix.Setns(int(namespace.Fd()), 0); err != nil {
			done <- fmt.Errorf("entering the namespace %s (needs root): %w", file, err)
			return
		}
		done <- do()
	}()
	return <-done
}
