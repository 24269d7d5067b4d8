package coordinator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/tracing"
)

// attempt is one try of a statement on one node.
type attempt struct {
	ctx    context.Context // of the statement
	cancel context.CancelFunc
	call   prober
	runner *Runner
	policy CallPolicy
	asked  *askedNodes // of the call
	began  time.Time
	hedge  bool
	span   *tracing.Span // nil if the request is not sampled

	node atomic.Pointer[node] // nil until the driver has picked the node

	mu         sync.Mutex // guards the fields below
	slow       bool       // marked as slow
	superseded bool       // the call has ended before the attempt ended or was slow
	ended      bool       // the driver has returned, or the attempt is superseded
}

// prober is the call of an attempt.
type prober interface {
	probe(*gocql.HostInfo, *node)
}

// newAttempt returns an attempt of a call whose context is ctx. The attempt has a context of its own, which chooses the node.
func newAttempt(ctx context.Context, c prober, r *Runner, p CallPolicy, asked *askedNodes, hedge bool) *attempt {
	a := &attempt{call: c, runner: r, policy: p, asked: asked, began: time.Now(), hedge: hedge}
	ctx, a.cancel = context.WithCancel(ctx)
	a.ctx = withChoice(ctx, a)
	return a
}

// wasCancelled reports whether the attempt failed with err because its context has ended.
func (a *attempt) wasCancelled(err error) bool {
	cause := a.ctx.Err()
	return cause != nil && errors.Is(err, cause) && !errors.Is(err, ErrUnprepared)
}

// markSlow records once that the attempt is slow. It does nothing after the attempt has ended.
func (a *attempt) markSlow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slow || a.ended {
		return
	}
	a.slow = true
	a.record(errSlow)
}

// supersede records that the call has ended before the attempt ended or was slow. It does nothing if the attempt has ended or
// is slow.
func (a *attempt) supersede() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slow || a.ended {
		return
	}
	a.ended, a.superseded = true, true
	a.record(errSuperseded)
}

// end records how the attempt ended. An attempt that was cancelled records nothing.
func (a *attempt) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || err != nil && a.wasCancelled(err) {
		return
	}
	a.ended = true
	a.record(err)
}

// record updates the metrics, the hedge delay and the node's circuit breaker. The caller holds mu.
//
// A success after the attempt was marked as slow does not close the breaker: it shows that the node is alive, not that
// it is well.
func (a *attempt) record(err error) {
	a.runner.metrics.attempts[outcomeOf(err)].Inc()
	kind, n := a.policy.Kind, a.node.Load()
	if err == nil && kind.isTimed() {
		a.runner.delays[kind].observe(kind, time.Since(a.began))
	}
	if n == nil || !kind.changesBreakers() {
		return
	}
	now := a.runner.nodes.now()
	switch {
	case errors.Is(err, errSuperseded):
		if n.breaker.recordSuperseded(now) {
			a.runner.delays[kind].observe(kind, time.Since(a.began))
		}
	case err != nil && !isPermanent(err) && !errors.Is(err, ErrUnsent):
		n.breaker.recordFailure(now)
	case err == nil && !a.slow:
		n.breaker.recordSuccess()
	}
}

// pick returns the nodes that this attempt may ask: first those that the call has not asked yet and whose breaker is
// closed, in the driver's order; then the others, the one that was asked longest ago first. The driver takes the first
// node to which it has a connection. pick starts the probes that are due.
func (a *attempt) pick(ns *nodes, q gocql.ExecutableQuery) gocql.NextHost {
	next := ns.HostSelectionPolicy.Pick(routedQuery{q, a.policy.PartitionKey})
	var deferred []gocql.SelectedHost
	return func() gocql.SelectedHost {
		for host := next(); host != nil; host = next() {
			n := ns.node(host.Info().HostID())
			if a.asked.addNew(n) {
				a.choose(host.Info(), n)
				return host
			}
			if a.policy.Kind.changesBreakers() && n.breaker.takeProbe(ns.now()) {
				a.call.probe(host.Info(), n)
			}
			deferred = append(deferred, host)
		}
		if len(deferred) == 0 {
			return nil
		}
		turn := func(h gocql.SelectedHost) int { return a.asked.lastTurn(ns.node(h.Info().HostID())) }
		host := slices.MinFunc(deferred, func(x, y gocql.SelectedHost) int { return turn(x) - turn(y) })
		deferred = slices.DeleteFunc(deferred, func(h gocql.SelectedHost) bool { return h == host })
		n := ns.node(host.Info().HostID())
		a.asked.add(n)
		a.choose(host.Info(), n)
		return host
	}
}

// choose records the node that the attempt is about to ask.
func (a *attempt) choose(host *gocql.HostInfo, n *node) {
	a.node.Store(n)
	if a.span != nil {
		setNode(a.span, host, n)
	}
}

// askedNodes lists the nodes that one call has asked, in order. The attempts of the call share it.
type askedNodes struct {
	mu    sync.Mutex
	nodes []*node
}

// add appends n.
func (l *askedNodes) add(n *node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, n)
}

// addNew appends n and returns true if the call has not asked n yet and the node's breaker is closed.
func (l *askedNodes) addNew(n *node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.nodes, n) || n.breaker.open() {
		return false
	}
	l.nodes = append(l.nodes, n)
	return true
}

// lastTurn returns the position at which n was asked last, or -1 if it was not asked.
func (l *askedNodes) lastTurn(n *node) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, asked := range slices.Backward(l.nodes) {
		if asked == n {
			return i
		}
	}
	return -1
}

// routedQuery is a query whose partition key is known. gocql v1.7.0 has Query.RoutingKey for this, but nothing for a
// Batch.
type routedQuery struct {
	gocql.ExecutableQuery
	partitionKey []byte
}

// GetRoutingKey implements gocql.ExecutableQuery.
func (q routedQuery) GetRoutingKey() ([]byte, error) { return q.partitionKey, nil }
