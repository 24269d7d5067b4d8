package store

import (
	"strings"
	"time"
)

// LargestTTL is the largest TTL that Cassandra accepts: 20 years of 365 days
// (org.apache.cassandra.cql3.Attributes.MAX_TTL).
const LargestTTL = 20 * 365 * 24 * time.Hour

// lastExpiry is the latest time at which a value may expire. Cassandra before version 5 stores an expiry as 32-bit
// seconds.
var lastExpiry = time.Unix(1<<31-2, 0)

// With Cassandra's default settings, a mutation has at most 16 MiB (max_mutation_size: half of commitlog_segment_size), and
// so has a request of the native protocol (native_transport_max_frame_size).
const (
	// ValueOverhead is an upper bound of what a set adds to its value in a mutation and in a request, in bytes: the key, the
	// seal, and what Cassandra needs. To store values of n bytes, both limits must be at least n + ValueOverhead.
	ValueOverhead = 16 << 10
	// LargestValue is the size of the largest value that Cassandra stores with default settings, in bytes, in every layout.
	LargestValue = 16<<20 - ValueOverhead
)

// MaxTouchSlack is the largest CollectionConfig.TouchSlack.
const MaxTouchSlack = 0.5

// IsTTL reports whether Cassandra accepts d as a TTL: it is from 1 second to LargestTTL. 0 would mean "never expires".
func IsTTL(d time.Duration) bool { return d >= time.Second && d <= LargestTTL }

// IdentifierRule says in words what IsIdentifier checks.
const IdentifierRule = "a-z, 0-9 and _, beginning with a letter, at most 48 characters"

// IsIdentifier reports whether name may be the name of a collection, a table or a keyspace. It may be one of CQL's
// reserved words, so CQL statements must quote it.
func IsIdentifier(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return len(name) >= 1 && len(name) <= 48 && strings.IndexByte(letters, name[0]) >= 0 &&
		strings.Trim(name, letters+"0123456789_") == ""
}
