package testcluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// Nodetool runs Cassandra's nodetool inside the node and returns its output. It takes about 1.5 s, because it starts a
// JVM. The node must run. Settings such as disablehandoff and setmaxhintwindow last until the node's process ends.
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

// exec runs a command in the node's container and returns its output and exit code.
func (n *Node) exec(ctx context.Context, command []string) (out string, code int, err error) {
	docker := n.cluster.docker
	created, err := docker.ExecCreate(ctx, n.id, client.ExecCreateOptions{
		Cmd: command, AttachStdout: true, AttachStderr: true,
		Env: []string{"LD_PRELOAD="}, // the command uses the true clock, also with SettableClocks
	})
	if err != nil {
		return "", 0, err
	}
	attached, err := docker.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", 0, err
	}
	// The stream has no context. Closing it ends the read.
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
	ended, err := docker.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	return text.String(), ended.ExitCode, err
}
