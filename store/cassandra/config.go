package cassandra

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/panics"
)

const (
	connectTimeout    = time.Second // of TCP, and again of TLS
	reconnectInterval = time.Second
	protocolVersion   = 4
)

// Config describes how to reach a cluster.
type Config struct {
	// Hosts are contact points in the local datacentre: names or IP addresses.
	Hosts []string
	// Port is the TCP port of all nodes.
	Port int
	// Keyspace contains all tables. Admin does not need it.
	Keyspace string
	// LocalDatacentre is the datacentre's name in Cassandra. Nodes of other datacentres are never asked.
	LocalDatacentre string
	// Credentials returns the user and the password for a new connection, so that both can change while the service runs.
	// Credentials is called only if the node asks for a password, and the password is overwritten after use. Its error makes the
	// connection attempt fail, and must not contain the password. nil: no password is configured.
	Credentials func() (username string, password []byte, err error)
	// TLS returns the settings for the next connection, so that they can change while the service runs. If ServerName
	// is empty, the certificate of a node must be valid for the node's IP address, unless VerifyConnection verifies it.
	TLS func() *tls.Config
	// Timeout is how long one statement may take on one node. It should be longer than Cassandra's own write timeout,
	// which is 2 s by default. 0 means no limit.
	Timeout time.Duration
	// Panics recovers from panics in the goroutines of this package.
	Panics *panics.Recorder
}

// String describes the configuration.
func (c Config) String() string {
	return fmt.Sprintf("%s:%d datacentre %s keyspace %s", strings.Join(c.Hosts, ","), c.Port, c.LocalDatacentre, c.Keyspace)
}

// driverConfig returns the driver's settings that Session and Admin share.
func driverConfig(c Config, l *login, log *slog.Logger) *gocql.ClusterConfig {
	d := gocql.NewCluster(c.Hosts...)
	d.Port = c.Port
	d.ProtoVersion = protocolVersion
	d.AuthProvider = l.authenticator
	d.ConnectObserver = l
	d.StreamObserver = sendCounter{}
	d.HostDialer = dialer{tls: c.TLS, port: c.Port, timeout: c.Timeout, panics: c.Panics}
	d.HostFilter = gocql.DataCentreHostFilter(c.LocalDatacentre)
	turnOffEvents(d)
	d.Consistency = gocql.LocalQuorum
	d.Timeout = c.Timeout
	d.ConnectTimeout = connectTimeout
	d.NumConns = 1 // more connections to a node are slower: fewer frames share a system call
	d.ReconnectInterval = reconnectInterval
	d.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: reconnectInterval}
	d.DefaultTimestamp = false // the driver would choose a new timestamp for each attempt
	d.Logger = driverLog{log}
	return d
}

// turnOffEvents turns off the events that can make gocql v1.7.0 panic. It keeps events that nodes join, leave and move,
// because they only make the driver read the list of nodes again.
//
// At an event about the schema, the driver may read the metadata of the keyspace, and some metadata makes it panic. Nothing
// needs these events: all statements name their keyspace, and keyspaceWatch reads the keyspace's replication.
//
// At an event that a node is up or down, the driver looks the node up by its address. It panics if the node changed its
// address and then left. These events are also unreliable: they come from one node, which may be cut off from all others.
// Connections and circuit breakers tell more.
func turnOffEvents(d *gocql.ClusterConfig) {
	d.Events.DisableSchemaEvents = true
	d.Events.DisableNodeStatusEvents = true
}

// connectError explains why the driver could not connect. The driver's error does not wrap its cause, so a failed login comes
// from l.
func connectError(c Config, l *login, err error) error {
	if failure := l.failure(); failure != nil {
		return fmt.Errorf("connecting to Cassandra (%v): %w", c, failure)
	}
	if strings.Contains(err.Error(), "filtered") {
		return fmt.Errorf("connecting to Cassandra (%v): %w (a filtered host is not in datacentre %q; compare the name with the output of nodetool status)", c, err, c.LocalDatacentre)
	}
	return fmt.Errorf("connecting to Cassandra (%v): %w", c, err)
}

// driverLog writes the driver's messages to a log at level debug. The driver writes about hosts and connections, never
// about keys or values.
type driverLog struct{ log *slog.Logger }

// Print implements gocql.StdLogger.
func (l driverLog) Print(v ...any) {
	l.log.Debug("message from the Cassandra driver", "text", strings.TrimSpace(fmt.Sprint(v...)))
}

// Println implements gocql.StdLogger.
func (l driverLog) Println(v ...any) { l.Print(v...) }

// Printf implements gocql.StdLogger.
func (l driverLog) Printf(format string, v ...any) { l.Print(fmt.Sprintf(format, v...)) }
