// Package coordinator runs a CQL statement on the nodes of the local datacentre until one of them succeeds.
//
// A call of Run starts with one attempt, on a replica of the partition. A hedged attempt is an attempt on another node that
// starts while an earlier attempt still runs. These events start another attempt:
//
//   - An attempt fails with an error that another node might not return (lost connection, Unavailable, timeout). The
//     next attempt starts immediately, on another node. When every node has been tried, the next round starts after a
//     pause of 50 ms, which doubles with each further round.
//   - A call takes longer than 98 % of recent calls of its Kind, or than 90 % at EACH_QUORUM. This time is never below 5 ms or
//     above 60 ms. A hedged attempt starts if the hedge budget allows it, and a further one after the same time again.
//   - An attempt takes longer than 200 ms: it is slow. Its node's circuit breaker counts a failure, and a hedged attempt
//     starts if the hedge budget allows it.
//   - An attempt that needs the other datacentres is slow after 700 ms. At EACH_QUORUM, hedged attempts need no budget, and a
//     call tries each node once, or up to three times if the nodes do not answer. It does not try again after each node has failed.
//
// The first success is the result. Run fails when the statement itself is wrong (a syntax error, a missing permission),
// when an EACH_QUORUM call has failed on every node, when any call has failed on every node and the keyspace is known to have
// a problem (SetKeyspace), or when its context ends.
//
//	caller ── attempt 1 ──▶ node A        (slow)
//	  │ timer
//	  └────── attempt 2 ──▶ node B ──▶ result
//
// # Who decides
//
// One goroutine decides at any time. It waits for results, for one timer and for the context, and starts further attempts,
// each in a goroutine of its own. The first attempt runs in the goroutine that called Run; most calls need no other attempt.
// If the first attempt fails, the same goroutine decides. If the first attempt takes too long, a timer fires and the timer's
// goroutine decides; the caller waits for its decision.
//
// When the driver returns, the goroutine of the attempt first records the outcome (in the metrics, in the hedge delay of
// its Kind and, for a statement at LOCAL_QUORUM, in the circuit breaker of its node), then hands over the result.
//
// # What happens after the decision
//
// The goroutine that has decided cancels the remaining attempts. A cancelled attempt ends when the driver notices, records
// nothing, and its result is dropped. An attempt that ended at the same moment still records its outcome. No attempt
// changes anything else.
//
// The first attempt is superseded if a hedged attempt started before the first one was slow, and the call ended before the
// first one did. This happens to a healthy node, too, because one call in fifty is hedged. So it does not count as a failure
// at once. But if the node is superseded again at least 200 ms after the first time, without a success between, its circuit
// breaker opens. In this way the circuit breaker of a dead node opens soon, although other nodes answer in its place.
//
// # Probes
//
// While the circuit breaker of a node is open, at most one call a second also runs its statement on that node: a probe. The
// call itself goes to another node at the same time and does not wait for the probe, so a probe slows no call down. The probe
// has 200 ms. If it succeeds, the breaker closes. Only statements at LOCAL_QUORUM make probes.
//
// # Invariants
//
//  1. A repeated statement has the same effect as one that runs once, because the caller gives it a fixed write
//     timestamp. The package does not check this: its callers only pass statements that may be repeated and that may
//     run twice at the same time.
//
//  2. Each call adds a tenth of a hedged attempt to the hedge budget, which holds at most 100 hedged attempts. Hedged
//     attempts that use the budget are at most 10 % of calls in the long run, also when all nodes are slow. Three kinds of
//     hedged attempts need no budget: those of EACH_QUORUM calls; those that start because a node is slow whose circuit
//     breaker is open, while the circuit breaker of another node is closed; and one attempt of a call that has waited 1.2 s
//     for slow nodes. Probes need no budget either: a node has at most one a second.
//
//  3. A node is never excluded. A node whose circuit breaker is open is tried last, and probed once a second.
//
//  4. No node of another datacentre is ever asked. This needs the driver's host filter as well: see HostPolicy.
//
//  5. An attempt sends at most 32 requests, if the driver's stream observer calls CountSend. So a node that answers
//     UNPREPARED for ever costs only one failed attempt, and not more and more stack and memory.
//
//  6. If the context of a call carries a span, each attempt and each probe is a child of it, with the node's address and the
//     outcome. A span contains nothing that the statement binds, and no text of an error.
//
// # What it does not defend against
//
// Run cannot stop a statement that a node has received: a cancelled attempt, or one that failed with a timeout, may
// still take effect.
package coordinator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/panics"
)

// SlowAfter is how long an attempt may take before it counts as slow. Statements that need the other datacentres have
// 700 ms instead.
const SlowAfter = 200 * time.Millisecond

// slowAfterElsewhere replaces SlowAfter if the answer takes round trips to the other datacentres.
const slowAfterElsewhere = 700 * time.Millisecond

// CallPolicy is what hedging and retries need to know about a statement.
type CallPolicy struct {
	// PartitionKey is the serialized partition key. The first attempt goes to one of its replicas. Without it, the
	// driver would have to prepare the statement first to find the replicas, perhaps on a node that does not answer.
	PartitionKey []byte
	Kind         Kind
	// Statement and Consistency describe the statement in spans. Neither changes what Run does.
	Statement   string
	Consistency gocql.Consistency
}

// Kind groups statements that take similar time, so that a hedged attempt can start when one takes longer than usual.
type Kind int

