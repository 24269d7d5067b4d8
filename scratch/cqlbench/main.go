package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gocql/gocql"

	"userinfo/deploy/cassandra"
	"userinfo/internal/testcluster"
)

var tables = map[string]string{
	"lcs":    "compaction = {'class': 'LeveledCompactionStrategy'}",
	"nocomp": "compaction = {'class': 'LeveledCompactionStrategy'} AND compression = {'enabled': 'false'}",
	"ucs":    "compaction = {'class': 'UnifiedCompactionStrategy'} AND compression = {'enabled': 'false'}",
	"bloom":  "compaction = {'class': 'LeveledCompactionStrategy'} AND compression = {'enabled': 'false'} AND bloom_filter_fp_chance = 0.01 AND speculative_retry = 'NONE'",
	"lz44k":  "compaction = {'class': 'LeveledCompactionStrategy'} AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}",
	"rows":   "compaction = {'class': 'LeveledCompactionStrategy'} AND compression = {'enabled': 'false'} AND caching = {'keys': 'ALL', 'rows_per_partition': 'ALL'}",
}

type subject struct {
	name     string
	s        *gocql.Session
	table    string
	pid      int
	rate, cc, dc []float64
}

func cpu(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil { panic(err) }
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	u, _ := strconv.Atoi(f[11]); v, _ := strconv.Atoi(f[12])
	return float64(u+v) * 10000
}
func self() float64 {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return float64(r.Utime.Sec+r.Stime.Sec)*1e6 + float64(r.Utime.Usec+r.Stime.Usec)
}
func must(err error) { if err != nil { panic(err) } }

func main() {
	variants := flag.String("v", "default,tuned", "")
	tabs := flag.String("t", "lcs,nocomp", "")
	rounds := flag.Int("rounds", 6, "")
	keys := flag.Int("keys", 5000, "")
	heap := flag.Int("heap", 2048, "")
	flush := flag.Bool("flush", true, "")
	flag.Parse()
	ctx := context.Background()
	var subs []*subject
	orig := cassandra.YAML; origO := cassandra.Options
	for _, v := range strings.Split(*variants, ",") {
		o := testcluster.OneNode()
		o.HeapMB = *heap
		if v != "default" {
			o.Tuned = true
			cassandra.YAML, cassandra.Options = orig, origO
			if y, err := os.ReadFile(v + ".yaml"); err == nil { cassandra.YAML = string(y) }
			if y, err := os.ReadFile(v + ".options"); err == nil { cassandra.Options = string(y) }
		}
		c, err := testcluster.Start(ctx, o)
		must(err)
		defer c.Stop(ctx)
		n := c.Nodes("")[0]
		out, err := exec.Command("sh", "-c", "docker inspect -f '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $(docker ps -q) | grep ' "+n.Address+"$'").Output()
		must(err)
		pid, err := strconv.Atoi(strings.Fields(string(out))[0])
		must(err)
		config := gocql.NewCluster(n.Address)
		config.ProtoVersion = 4
		config.NumConns = 1
		config.Timeout = 10 * time.Second
		config.Authenticator = gocql.PasswordAuthenticator{Username: testcluster.Username, Password: c.Password()}
		config.SslOpts = &gocql.SslOptions{Config: &tls.Config{RootCAs: c.CAPool(), ServerName: n.Address}, EnableHostVerification: true}
		config.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
		s, err := config.CreateSession()
		must(err)
		must(s.Query("CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}").Exec())
		for _, t := range strings.Split(*tabs, ",") {
			must(s.Query("CREATE TABLE k." + t + " (key blob PRIMARY KEY, value blob, gone boolean) WITH gc_grace_seconds = 90000 AND " + tables[t]).Exec())
			var next atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for {
						i := next.Add(1)
						if i > int64(*keys) { return }
						value := make([]byte, 2048)
						rand.Read(value)
						must(s.Query("UPDATE k."+t+" USING TTL 86400 SET value = ? WHERE key = ?", value, []byte(fmt.Sprintf("%032d", i-1))).Consistency(gocql.LocalQuorum).Exec())
					}
				})
			}
			wg.Wait()
			subs = append(subs, &subject{name: v + "/" + t, s: s, table: t, pid: pid})
		}
		if *flush {
			_, err = n.Nodetool(ctx, "flush", "k")
			must(err)
			_, err = n.Nodetool(ctx, "compact", "k")
			fmt.Println("compact", err)
		}
	}
	round := func(x *subject, d time.Duration, counts bool) {
		var n atomic.Int64
		var wg sync.WaitGroup
		end := time.Now().Add(d)
		a, b := cpu(x.pid), self()
		t0 := time.Now()
		cql := "SELECT value, TTL(value), WRITETIME(value), gone FROM k." + x.table + " WHERE key = ?"
		for g := range 32 {
			wg.Go(func() {
				r := uint64(g) * 7919 + uint64(t0.UnixNano())
				for time.Now().Before(end) {
					r = r*6364136223846793005 + 1442695040888963407
					var v []byte; var ttl *int; var w *int64; var gone *bool
					must(x.s.Query(cql, []byte(fmt.Sprintf("%032d", (r>>33)%uint64(*keys)))).Consistency(gocql.LocalQuorum).Scan(&v, &ttl, &w, &gone))
					n.Add(1)
				}
			})
		}
		wg.Wait()
		c := float64(n.Load())
		if counts {
			x.rate = append(x.rate, c/time.Since(t0).Seconds())
			x.cc = append(x.cc, (cpu(x.pid)-a)/c)
			x.dc = append(x.dc, (self()-b)/c)
		}
	}
	warm := 40 * time.Second / time.Duration(len(strings.Split(*tabs, ",")))
	for _, x := range subs { round(x, warm, false) }
	for range *rounds {
		for _, x := range subs { round(x, 4*time.Second, true) }
		slices.Reverse(subs)
	}
	med := func(v []float64) string { s := slices.Sorted(slices.Values(v)); return fmt.Sprintf("%.1f (%.1f–%.1f)", s[len(s)/2], s[0], s[len(s)-1]) }
	slices.SortFunc(subs, func(a, b *subject) int { return strings.Compare(a.name, b.name) })
	for _, x := range subs {
		fmt.Printf("%-20s reads/s %s  cassandra µs %s  driver µs %s\n", x.name, med(x.rate), med(x.cc), med(x.dc))
	}
}
