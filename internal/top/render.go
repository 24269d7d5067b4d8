package top

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

const (
	// shownRows is the largest number of clients, problems and keys that are shown.
	shownRows = 10
	// warnDays is the number of days before a certificate expires at which it is shown.
	warnDays = 14
)

// screen is everything that is shown at one time.
type screen struct {
	at       time.Time
	interval time.Duration
	views    []view
}

// lines returns the screen as text.
func (s screen) lines() []string {
	up, total := 0, newRates()
	measured := false
	for _, v := range s.views {
		if v.err == nil {
			up++
		}
		if v.rates != nil {
			total.add(v.rates)
			measured = true
		}
	}
	if !measured {
		total = nil
	}
	lines := []string{fmt.Sprintf("userinfo top  %s  %d of %d instances answer  every %v", s.at.UTC().Format("2006-01-02 15:04:05Z"), up, len(s.views), s.interval)}
	for _, section := range [][]string{
		s.requests(total), s.state(), s.down(), s.attention(), latencies(total), problems(total), busiestClients(total), s.rewrittenKeys(),
	} {
		if len(section) > 0 {
			lines = append(append(lines, ""), section...)
		}
	}
	return lines
}

// requests returns a table of what each instance, and all together, serve.
func (s screen) requests(total *rates) []string {
	t := table{{"REQUESTS PER SECOND", "get", "set", "touch", "delete", "5xx", "429", "shed", "p50", "p99", "in flight", "connections"}}
	row := func(name string, r *rates, inFlight, connections float64) {
		cells := []string{name}
		for _, action := range actions {
			cells = append(cells, rate(r.perSecond(action)))
		}
		if r == nil {
			cells = append(cells, "-", "-", "-", "-", "-")
		} else {
			all := r.all()
			cells = append(cells, rate(r.errors), rate(r.limited), rate(r.shed), seconds(all.quantile(.5)), seconds(all.quantile(.99)))
		}
		t = append(t, append(cells, number(inFlight), number(connections)))
	}
	sums := [2]float64{}
	for _, v := range s.views {
		if v.err != nil {
			t = append(t, []string{v.name, "down"})
			continue
		}
		inFlight, connections := v.scrape.gauge("userinfo_http_in_flight"), v.scrape.gauge("userinfo_connections")
		row(v.name, v.rates, inFlight, connections)
		sums[0], sums[1] = sums[0]+inFlight, sums[1]+connections
	}
	if len(s.views) > 1 {
		row("all", total, sums[0], sums[1])
	}
	return t.lines()
}

// state returns a table of Cassandra, pending deletes and resources of each instance.
func (s screen) state() []string {
	t := table{{"STATE", "up for", "hosts up", "breakers", "slow/s", "hedges/s", "pending", "oldest", "memory", "CPU"}}
	for _, v := range s.views {
		if v.err != nil {
			continue
		}
		slow, hedges, cpu := math.NaN(), math.NaN(), math.NaN()
		if v.rates != nil {
			slow, hedges, cpu = v.rates.slow, v.rates.hedges, v.rates.cpu
		}
		g := v.scrape.gauge
		uptime := float64(v.scrape.at.UnixMilli())/1000 - g("process_start_time_seconds")
		t = append(t, []string{
			v.name, age(uptime), number(g("userinfo_cassandra_hosts_up")), number(g("userinfo_cassandra_breakers_open")), rate(slow), rate(hedges),
			number(g("userinfo_pending_deletes")), age(g("userinfo_pending_deletes_oldest_seconds")), size(g("process_resident_memory_bytes")), percent(cpu),
		})
	}
	return t.lines()
}

// down says why instances do not answer.
func (s screen) down() (lines []string) {
	for _, v := range s.views {
		if v.err != nil {
			lines = append(lines, clean(v.name)+" is down: "+clean(v.err.Error()))
		}
	}
	return lines
}

// alarms are the gauges that are 0 while all is well.
var alarms = []struct{ metric, text string }{
	{"userinfo_pending_deletes_unreadable_buckets", "buckets of pending deletes cannot be read"},
	{"userinfo_pending_deletes_unknown_collection", "pending deletes of an unknown collection"},
	{"userinfo_schema_differences", "differences between the schema and the configuration"},
	{"userinfo_schema_check_failed", "the schema cannot be read"},
	{"userinfo_reload_failed", "changed files cannot be used"},
	{"userinfo_audit_unavailable", "audit records cannot be written"},
}