const (
	// Other is a statement at LOCAL_QUORUM whose usual time is not known. A hedged attempt starts only when an attempt is slow.
	Other Kind = iota
	// OneNode is a statement that needs no quorum: at ONE or LOCAL_ONE, or about a node's system tables. It does not change
	// circuit breakers, because a node that has lost contact with the other nodes answers it, and fails at LOCAL_QUORUM.
	OneNode
	// Transaction is a lightweight transaction at SERIAL, which needs the other datacentres. It does not change circuit
	// breakers, because a failure says nothing about the node that was asked.
	Transaction
	// Read is a read of one row by its key at LOCAL_QUORUM.
	Read
	// Write is a write of one small row at LOCAL_QUORUM.
	Write
	// EachQuorum is a statement about few rows at EACH_QUORUM, which needs the other datacentres. A call does not try again
	// after each node has failed. Hedged attempts need no budget. Outcomes do not change circuit breakers, because a failure
	// says nothing about the node that was asked.
	EachQuorum
)

// isTimed reports whether the usual time of the statements is known, so that slower calls can be hedged.
func (k Kind) isTimed() bool { return k == Read || k == Write || k == EachQuorum }

// changesBreakers reports whether outcomes change circuit breakers, and calls make probes.
func (k Kind) changesBreakers() bool { return k == Other || k == Read || k == Write }

// slowAfter returns how long an attempt may take before it counts as slow.
func (k Kind) slowAfter() time.Duration {
	if k == Transaction || k == EachQuorum {
		return slowAfterElsewhere
	}
	return SlowAfter
}

// Runner holds what the calls of one Cassandra session share: the nodes with their circuit breakers, the hedge budget
// and the hedge delays. All methods are safe for concurrent use.
type Runner struct {
	nodes   *nodes
	routing *routing
	problem atomic.Pointer[error] // of the keyspace; nil if none is known
	budget  hedgeBudget
	delays  [EachQuorum + 1]hedgeDelay // by Kind; used if it isTimed
	metrics *Metrics
	panics  *panics.Recorder
}

// NewRunner returns a Runner. now is the clock of the circuit breakers. p recovers from panics of attempts.
func NewRunner(now func() time.Time, m *Metrics, p *panics.Recorder) *Runner {
	routing := newRouting(rand.IntN)
	r := &Runner{nodes: newNodes(routing, now, m), routing: routing, metrics: m, panics: p}
	r.budget.fill()
	return r
}

// HostPolicy returns the host selection policy for the driver's session. The session also needs a
// gocql.DataCentreHostFilter for the local datacentre: without it, nodes of other datacentres are asked, and LOCAL_QUORUM
// means their datacentre.
func (r *Runner) HostPolicy() gocql.HostSelectionPolicy { return r.nodes }

// ConvictionPolicy returns the conviction policy for the driver's session.
func (r *Runner) ConvictionPolicy() gocql.ConvictionPolicy { return r.nodes }

// SetKeyspace sets how many replicas the keyspace has in the local datacentre, so that statements go to nodes that hold
// the data. problem says why statements are expected to fail; nil if there is no reason. While there is a problem, every
// error of Run contains it, and Run tries each node only once, so that clients do not wait. Statements are sent all the same:
// if a node succeeds, Run succeeds. Statements at EACH_QUORUM are not sent: see checkEachQuorum.
func (r *Runner) SetKeyspace(replicas int, problem error) {
	r.routing.SetReplicas(replicas)
	if problem == nil {
		r.problem.Store(nil)
		return
	}
	r.problem.Store(&problem)
}

// Addresses returns the IP addresses of the local nodes that are up, sorted as text.
func (r *Runner) Addresses() []string { return r.nodes.addresses() }

// WithNode returns a context whose statements go only to the local node with this IP address. It returns an error if
// that node is not up. Use the context with the driver directly, not with Run.
func (r *Runner) WithNode(ctx context.Context, address string) (context.Context, error) {
	host := r.nodes.at(address)
	if host == nil {
		return nil, fmt.Errorf("node %s is not up", address)
	}
	return withChoice(ctx, singleNode{host}), nil
}

// Run calls statement until it succeeds on one node, and returns its value. It may call statement several times, even
// concurrently. See the package comment for the rules.
//
// statement must run one CQL statement with the context that it gets, which is derived from ctx and chooses the node. It must
// return soon after that context ends, because Run waits for its first attempt. Run does not wait for other attempts that it
// cancels, nor for a probe: statement may still run after Run has returned, so it must not use memory that is reused then.
//
// If ctx ends, the error wraps ctx.Err and the error of the last failed attempt. Otherwise it is the error of the last
// attempt. In both cases it also wraps the problem of SetKeyspace.
func Run[T any](ctx context.Context, r *Runner, p CallPolicy, statement func(context.Context) (T, error)) (T, error) {
	if err := ctx.Err(); err != nil {
		var zero T
		return zero, err
	}
	if err := r.checkEachQuorum(p); err != nil {
		var zero T
		return zero, err
	}
	r.budget.add()
	value, err := newHedgedCall(ctx, r, p, statement).run()
	if err != nil {
		if problem := r.problem.Load(); problem != nil {
			err = fmt.Errorf("%w: %w", *problem, err)
		}
	}
	return value, err
}

// checkEachQuorum returns the keyspace's problem for a statement at EACH_QUORUM. It fails closed: with a replication class other
// than NetworkTopologyStrategy, Cassandra takes EACH_QUORUM as QUORUM, and a success would not mean that every datacentre has
// a delete.
func (r *Runner) checkEachQuorum(p CallPolicy) error {
	if problem := r.problem.Load(); p.Kind == EachQuorum && problem != nil {
		return *problem
	}
	return nil
}
