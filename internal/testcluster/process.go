package testcluster

import (
	"context"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Pause freezes the node's process. The kernel still accepts connections for it, and no request is answered.
func (n *Node) Pause(ctx context.Context) error {
	if _, err := n.cluster.docker.ContainerPause(ctx, n.id, client.ContainerPauseOptions{}); err != nil {
		return fmt.Errorf("pausing node %s: %w", n.Name, err)
	}
	return nil
}

// Unpause continues a paused node.
func (n *Node) Unpause(ctx context.Context) error {
	if _, err := n.cluster.docker.ContainerUnpause(ctx, n.id, client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("unpausing node %s: %w", n.Name, err)
	}
	return nil
}

// Kill ends the node's process with SIGKILL and returns when it has ended. The data stays, except writes of the last
// 100 ms: with the default commitlog_sync: periodic, Cassandra marks the end of the commit log every 100 ms
// (CASSANDRA-13987), and does not replay what follows the last mark.
func (n *Node) Kill(ctx context.Context) error { return n.end(ctx, "SIGKILL") }

// Terminate ends the node's process with SIGTERM and returns when it has ended. Cassandra tells its peers and flushes
// its commit log before it ends. The data stays.
func (n *Node) Terminate(ctx context.Context) error { return n.end(ctx, "SIGTERM") }

// PID returns the id of Cassandra's process on the engine's machine, or 0 if the node does not run.
func (n *Node) PID(ctx context.Context) (int, error) {
	state, err := n.state(ctx)
	if err != nil {
		return 0, err
	}
	return state.Pid, nil
}

// end sends a signal that ends the node's process, and waits until it has ended.
func (n *Node) end(ctx context.Context, signal string) error {
	ended := n.cluster.docker.ContainerWait(ctx, n.id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := n.cluster.docker.ContainerKill(ctx, n.id, client.ContainerKillOptions{Signal: signal}); err != nil {
		return fmt.Errorf("sending %s to node %s: %w", signal, n.Name, err)
	}
	select {
	case <-ended.Result:
		return n.closeQueues()
	case err := <-ended.Error:
		return fmt.Errorf("waiting for node %s to end after %s: %w", n.Name, signal, err)
	}
}

// Start starts a node again after Kill or Terminate, with the same address and data. It returns when the node answers
// CQL; if CutClients has closed its client port, when its log says that it has started.
//
// The node may not see its peers yet: WaitUp waits for that. Cuts and shapes of the node's links apply before its first
// message. If the cuts leave it no seed (the first node of each datacentre), Cassandra does not start and Start returns
// an error.
func (n *Node) Start(ctx context.Context) error {
	if _, err := n.cluster.docker.ContainerStart(ctx, n.id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("restarting node %s: %w", n.Name, err)
	}
	return n.inIdleTime(ctx, func() error {
		if err := n.cluster.reapplyFilter(ctx, n); err != nil {
			return err
		}
		return n.cluster.waitStarted(ctx, n)
	})
}
