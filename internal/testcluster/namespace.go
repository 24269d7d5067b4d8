package testcluster

import (
	"fmt"

	"userinfo/internal/namespace"
)

// inNamespace calls do inside a namespace of process pid. kind is the name of the namespace in /proc: "net" or "mnt".
// Sockets and files that do opens can be used outside. Goroutines that do starts run outside.
func inNamespace(pid int, kind string, do func() error) error {
	return namespace.Run(fmt.Sprintf("/proc/%d/ns/%s", pid, kind), do)
}
