package testcluster

import (
	"errors"
	"testing"
)

func TestNode_FillDiskNeedsOption(t *testing.T) {
	n := &Node{Name: "dc1-1", cluster: &Cluster{run: &run{dir: t.TempDir()}}}
	if err := n.FillDisk(t.Context()); !errors.Is(err, ErrNoSmallDisk) {
		t.Errorf("FillDisk: %v, want %v", err, ErrNoSmallDisk)
	}
}
