// Package load puts load on a session store, and measures what its clients would see.
//
//	Workload ─ schedule ─┬─ open:   sent when due, whatever the answers do ─┐
//	                     └─ closed: one after the other on each connection ─┴─ slot ─ Conn ─ target
//
//	Crew (parent) ── JSON lines ── Generate (child) ── Generator        any number of children, merged
//
// Invariants:
//
//  1. What is asked, and in Open when, follows from the seed alone. (But for the names of the keys that a generator makes
//     up and deletes, which are new in each: the service refuses for a while to set a key that was deleted.)
//  2. In Open latency counts from when a request was due, also where it had to wait for a connection, and what was due is
//     counted, done or by the reason why not. Nothing is sent before it is due; how late the generator itself is, is
//     measured with each request.
//  3. A request takes 3 s at most from when it was due, which is MediaWiki's patience; what takes longer is an error, and
//     what has waited so long for a connection is not sent.
//  4. Nothing is counted that was not answered as it should be, with the whole body; and what a round counts is of that
//     round: warm-up is rounds of its own.
//  5. No workload takes away from the data set: it deletes only keys that it has made itself.
//  6. Histograms are merged, never percentiles.
//
// The HTTP/1.1 client is of its own making because generator and target often share a machine: it costs little, and the
// same for every target. It does not verify that a value is the one that was set; the drill does. It does not defend
// against a target that lies: it is for targets of one's own.
package load
