// Command bench tells what a get costs: CPU time per request of `userinfo dev`, next to that of a handler that writes
// 2 KB from memory under the same TLS, in one run, in turns. It needs wrk and Linux.
//
//	go run ./bench [-rounds 5] [-seconds 5] [-connections 32]
//
// Invariants: both servers have the same certificate, GOMAXPROCS and HTTP version; wrk sends both the same request, with
// a bearer token; each round has both, the order changing; a first round of each is not counted.
//
// It does not tell anything of Cassandra, of new connections, or of latency.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// valueBytes is the size of the value read.
const valueBytes = 2048

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 5, "how many `ROUNDS` count")
	seconds := flags.Int("seconds", 5, "`SECONDS` of load on each server in a round")
	connections := flags.Int("connections", 32, "kept `CONNECTIONS`")
	floor := flags.String("floor", "", "serve as the floor, with the certificate in `DIRECTORY`")
	if flags.Parse(args) != nil {
		return 2
	}
	var err error
	if *floor != "" {
		err = serveFloor(ctx, *floor, stdout)
	} else {
		err = compare(ctx, stdout, load{connections: *connections, seconds: *seconds}, *rounds)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// serveFloor is what the service is compared with.
func serveFloor(ctx context.Context, dir string, stdout io.Writer) error {
	value := []byte(strings.Repeat("v", valueBytes))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13},
		ErrorLog:  log.New(io.Discard, "", 0), // wrk ends its first connection without a word
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(value)
		}),
	}
	fmt.Fprintf(stdout, "https://%s/\n", l.Addr())
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	err = server.ServeTLS(l, filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// subject is a server under load.
type subject struct {
	name    string
	url     string
	process *exec.Cmd
	costs   []float64 // CPU µs per request, a round each
	rates   []float64 // requests/s
}

func compare(ctx context.Context, stdout io.Writer, l load, rounds int) error {
	dir, err := os.MkdirTemp("", "userinfo-bench-")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var subjects []*subject
	defer func() {
		cancel()
		for _, s := range subjects {
			_ = s.process.Wait() // ended by the signal that ctx sent
		}
		_ = os.RemoveAll(dir)
	}()
	service, secrets, err := startService(ctx, dir)
	if err != nil {
		return err
	}
	subjects = append(subjects, service)
	header, err := os.ReadFile(filepath.Join(secrets, "token.header"))
	if err != nil {
		return err
	}
	l.header = strings.TrimSpace(string(header))
	if err := setValue(ctx, service.url, secrets, l.header); err != nil {
		return err
	}
	bare, err := startFloor(ctx, secrets)
	if err != nil {
		return err
	}
	subjects = append(subjects, bare)
	for round := range rounds + 1 {
		for _, s := range subjects {
			if err := l.on(ctx, s, round > 0); err != nil {
				return err
			}
		}
		slices.Reverse(subjects)
	}
	report(stdout, l, bare, service)
	return nil
}

var curlLine = regexp.MustCompile(`curl -sS --cacert (\S+)/ca\.crt`)
var getLine = regexp.MustCompile(`(?m)^get:\s+ui -i (\S+)$`)

// startService builds the program and starts `userinfo dev`. secrets is the directory of its keys.
func startService(ctx context.Context, dir string) (s *subject, secrets string, err error) {
	program := filepath.Join(dir, "userinfo")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "userinfo/cmd/userinfo").CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("building: %w\n%s", err, out)
	}
	s = &subject{name: "userinfo dev", process: command(ctx, program, "dev", "--listen", "127.0.0.1:0")}
	said, err := s.until(func(text string) bool { return strings.Contains(text, "Ctrl-C") })
	if err != nil {
		return nil, "", err
	}
	url, paths := getLine.FindStringSubmatch(said), curlLine.FindStringSubmatch(said)
	if url == nil || paths == nil {
		return nil, "", fmt.Errorf("userinfo dev says nothing of how to ask it:\n%s", said)
	}
	s.url = url[1]
	return s, paths[1], nil
}

func startFloor(ctx context.Context, secrets string) (*subject, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &subject{name: "2 KB handler", process: command(ctx, self, "-floor", secrets)}
	said, err := s.until(func(text string) bool { return strings.Contains(text, "\n") })
	s.url = strings.TrimSpace(said)
	return s, err
}

// command ends in good order when ctx does.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.Stderr = os.Stderr
	return c
}

// until starts the process and returns what it has said once that is enough.
func (s *subject) until(enough func(string) bool) (string, error) {
	out, err := s.process.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := s.process.Start(); err != nil {
		return "", err
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if enough(said.String()) {
			return said.String(), nil
		}
	}
	return "", fmt.Errorf("%s ended after saying %q", s.name, said.String())
}

// setValue stores the value that will be read.
func setValue(ctx context.Context, url, secrets, header string) error {
	pem, err := os.ReadFile(filepath.Join(secrets, "ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(strings.Repeat("v", valueBytes)))
	if err != nil {
		return err
	}
	name, value, _ := strings.Cut(header, ": ")
	r.Header.Set(name, value)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the set was answered %s", answer.Status)
	}
	return nil
}

// load is what wrk does.
type load struct {
	connections, seconds int
	header               string
}

var rateLine = regexp.MustCompile(`(\d+) requests in`)

// on puts the load on s for a round.
func (l load) on(ctx context.Context, s *subject, counts bool) error {
	before, err := cpu(s.process.Process.Pid)
	if err != nil {
		return err
	}
	start := time.Now()
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(l.connections),
		"-d"+strconv.Itoa(l.seconds)+"s", "-H", l.header, s.url).CombinedOutput()
	if err != nil {
		return fmt.Errorf("wrk (apt-get install wrk): %w\n%s", err, out)
	}
	if strings.Contains(string(out), "Non-2xx") {
		return fmt.Errorf("%s answered with errors:\n%s", s.name, out)
	}
	after, err := cpu(s.process.Process.Pid)
	m := rateLine.FindSubmatch(out)
	if err != nil || m == nil {
		return fmt.Errorf("reading wrk's report: %w\n%s", err, out)
	}
	n, _ := strconv.ParseFloat(string(m[1]), 64) // digits, as the expression says
	if counts {
		s.costs = append(s.costs, float64((after-before).Microseconds())/n)
		s.rates = append(s.rates, n/time.Since(start).Seconds())
	}
	return nil
}

// cpu is the time that a process has used, user and system: fields 14 and 15 of /proc/PID/stat, in ticks of 10 ms.
func cpu(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name before it may have spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

func report(w io.Writer, l load, floor, service *subject) {
	ratios := make([]float64, len(service.costs))
	for i := range ratios {
		ratios[i] = service.costs[i] / floor.costs[i]
	}
	fmt.Fprintf(w, "get of %d bytes, %d kept connections, %d rounds of %d s, median (least to most)\n",
		valueBytes, l.connections, len(ratios), l.seconds)
	for _, s := range []*subject{floor, service} {
		fmt.Fprintf(w, "%-14s CPU µs per request %s   requests/s %s\n", s.name, spread(s.costs, "%.1f"), spread(s.rates, "%.0f"))
	}
	fmt.Fprintf(w, "%-14s %s\n", "ratio of CPU", spread(ratios, "%.2f"))
}

func spread(values []float64, format string) string {
	v := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ("+format+" to "+format+")", v[len(v)/2], v[0], v[len(v)-1])
}
