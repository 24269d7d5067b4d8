package testcluster

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// within runs do inside a namespace of process pid: kind is its name in /proc, "net" or "mnt". What do opens there stays
// usable from anywhere. It must not start goroutines, nor wait for any, that are to be inside too.
func within(pid int, kind string, do func() error) error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		return err
	}
	defer namespace.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine, and nobody else gets it
		// A thread that shares its working directory with others is not let into a mount namespace.
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
