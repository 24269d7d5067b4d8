package testcluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// Nodetool runs Cassandra's nodetool inside the node and returns what it prints. It takes about a second and a half, for
// it starts a JVM. The node has to run. What it sets (disablehandoff, setmaxhintwindow MS, …) lasts until the node's
// process ends.
func (n *Node) Nodetool(ctx context.Context, args ...string) (string, error) {
	out, code, err := n.exec(ctx, append([]string{"nodetool"}, args...))
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, out)
	}
	if err != nil {
		return "", fmt.Errorf("nodetool %s on node %s: %w", strings.Join(args, " "), n.Name, err)
	}
	return out, nil
}

// exec runs a command in the node's container.
func (n *Node) exec(ctx context.Context, command []string) (out string, code int, err error) {
	docker := n.cluster.docker
	made, err := docker.ExecCreate(ctx, n.id, client.ExecCreateOptions{
		Cmd: command, AttachStdout: true, AttachStderr: true,
		Env: []string{"LD_PRELOAD="}, // a command's own clock is the true one (Options.SettableClocks)
	})
	if err != nil {
		return "", 0, err
	}
	attached, err := docker.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", 0, err
	}
	// The stream does not know ctx; closing it ends the read.
	detach := context.AfterFunc(ctx, attached.Close)
	defer func() {
		detach()
		attached.Close()
	}()
	var text strings.Builder
	if _, err := stdcopy.StdCopy(&text, &text, attached.Reader); err != nil {
		return "", 0, errors.Join(err, ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		return "", 0, err
	}
	ended, err := docker.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	return text.String(), ended.ExitCode, err
}