// attention lists what an operator should look at.
func (s screen) attention() (lines []string) {
	for _, v := range s.views {
		if v.err != nil {
			continue
		}
		for _, a := range alarms {
			if n := v.scrape.gauge(a.metric); n > 0 {
				lines = append(lines, fmt.Sprintf("ATTENTION %s: %s (%s is %s)", clean(v.name), a.text, a.metric, number(n)))
			}
		}
		for _, m := range v.scrape.metrics("userinfo_certificate_days_left") {
			if days := valueOf(m); days < warnDays {
				lines = append(lines, fmt.Sprintf("ATTENTION %s: %s is good for %.1f days", clean(v.name), clean(label(m, "file")), days))
			}
		}
	}
	return lines
}

// latencies returns a table of the durations of each action.
func latencies(total *rates) []string {
	if total == nil {
		return nil
	}
	t := table{{"DURATION", "per second", "p50", "p90", "p99", "p99.9"}}
	for _, action := range actions {
		d := total.durations[action]
		if d.total() == 0 {
			continue
		}
		t = append(t, []string{action, rate(d.total()), seconds(d.quantile(.5)), seconds(d.quantile(.9)), seconds(d.quantile(.99)), seconds(d.quantile(.999))})
	}
	return t.lines()
}

// problems returns a table of the error responses.
func problems(total *rates) []string {
	if total == nil {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(total.problems), func(a, b string) int {
		return cmp.Or(cmp.Compare(total.problems[b], total.problems[a]), cmp.Compare(a, b))
	})
	t := table{{"PROBLEM", "per second"}}
	for _, name := range names[:min(len(names), shownRows)] {
		if n := total.problems[name]; n > 0 {
			t = append(t, []string{name, rate(n)})
		}
	}
	return t.lines()
}

// busiestClients returns a table of the clients with the most requests.
func busiestClients(total *rates) []string {
	if total == nil {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(total.clients), func(a, b string) int {
		x, y := total.clients[a], total.clients[b]
		return cmp.Or(cmp.Compare(y.requests, x.requests), cmp.Compare(y.denials, x.denials), cmp.Compare(a, b))
	})
	t := table{{"CLIENT", "requests/s", "misses/s", "refused/s", "429/s"}}
	for _, name := range names[:min(len(names), shownRows)] {
		if c := total.clients[name]; c != (clientRates{}) {
			t = append(t, []string{cmp.Or(name, "(none)"), rate(c.requests), rate(c.misses), rate(c.denials), rate(c.limited)})
		}
	}
	return t.lines()
}

// rewrittenKeys returns a table of the most rewritten keys of all instances. Instances with the same audit key list the same hash
// for a key.
func (s screen) rewrittenKeys() []string {
	type id struct{ hash, collection string }
	type sum struct {
		writes, unchanged uint64
		instances         int
	}
	sums := make(map[id]sum)
	var missing []string
	for _, v := range s.views {
		if v.err != nil {
			continue
		}
		if err := v.scrape.rewrittenErr; err != nil {
			missing = append(missing, fmt.Sprintf("no rewritten keys of %s: %s", clean(v.name), clean(err.Error())))
		}
		for _, c := range v.scrape.rewritten {
			for _, k := range c.Keys {
				of := id{k.Hash, c.Collection}
				n := sums[of]
				n.writes, n.unchanged, n.instances = n.writes+k.Writes, n.unchanged+k.Unchanged, n.instances+1
				sums[of] = n
			}
		}
	}
	ids := slices.SortedFunc(maps.Keys(sums), func(a, b id) int {
		return cmp.Or(cmp.Compare(sums[b].writes, sums[a].writes), cmp.Compare(a.hash, b.hash), cmp.Compare(a.collection, b.collection))
	})
	t := table{{"MOST REWRITTEN KEYS, BY KEYED HASH", "collection", "instances", "writes", "unchanged"}}
	for _, of := range ids[:min(len(ids), shownRows)] {
		n := sums[of]
		t = append(t, []string{of.hash, of.collection, fmt.Sprint(n.instances), fmt.Sprint(n.writes), fmt.Sprint(n.unchanged)})
	}
	return append(t.lines(), missing...)
}
