package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

// What the capacity table is for.
const (
	plannedReads  = 9000.0 // per second, in one datacentre
	plannedWrites = 100.0
	utilisation   = 0.6 // of its cores that a machine is to use, so that a peak or the loss of one of three does no harm
	nodeCores     = 8   // of a Cassandra node
	replicas      = 3   // of a datacentre
	quorum        = 2   // of them, that a read at LOCAL_QUORUM asks
)

// capacity is the cores and nodes that a datacentre needs.
type capacity struct{ Rows []need }

// need is one way of asking with one size of values. Figures that are extrapolated begin with ≈.
type need struct {
	Mode, Size string
	Service    string // cores of the service
	Sidecar    string // cores of sidecars, on the clients' machines; empty: there are none
	Database   string // cores of all Cassandra nodes
	Nodes      string // that have them
	Basis      string // what was measured and what was made of it
}

// Arithmetic explains the table.
func (capacity) Arithmetic() string {
	return fmt.Sprintf("Cores are CPU time per request × (%s reads/s + %s writes/s), at %.0f %% use of each core, in one datacentre; nodes have %d cores, and there are at least %d. "+
		"≈ is extrapolated: from fewer nodes than %d, a read at LOCAL_QUORUM is taken to cost a whole read on each of %d replicas, though one of them sends but a digest, and a write one on each of %d; "+
		"the time of whoever generates load is not in it.",
		page.Count(plannedReads), page.Count(plannedWrites), utilisation*100, nodeCores, replicas, replicas, quorum, replicas)
}

// modes are the ways of asking, each with the workloads that tell what it costs, the best first.
var modes = []struct {
	name, target string
	workloads    []string
}{
	{"kept connections, mutual TLS", result.UserInfo, []string{result.DesignTarget, result.Get}},
	{"kept connections, token", result.UserInfo, []string{result.GetToken}},
	{"new connections, mutual TLS", result.UserInfo, []string{result.FreshMTLS}},
	{"new connections, mutual TLS, resumed", result.UserInfo, []string{result.FreshMTLSResumed}},
	{"new connections, token", result.UserInfo, []string{result.FreshToken}},
	{"new connections, token, resumed", result.UserInfo, []string{result.FreshTokenResumed}},
	{"new connections to a sidecar that keeps its own", result.Sidecar, []string{result.FreshSidecar}},
}

// cost is what a request costs, in CPU µs of one kind of process, and where that was measured.
type cost struct {
	us   float64
	from condition
}

// typicalData is the data set of the installation that the table is for, in bytes.
const typicalData = 1.4e9

// costOf is a target's under the first of some workloads of which it is known and all rounds held. Of several
// conditions it is that with replicas where those matter, then with the data nearest to what is typical, then that of the
// highest rate, as a request costs the less the more there are, then with 32 connections, then the simplest.
func costOf(s samples, target string, m metric, replicated bool, workloads ...string) (cost, bool) {
	var all []cost
	for _, w := range workloads {
		some := s.where(of(target, w))
		for _, c := range some.conditions() {
			these := some.where(under(c))
			if us := these.spread(m); us.N > 0 && len(these.where(failed)) == 0 {
				all = append(all, cost{us.Median, c})
			}
		}
	}
	if len(all) == 0 {
		return cost{}, false
	}
	distance := func(c condition) float64 { return math.Abs(math.Log(max(1, float64(c.Data)) / typicalData)) }
	rank := func(c cost) [5]float64 {
		return [5]float64{
			when(replicated == (c.from.Nodes >= replicas), 0, 1),
			float64(slices.Index(workloads, c.from.Workload)),
			distance(c.from),
			when(c.from.Mode == result.Closed, 0, 1/c.from.Rate),
			when(c.from.Connections == 32, 0, 1),
		}
	}
	return slices.MinFunc(all, func(a, b cost) int {
		x, y := rank(a), rank(b)
		return cmp.Or(slices.Compare(x[:], y[:]), a.from.compare(b.from))
	}), true
}

func when(holds bool, yes, no float64) float64 {
	if holds {
		return yes
	}
	return no
}

