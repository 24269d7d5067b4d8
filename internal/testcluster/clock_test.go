package testcluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNode_SetClockNeedsOption(t *testing.T) {
	n := &Node{Name: "dc1-1", cluster: &Cluster{run: &run{dir: t.TempDir()}}}
	if err := n.SetClock(t.Context(), time.Second); !errors.Is(err, ErrClockNotSettable) {
		t.Errorf("SetClock: %v, want %v", err, ErrClockNotSettable)
	}
}

func TestNode_WritesClockInFormatOfLibfaketime(t *testing.T) {
	n := &Node{Name: "dc1-1", cluster: &Cluster{run: &run{dir: t.TempDir()}}}
	if err := os.MkdirAll(n.clockDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[time.Duration]string{
		0: "+0.000\n", 10 * time.Second: "+10.000\n", -500 * time.Millisecond: "-0.500\n",
	} {
		if err := n.writeClock(offset); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(n.clockDir(), clockFile)); err != nil || string(got) != want {
			t.Errorf("%s is written as %q (%v), want %q", offset, got, err, want)
		}
	}
}
