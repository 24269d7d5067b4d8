// Package cassandra stores rows, pending deletes and heartbeats in Apache Cassandra 5.0, with the gocql driver.
//
//	store.Collection ──▶ Table ──┬─▶ coordinator.Run ──▶ gocql ──▶ coalescingConn ──▶ TLS ──▶ node     small values
//	                             └─▶ the same, on connections and with circuit breakers of its own      large values
//
// A Session connects to the nodes of one datacentre, with two connections to each. Its Tables implement store.Rows and
// store.PendingDeletes. Its ClockTable holds what instances tell each other about their clocks. An Admin runs the statements
// that create and check the schema; see package schema for the tables.
//
// Invariants:
//
//  1. Every connection is a TLS connection whose certificate has been verified. There is no way to turn that off.
//  2. Only nodes of the local datacentre are asked.
//  3. Every write carries a timestamp that its caller chose, and every statement may be repeated. coordinator.Run
//     depends on both.
//  4. A statement's values are bound, never part of its text. Names of keyspaces and tables are quoted.
//  5. No error, log message or metric contains a key, a value or a password. The password is sent to verified nodes only.
//  6. Every error of a Table wraps store.ErrUnavailable or store.ErrTooLarge.
//  7. No change of a keyspace, table, type, role or node ends the process or needs a restart. If the keyspace loses its
//     replicas in the local datacentre, errors say so until it has replicas again.
//  8. Statements on small values do not share a connection, a circuit breaker or a hedge delay with statements on large values
//     (store.IsLarge). A statement that is not sent because too much waits to be sent changes no circuit breaker.
//
// The package does not defend against an operator, or anyone else, who can write to Cassandra directly. It does not limit how many
// large values are read and written at once: store.LargeValues does.
package cassandra
