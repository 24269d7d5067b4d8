package testcluster

import (
	"context"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Pause freezes the node's process: the kernel still accepts connections for it, and nothing answers.
func (n *Node) Pause(ctx context.Context) error {
	if _, err := n.cluster.docker.ContainerPause(ctx, n.id, client.ContainerPauseOptions{}); err != nil {
		return fmt.Errorf("pausing node %s: %w", n.Name, err)
	}
	return nil
}

// Unpause lets a paused node go on where it stood.
func (n *Node) Unpause(ctx context.Context) error {
	if _, err := n.cluster.docker.ContainerUnpause(ctx, n.id, client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("unpausing node %s: %w", n.Name, err)
	}
	return nil
}

// Kill ends the node's process with SIGKILL, and returns when it has ended. Its data stays, but for what it acknowledged
// in its last moments: with commitlog_sync: periodic, as by default, Cassandra marks what is to be replayed every
// 100 ms (CASSANDRA-13987), and what was written after the last mark is lost to this replica.
func (n *Node) Kill(ctx context.Context) error { return n.end(ctx, "SIGKILL") }

// Terminate ends the node's process with SIGTERM, upon which Cassandra takes leave of its peers and writes out what
// it holds, and returns when it has ended. Its data stays.
func (n *Node) Terminate(ctx context.Context) error { return n.end(ctx, "SIGTERM") }

// PID is the number that Cassandra's process has on this machine, where the engine is on it; 0 where it does not run.
func (n *Node) PID(ctx context.Context) (int, error) {
	state, err := n.state(ctx)
	if err != nil {
		return 0, err
	}
	return state.Pid, nil
}

func (n *Node) end(ctx context.Context, signal string) error {
	ended := n.cluster.docker.ContainerWait(ctx, n.id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := n.cluster.docker.ContainerKill(ctx, n.id, client.ContainerKillOptions{Signal: signal}); err != nil {
		return fmt.Errorf("sending %s to node %s: %w", signal, n.Name, err)
	}
	select {
	case <-ended.Result:
		return n.unqueue()
	case err := <-ended.Error:
		return fmt.Errorf("waiting until node %s has ended after %s: %w", n.Name, signal, err)
	}
}

// Start starts the process of a node that was killed or terminated, at the same address and with the same data, and
// returns when it answers CQL (or, where its clients are cut, would). It may not have met its peers again then (WaitUp): Cassandra opens the client port
// without waiting for them here. Cuts that concern the node hold from before its first message; where they leave it
// none of the seeds (the first node of each datacentre), Cassandra gives up, and so does Start.
func (n *Node) Start(ctx context.Context) error {
	if _, err := n.cluster.docker.ContainerStart(ctx, n.id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("starting node %s again: %w", n.Name, err)
	}
	if err := n.cluster.enforce(ctx, n); err != nil {
		return err
	}
	return n.cluster.serves(ctx, n)
}
