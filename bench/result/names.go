package result

// The names below are those that reports look for. A run may have others: they stand in its tables, and no formula is
// about them.

// Targets. A session store that was given by its URL has a name of its own.
const (
	UserInfo = "userinfo"        // the service, sealing on
	Memory   = "userinfo-memory" // the service without Cassandra
	Sidecar  = "sidecar"         // the service behind a local proxy that keeps its connections
	Handler  = "handler"         // net/http that answers 2 KB from memory under the same TLS
	Loop     = "loop"            // accept, handshake, 2 KB, close; without net/http
	Driver   = "driver"          // the bare driver against the same Cassandra, in the generator's process
	Redis    = "redis"           // redis-server with TLS
)

// Targets are those names, which a Lab can start.
var Targets = []string{UserInfo, Memory, Sidecar, Handler, Loop, Driver, Redis}

// Workloads. Connections are kept and have mutual TLS where the name does not say otherwise.
const (
	Get          = "get"        // gets alone, closed loop; in Mode Open, at several rates, it is latency against throughput
	GetToken     = "get/token"  // the same with a bearer token and no client certificate
	Set          = "set"        // sets alone, closed loop
	DesignTarget = "target"     // open loop, 9,000 reads/s and 100 writes/s, Zipf keys
	Latency      = "latency"    // open loop, 3,000 reads/s
	Production   = "production" // open loop, 1,750 gets, 600 sets, 25 deletes and a few touches a second
	Peak         = "peak"       // open loop, 9,000 gets, 1,500 sets and 200 deletes a second
	Storm        = "storm"      // gets of one key
	Misses       = "misses"     // gets of keys that are not there
	Large        = "large"      // gets of values of 100 kB
)

// Workloads with a new TLS connection for each request, gets alone, closed loop.
const (
	FreshMTLS         = "fresh/mtls"
	FreshMTLSResumed  = "fresh/mtls+resumption"
	FreshToken        = "fresh/token"
	FreshTokenResumed = "fresh/token+resumption"
	FreshSidecar      = "fresh/sidecar" // a new plain connection to the sidecar
)

// Kinds of process. The generator of target driver has the driver in it.
const (
	KindService   = "service"
	KindCassandra = "cassandra"
	KindRedis     = "redis"
	KindGenerator = "generator"
	KindSidecar   = "sidecar"
	KindFloor     = "floor" // handler and loop
)
