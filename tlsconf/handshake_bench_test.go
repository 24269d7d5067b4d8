package tlsconf_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// BenchmarkHandshakeCost compares the server's CPU time per handshake: of an honest client, of a client without a
// certificate, and of each stranger; with the limits of this package ("now"), and with crypto/tls as it is ("bare"). It
// measures them in turns, so that ratios hold on a busy machine. Clients are processes of their own.
func BenchmarkHandshakeCost(b *testing.B) {
	ca, err := devca.New("ca")
	if err != nil {
		b.Fatal(err)
	}
	f := forge{b, ca}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the service does
	honest := f.honest()
	now, bare := startLimited(b, ca), startBare(b, ca)
	for _, s := range append([]stranger{honest, {Name: "no certificate"}}, f.strangers()...) {
		b.Run(s.Name, func(b *testing.B) {
			var base, limited, unlimited time.Duration
			for b.Loop() {
				base += honest.cost(b, now, 50)
				limited += s.cost(b, now, 50)
				unlimited += s.cost(b, bare, 10)
			}
			per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
			b.ReportMetric(per(base), "honest-µs")
			b.ReportMetric(per(limited)/per(base), "now/honest")
			b.ReportMetric(per(unlimited)/per(base), "bare/honest")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkKeptClient measures a kept connection of an honest client, and its new connections, while strangers make
// handshakes on 100 connections at once. All processes share the machine, so the strangers' own CPU time counts as well.
func BenchmarkKeptClient(b *testing.B) {
	ca, err := devca.New("ca")
	if err != nil {
		b.Fatal(err)
	}
	f := forge{b, ca}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	addresses := map[string]string{"now": startLimited(b, ca), "bare": startBare(b, ca)}
	honest := f.honest()
	attacks := append([]stranger{{Name: "nobody"}, {Name: "no certificate"}, honest}, f.strangers()...)
	for _, s := range attacks {
		for _, server := range []string{"now", "bare"} {
			b.Run(s.Name+"/"+server, func(b *testing.B) {
				var all latencies
				for b.Loop() {
					parallel := 100
					if s.Name == "nobody" {
						parallel = 0
					}
					flood := part{Stranger: s, Parallel: parallel, Times: 1 << 30}.start(b, addresses[server], nil)
					var out bytes.Buffer
					if err := (part{Stranger: honest, Kept: true, Times: 500}).start(b, addresses[server], &out).Wait(); err != nil {
						b.Fatal(err)
					}
					_ = flood.Process.Kill() // it may have ended
					_ = flood.Wait()
					var l latencies
					if err := json.Unmarshal(out.Bytes(), &l); err != nil {
						b.Fatal(err)
					}
					all.Requests, all.Handshakes = append(all.Requests, l.Requests...), append(all.Handshakes, l.Handshakes...)
					all.Failed += l.Failed
				}
				ms := func(all []time.Duration, percent int) float64 {
					slices.Sort(all)
					return float64(all[(len(all)-1)*percent/100].Microseconds()) / 1000
				}
				b.ReportMetric(ms(all.Requests, 50), "p50-ms")
				b.ReportMetric(ms(all.Requests, 99), "p99-ms")
				b.ReportMetric(ms(all.Handshakes, 50), "new-p50-ms")
				b.ReportMetric(ms(all.Handshakes, 99), "new-p99-ms")
				b.ReportMetric(float64(all.Failed), "new-failed")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// start starts a process that plays p.
func (p part) start(b *testing.B, address string, out io.Writer) *exec.Cmd {
	b.Helper()
	input, err := json.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env, c.Stdin, c.Stdout, c.Stderr = append(os.Environ(), playEnv+"="+address, "GOMAXPROCS=1"), bytes.NewReader(input), out, os.Stderr
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	return c
}

// cost returns the CPU time of this process for one of n handshakes.
func (s stranger) cost(b *testing.B, address string, n int) time.Duration {
	b.Helper()
	c := part{Stranger: s, Parallel: 1, Times: n}.start(b, address, nil)
	before := cpuTime(b)
	if err := c.Wait(); err != nil {
		b.Fatal(err)
	}
	return (cpuTime(b) - before) / time.Duration(n)
}

// cpuTime returns the CPU time of this process.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startLimited starts a server with the limits of this package.
func startLimited(b *testing.B, ca *devca.CA) (address string) {
	b.Helper()
	dir := b.TempDir()
	var files tlsconf.ServerFiles
	var err error
	if files.Certificate, files.Key, err = ca.Write(dir, "server", devca.Loopback()); err != nil {
		b.Fatal(err)
	}
	files.ClientCA = dir + "/ca.crt"
	if err := os.WriteFile(files.ClientCA, ca.PEM(), 0o600); err != nil {
		b.Fatal(err)
	}
	files.MinVersion = "1.2"
	server, err := tlsconf.LoadServer(files, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	return startHandshakes(b, limited, tlsconf.ListenerConfig(func() *tlsconf.Server { return server }))
}

// startBare starts a server of crypto/tls that verifies clients' certificates itself.
func startBare(b *testing.B, ca *devca.CA) (address string) {
	b.Helper()
	certPEM, keyPEM, err := ca.Issue(devca.Loopback())
	if err != nil {
		b.Fatal(err)
	}
	own, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		b.Fatal(err)
	}
	return startHandshakes(b, func(l net.Listener) net.Listener { return l },
		&tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool()})
}

// startHandshakes starts a server that only makes handshakes.
func startHandshakes(b *testing.B, limit func(net.Listener) net.Listener, config *tls.Config) (address string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	accepted := tls.NewListener(limit(l), config)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := accepted.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				if _, err := io.WriteString(c, "x"); err == nil {
					_, _ = io.Copy(c, c)
				}
			})
		}
	})
	b.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}
