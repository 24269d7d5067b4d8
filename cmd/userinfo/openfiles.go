package main

import (
	"fmt"
	"syscall"
)

// reservedFiles is how many files the process needs besides clients' connections: connections to Cassandra (one or two to each
// node, and twice as many while they are replaced), the listener, logs, files that are read at a reload, and connections that
// are being closed.
const reservedFiles = 1024

// raiseFileLimit raises the soft limit of open files to the hard limit, and returns it.
func raiseFileLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("reading the limit of open files (RLIMIT_NOFILE): %w", err)
	}
	raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
	if limit.Cur < limit.Max && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		limit = raised
	}
	return limit.Cur, nil
}

// checkFileLimit returns an error if the process may not open enough files for its connections. Otherwise clients could use up
// all files, and then neither Cassandra nor a reload would get one. It fails closed: 0 is too few.
func checkFileLimit(limit uint64, connections int) error {
	need := uint64(max(connections, 0)) + reservedFiles
	if limit >= need {
		return nil
	}
	remedy := fmt.Sprintf("raise the hard limit to %d: LimitNOFILE=%[1]d in the systemd unit, --ulimit nofile=%[1]d of a container, or ulimit -n %[1]d", need)
	if limit > reservedFiles {
		remedy = fmt.Sprintf("set limits.max_connections to at most %d, or %s", limit-reservedFiles, remedy)
	}
	return fmt.Errorf("limits.max_connections is %d, which needs %d open files with the reserve, but this process may open only %d (RLIMIT_NOFILE): %s", connections, need, limit, remedy)
}
