package main

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestARunEndsWhereNobodyReadsWhatItSaysAndNotForAConnectionThatItsPeerHasClosed(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	ctx, stop := untilEnded(write)
	defer stop()

	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	connection := os.NewFile(uintptr(pair[0]), "connection")
	defer connection.Close()
	unix.Close(pair[1])
	for range 100 { // each gives the signal
		if _, err := connection.Write([]byte("x")); err == nil {
			t.Fatal("the peer has closed it")
		}
	}
	if unread(write) || context.Cause(ctx) != nil {
		t.Errorf("ended for a connection: %v", context.Cause(ctx))
	}

	read.Close()
	if _, err := write.Write([]byte("x")); err == nil {
		t.Fatal("somebody reads it")
	}
	<-ctx.Done()
}
