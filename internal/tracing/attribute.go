package tracing

// Attribute is one fact about a span. Only the functions below make attributes, so this file shows everything that a collector
// learns. None of them may ever take a session key, a value, a credential, a path that a client sent or the text of an error.
// Names are OpenTelemetry's where it has one.
type Attribute struct {
	name   string
	text   string
	number int64 // used if text is empty
}

func text(name, value string) Attribute { return Attribute{name: name, text: value} }

// Status is the status of the response.
func Status(code int) Attribute {
	return Attribute{name: "http.response.status_code", number: int64(code)}
}

// Problem is the type of the problem document that a request was answered with, such as not-found.
func Problem(name string) Attribute { return text("error.type", name) }

// Client is the name of the client in the configuration.
func Client(name string) Attribute { return text("userinfo.client", name) }

// RequestID is the request id, a UUID.
func RequestID(id string) Attribute { return text("userinfo.request_id", id) }

// Resource is the name of the collection, or metrics or openapi.
func Resource(name string) Attribute { return text("userinfo.resource", name) }

// Action is get, set, touch or delete.
func Action(name string) Attribute { return text("userinfo.action", name) }

// Decision is allowed, denied or limited, as in audit records.
func Decision(word string) Attribute { return text("userinfo.access.decision", word) }

// Cassandra says that a span is an attempt at Cassandra.
func Cassandra() Attribute { return text("db.system.name", "cassandra") }

// Statement is the service's name of a CQL statement, such as read.
func Statement(name string) Attribute { return text("db.operation.name", name) }

// Consistency is a consistency level of Cassandra in lower case, such as local_quorum.
func Consistency(level string) Attribute { return text("cassandra.consistency.level", level) }

// Node is the IP address of the Cassandra node that was asked.
func Node(address string) Attribute { return text("server.address", address) }

// Breaker is the state of the node's circuit breaker when the node was chosen.
func Breaker(open bool) Attribute {
	if open {
		return text("userinfo.cassandra.breaker", "open")
	}
	return text("userinfo.cassandra.breaker", "closed")
}

// Attempt says why an attempt began: first, retry, hedge or probe.
func Attempt(word string) Attribute { return text("userinfo.cassandra.attempt", word) }

// Outcome says how an attempt ended: a value of the label result of userinfo_cassandra_attempts_total, or cancelled.
func Outcome(word string) Attribute { return text("userinfo.cassandra.outcome", word) }
