package coordinator

import (
	"context"

	"github.com/gocql/gocql"
)

// nodeChoice decides which nodes a statement may be sent to, and in which order.
type nodeChoice interface {
	pick(*nodes, gocql.ExecutableQuery) gocql.NextHost
}

var (
	_ nodeChoice = (*attempt)(nil)
	_ nodeChoice = singleNode{}
)

// choiceKey is the context key of a nodeChoice.
type choiceKey struct{}

// withChoice returns a context whose statements use c and may send at most maxSends requests. The choice is in the context
// because gocql v1.7.0 passes only the query's context to the host selection policy (Query.SetHostID exists only in its
// successor).
func withChoice(ctx context.Context, c nodeChoice) context.Context {
	return newSendLimit(ctx, c, maxSends)
}

// choiceFrom returns the choice that a context carries, also through contexts derived from it, or nil.
func choiceFrom(ctx context.Context) nodeChoice {
	c, _ := ctx.Value(choiceKey{}).(nodeChoice)
	return c
}

// singleNode is the choice of one node and no other.
type singleNode struct{ host *gocql.HostInfo }

func (s singleNode) pick(*nodes, gocql.ExecutableQuery) gocql.NextHost {
	done := false
	return func() gocql.SelectedHost {
		if done {
			return nil
		}
		done = true
		return s
	}
}

// Info implements gocql.SelectedHost.
func (s singleNode) Info() *gocql.HostInfo { return s.host }

// Mark implements gocql.SelectedHost.
func (singleNode) Mark(error) {}
