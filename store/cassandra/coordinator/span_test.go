package coordinator

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/tracing"
	"userinfo/internal/tracing/tracingtest"
)

// traceCall makes one call of a sampled request, and returns its spans as a tree. prepare changes the cluster before the call.
func traceCall(t *testing.T, replies map[string]reply, p CallPolicy, prepare func(*fakeCluster)) (tree string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(replies)
		for i, h := range c.hosts.hosts {
			h.SetConnectAddress(net.IPv4(10, 0, 0, byte(i+1)))
		}
		if prepare != nil {
			prepare(c)
		}
		var collector tracingtest.Collector
		tracer := collector.New(1)
		request := tracer.StartRequest(tracing.ClientSpan{}, time.Now(), "GET", "/r")
		ctx := tracing.NewContext(t.Context(), request)
		_, _ = Run(ctx, c.Runner, p, c.statement)
		time.Sleep(2 * SlowAfter) // a probe may still run
		request.End()
		tracer.Close()
		tree = tracingtest.Tree(collector.Spans(t), "cassandra.consistency.level", "userinfo.cassandra.attempt", "server.address",
			"userinfo.cassandra.breaker", "userinfo.cassandra.outcome", "error.type")
	})
	return tree
}

func TestAttemptSpan_ShowsNodeAndOutcome(t *testing.T) {
	read := CallPolicy{Kind: Read, Statement: "read", Consistency: gocql.LocalQuorum}
	everywhere := CallPolicy{Kind: EachQuorum, Statement: "delete", Consistency: gocql.EachQuorum}
	other := CallPolicy{Statement: "write", Consistency: gocql.LocalQuorum}
	open := func(id string) func(*fakeCluster) {
		return func(c *fakeCluster) { c.nodes.node(id).breaker.failures.Store(maxFailures) }
	}
	for _, test := range []struct {
		name    string
		replies map[string]reply
		policy  CallPolicy
		prepare func(*fakeCluster)
		want    string
	}{
		{"the first answers", map[string]reply{"a": quick}, read, nil, `GET /r
  cassandra read local_quorum first 10.0.0.1 closed ok
`},
		{"the first is silent, and a hedged attempt answers", map[string]reply{"a": never, "b": quick}, read, nil, `GET /r
  cassandra read local_quorum first 10.0.0.1 closed superseded
  cassandra read local_quorum hedge 10.0.0.2 closed ok
`},
		{"the first is slow, and a hedged attempt answers", map[string]reply{"a": never, "b": quick}, other, nil, `GET /r
  cassandra write local_quorum first 10.0.0.1 closed slow
  cassandra write local_quorum hedge 10.0.0.2 closed ok
`},
		{"the first answers while a hedged attempt runs", map[string]reply{"a": {after: SlowAfter + time.Millisecond}, "b": never}, other, nil, `GET /r
  cassandra write local_quorum first 10.0.0.1 closed ok
  cassandra write local_quorum hedge 10.0.0.2 closed cancelled
`},
		{"the first fails, and a retry answers", map[string]reply{"a": {err: codeError(gocql.ErrCodeUnavailable)}, "b": quick}, read, nil, `GET /r
  cassandra read local_quorum first 10.0.0.1 closed unavailable unavailable failed
  cassandra read local_quorum retry 10.0.0.2 closed ok
`},
		{"EACH_QUORUM: all fail", map[string]reply{"a": fails, "b": fails, "c": fails}, everywhere, nil, `GET /r
  cassandra delete each_quorum first 10.0.0.1 closed connection connection failed
  cassandra delete each_quorum retry 10.0.0.2 closed connection connection failed
  cassandra delete each_quorum retry 10.0.0.3 closed connection connection failed
`},
		{"the breaker of the first is open, and it is probed", map[string]reply{"a": fails, "b": quick}, read, open("a"), `GET /r
  cassandra read local_quorum first 10.0.0.2 closed ok
  cassandra read local_quorum probe 10.0.0.1 open connection connection failed
`},
		{"a statement without a name", map[string]reply{"a": quick}, CallPolicy{}, nil, `GET /r
  cassandra first 10.0.0.1 closed ok
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := traceCall(t, test.replies, test.policy, test.prepare); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}
