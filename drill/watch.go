package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/drill/load"
	"userinfo/drill/report"
)

// watched are the flags of watch.
type watched struct {
	settings
	targets    targetFlags
	token, ca  string
	fence      time.Duration
	skew       time.Duration
	standstill time.Duration
	length     time.Duration
}

// targetFlags are those of --target dc=URL, in their order.
type targetFlags []load.Target

// String implements flag.Value.
func (t *targetFlags) String() string { return "" }

// Set implements flag.Value.
func (t *targetFlags) Set(text string) error {
	dc, base, ok := strings.Cut(text, "=")
	if !ok || dc == "" || !strings.HasPrefix(base, "https://") {
		return fmt.Errorf("write it as dc1=https://host:port/sessions/v1")
	}
	base = strings.TrimSuffix(base, "/") + "/"
	*t = append(*t, load.Target{Name: fmt.Sprintf("%s-%d", dc, len(*t)+1), DC: dc, URL: func() string { return base }})
	return nil
}

// byDC groups the targets, datacentres in the order in which they were named.
func (t targetFlags) byDC() (names []string, all [][]load.Target) {
	place := make(map[string]int)
	for _, one := range t {
		n, ok := place[one.DC]
		if !ok {
			n = len(all)
			place[one.DC] = n
			names, all = append(names, one.DC), append(all, nil)
		}
		all[n] = append(all[n], one)
	}
	return names, all
}

// runWatch keeps a history of an installation that its operators break, until they say that they are done.
func runWatch(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	w, err := parseWatch(args, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "drill watch:", err)
		return exitUsage
	}
	roots, err := rootsOf(w.ca)
	if err != nil {
		fmt.Fprintln(stderr, "drill watch:", err)
		return exitUsage
	}
	token, err := os.ReadFile(w.token)
	if err != nil {
		fmt.Fprintln(stderr, "drill watch: --token-file:", err)
		return exitUsage
	}
	if err := w.prepare(stdout); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	h := w.watch(ctx, roots, strings.TrimSpace(string(token)), os.Stdin, stdout)
	verdicts := judge.Check(h)
	printVerdicts(stdout, h, verdicts)
	if err := h.Write(filepath.Join(w.out, h.Name+".history.json.gz")); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	if err := report.Summarize(h, verdicts).Write(filepath.Join(w.out, h.Name+summarySuffix)); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	code := exitOK
	if broken(verdicts) {
		code = exitBroken
	}
	return w.conclude("watch", code, stdout, stderr)
}

func parseWatch(args []string, stderr io.Writer) (*watched, error) {
	var w watched
	flags := w.commonFlags("drill watch")
	flags.Var(&w.targets, "target", "`DC=URL`: a datacentre's name and where its collection is asked, such as dc1=https://host:8443/sessions/v1; one for each datacentre at least")
	flags.StringVar(&w.token, "token-file", "", "the `FILE` with the bearer token of a client that may get, set, touch and delete keys that begin with drill:")
	flags.StringVar(&w.ca, "ca", "", "the `FILE` with the CA of the instances' certificates; without it the system's are trusted")
	flags.DurationVar(&w.fence, "fence", time.Minute, "of the collection")
	flags.DurationVar(&w.skew, "skew", 100*time.Millisecond, "how far the instances' clocks may be apart")
	flags.DurationVar(&w.length, "for", 0, "how long to watch; 0: until a line on standard input says end, or it is interrupted")
	flags.DurationVar(&w.standstill, "settle", time.Minute, "how long to wait for pending deletes before the final reads")
	if !parse(flags, args, stderr) {
		return nil, fmt.Errorf("the flags are wrong")
	}
	if names, _ := w.targets.byDC(); len(names) < 2 {
		return nil, fmt.Errorf("give --target once for each datacentre, at least two")
	}
	if w.token == "" {
		return nil, fmt.Errorf("--token-file is missing")
	}
	return &w, nil
}

func rootsOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return x509.SystemCertPool()
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: %s holds no certificate in PEM", file)
	}
	return pool, nil
}

// progressInterval is how often a line is printed while it watches.
const progressInterval = 5 * time.Second

// watch runs the load until commands say end. A line "begin NAME" marks a fault, "end" its end or, without one, the drill's.
func (w *watched) watch(ctx context.Context, roots *x509.CertPool, token string, commands io.Reader, stdout io.Writer) *history.History {
	names, targets := w.targets.byDC()
	began := time.Now()
	r := load.NewRecorder(w.targets, roots, token, began)
	defer r.Close()
	h := &history.History{
		Name: "watch-" + began.Format("20060102-150405"), Seed: w.seed, Began: began, Rate: w.rate, Fence: w.fence, TouchSlack: touchSlack,
		Datacentres: names, Watched: true, Environment: map[string]string{"targets": fmt.Sprint(len(w.targets))},
	}
	stop := make(chan struct{})
	var loaded sync.WaitGroup
	loaded.Go(func() {
		r.Run(load.NewSchedule(w.seed, w.rate, len(names), "drill:"+rand.Text()[:8]+":"), targets, stop)
	})
	fmt.Fprintln(stdout, "watching. Write \"begin NAME\" when you break something, \"end\" when it is whole again, and \"done\" when you are.")
	h.Faults = w.follow(ctx, r, lines(commands), stdout)
	close(stop)
	loaded.Wait()
	fmt.Fprintf(stdout, "waiting %v for what is pending, then reading every key in each datacentre\n", w.standstill)
	sleep(context.WithoutCancel(ctx), w.standstill)
	readAll(r, targets, keysOf(r.Operations()))
	h.Operations = r.Operations()
	return h
}

func lines(from io.Reader) <-chan string {
	all := make(chan string)
	go func() {
		defer close(all)
		for s := bufio.NewScanner(from); s.Scan(); {
			all <- strings.TrimSpace(s.Text())
		}
	}()
	return all
}

// follow notes what the operator says he does, until he is done.
func (w *watched) follow(ctx context.Context, r *load.Recorder, commands <-chan string, stdout io.Writer) (faults []history.Fault) {
	var over <-chan time.Time
	if w.length > 0 {
		over = time.After(w.length)
	}
	progress := time.NewTicker(progressInterval)
	defer progress.Stop()
	var open *history.Fault
	finish := func() {
		if open != nil {
			open.End = r.Now()
			open.Recovered = open.End + w.standstill
			faults = append(faults, *open)
			open = nil
		}
	}
	defer finish()
	for {
		select {
		case <-ctx.Done():
			return faults
		case <-over:
			return faults
		case line, ok := <-commands:
			verb, name, _ := strings.Cut(line, " ")
			switch {
			case !ok:
				commands = nil // there is no terminal: --for, or an interrupt, ends it
			case verb == "begin":
				finish()
				open = &history.Fault{Name: name, Begin: r.Now(), Expect: history.Outage, ClockSkew: w.skew}
			case verb == "end":
				finish()
			case verb == "done":
				return faults
			default:
				fmt.Fprintln(stdout, "write \"begin NAME\", \"end\" or \"done\"")
			}
		case <-progress.C:
			fmt.Fprintln(stdout, progressLine(r.Operations(), r.Now()))
		}
	}
}

// progressLine sums up the last stretch.
func progressLine(operations []history.Operation, now time.Duration) string {
	all, wrong, pending := 0, 0, 0
	for i := range operations {
		o := &operations[i]
		if o.Complete < now-progressInterval {
			continue
		}
		all++
		switch o.Outcome() {
		case history.Failed, history.Unknown:
			if o.Status != 409 {
				wrong++
			}
		case history.Local:
			pending++
		}
	}
	return fmt.Sprintf("%6.0f s: %d operations in %v, %d failed or unknown, %d deletes done here and pending", now.Seconds(), all, progressInterval, wrong, pending)
}
