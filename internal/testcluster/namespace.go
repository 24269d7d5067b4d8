package testcluster

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace calls do inside a namespace of process pid. kind is the name of the namespace in /proc: "net" or "mnt".
// Sockets and files that do opens can be used outside. Goroutines that do starts run outside.
func inNamespace(pid int, kind string, do func() error) error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
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
			done <- fmt.Errorf("entering the %s namespace of process %d (needs root): %w", kind, pid, err)
			return
		}
		done <- do()
	}()
	return <-done
}
