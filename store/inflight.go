package store

import (
	"context"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
)

// inFlight counts the requests that Cassandra owes an answer to: the driver's streams, of which a connection has 32,768.
// One that was given up stays a stream until its answer comes or its connection ends, so a count that does not go back
// to what it was is a leak, or a node that has stopped answering.
type inFlight struct{ prometheus.Gauge }

var (
	_ gocql.StreamObserver        = inFlight{}
	_ gocql.StreamObserverContext = inFlight{}
)

// StreamContext implements gocql.StreamObserver.
func (i inFlight) StreamContext(context.Context) gocql.StreamObserverContext { return i }

// StreamStarted implements gocql.StreamObserverContext.
func (i inFlight) StreamStarted(gocql.ObservedStream) { i.Inc() }

// StreamFinished implements gocql.StreamObserverContext.
func (i inFlight) StreamFinished(gocql.ObservedStream) { i.Dec() }

// StreamAbandoned implements gocql.StreamObserverContext.
func (i inFlight) StreamAbandoned(gocql.ObservedStream) { i.Dec() }
