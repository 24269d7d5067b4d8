package main

import (
	"errors"
	"log/slog"

	"golang.org/x/sys/unix"

	"userinfo/internal/keyfile"
)

// forbidCoreDumps prevents that the kernel writes the memory of this process, with its keys and values, into a file. It also
// prevents that another process of the same user reads the memory, with a debugger or through /proc.
func forbidCoreDumps() error {
	// The limit alone is not enough: it does not apply if core dumps go to a program (core_pattern).
	return errors.Join(
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
	)
}

// logMissingProtection logs what can write keys to a disk.
func logMissingProtection(log *slog.Logger) {
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		log.Warn("core dumps are possible: they contain keys and values. Set LimitCORE=0 in the unit, and let the system call prctl through",
			"dumpable", dumpable)
	}
	if err := keyfile.MemoryLocked(); err != nil {
		log.Warn("keys are in memory that is not locked, so they can be written to swap: set LimitMEMLOCK=64K in the unit, or turn swap off",
			"error", err.Error())
	}
}