// failed tells whether a sample is of a service that did not do what was asked of it, so that its cost says nothing.
func failed(x *result.Sample) bool {
	return !holdsRate(x)
}

// size is what requests with values of one size cost on kept connections.
type size struct {
	service, database cost
}

func sizesOf(s samples) []size {
	var all []size
	for _, workloads := range [][]string{{result.DesignTarget, result.Get}, {result.Large}} {
		service, ok := costOf(s, result.UserInfo, cpuOf(result.KindService), false, workloads...)
		database, known := costOf(s, result.UserInfo, cassandra, true, workloads...)
		if ok && known {
			all = append(all, size{service, database})
		}
	}
	return all
}

func capacityOf(s samples) capacity {
	var c capacity
	sizes := sizesOf(s)
	write, _ := costOf(s, result.UserInfo, cassandra, true, result.Set)
	for _, size := range sizes {
		database := size.cores(write)
		for i, m := range modes {
			service, known := costOf(s, m.target, cpuOf(result.KindService), false, m.workloads...)
			if !known {
				continue
			}
			if i == 0 {
				service = size.service
			}
			n := need{Mode: m.name, Size: sizeOf(size.service.from.ValueBytes), Database: database.words(), Nodes: database.nodes(), Basis: database.basis}
			here := amount{cores: cores((plannedReads + plannedWrites) * service.us), basis: "service: " + service.from.Workload}
			if by := size.service.us - sizes[0].service.us; service.from.ValueBytes != size.service.from.ValueBytes {
				here.extrapolated = true
				here.cores += cores((plannedReads + plannedWrites) * by)
				here.basis += " + what " + size.service.from.Workload + " costs more than " + sizes[0].service.from.Workload
			}
			n.Service, n.Basis = here.words(), here.basis+"; "+n.Basis
			if proxy, known := costOf(s, m.target, cpuOf(result.KindSidecar), false, m.workloads...); known {
				n.Sidecar = amount{cores: cores((plannedReads + plannedWrites) * proxy.us)}.words()
				if here.extrapolated {
					n.Sidecar = "not known"
				}
			}
			c.Rows = append(c.Rows, n)
		}
	}
	return c
}

// amount is so many cores.
type amount struct {
	cores        float64
	extrapolated bool
	basis        string
}

// cores are those that do so many µs of work each second.
func cores(us float64) float64 { return us / 1e6 / utilisation }

// words marks what is extrapolated.
func (a amount) words() string {
	return map[bool]string{true: "≈ "}[a.extrapolated] + digits(a.cores)
}

// nodes are those of nodeCores that the cores take; never fewer than replicas.
func (a amount) nodes() string {
	n := max(replicas, math.Ceil(a.cores/nodeCores))
	return map[bool]string{true: "≈ "}[a.extrapolated] + fmt.Sprint(n)
}

// cores are those of Cassandra in one datacentre.
//
// A workload that is a mix of reads and writes has its writes in its cost; otherwise they cost what a set costs, or what
// a get costs where no set was measured. Where fewer nodes were measured than there are to be replicas, a read is taken
// to cost once for each that it asks, and a write once for each replica.
func (s size) cores(write cost) amount {
	from := s.database.from
	a := amount{basis: fmt.Sprintf("Cassandra: %s on %s", from.Workload, page.Plural(from.Nodes, "node"))}
	reads, writes := s.database.us, s.database.us
	switch {
	case from.Workload == result.DesignTarget:
	case write.us > 0 && write.from.ValueBytes == from.ValueBytes && write.from.Nodes == from.Nodes:
		writes = write.us
		a.basis += ", writes from set"
	default:
		a.extrapolated = true
		a.basis += ", a write taken to cost what a read costs"
	}
	if from.Nodes < replicas {
		a.extrapolated = true
		a.basis += fmt.Sprintf(", reads × %d and writes × %d for replication", quorum, replicas)
		reads, writes = reads*quorum, writes*replicas
	}
	a.cores = cores(plannedReads*reads + plannedWrites*writes)
	return a
}
