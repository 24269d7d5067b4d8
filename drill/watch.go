package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
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
	var w watched
	if !parse(w.flags(), args, stderr) {
		return exitUsage
	}
	if err := w.check(); err != nil {
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
	credential := strings.TrimSpace(string(token))
	if err := w.try(roots, credential); err != nil {
		fmt.Fprintln(stderr, "drill watch: nothing was watched:", err)
		return exitFailed
	}
	if err := w.prepare(stdout); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	h := w.watch(ctx, roots, credential, os.Stdin, stdout)
	verdicts := judge.Evaluate(h)
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

// flags are not those of settings, as watch breaks nothing itself.
func (w *watched) flags() *flag.FlagSet {
	flags := w.commonFlags("drill watch")
	flags.Var(&w.targets, "target", "`DC=URL`: a datacentre's name and where its collection is asked, such as dc1=https://host:8443/sessions/v1; one for each datacentre at least")
	flags.StringVar(&w.token, "token-file", "", "the `FILE` with the bearer token of a client that may get, set, touch and delete keys that begin with drill:")
	flags.StringVar(&w.ca, "ca", "", "the `FILE` with the CA of the instances' certificates; without it the system's are trusted")
	flags.DurationVar(&w.fence, "fence", time.Minute, "of the collection")
	flags.DurationVar(&w.skew, "skew", 100*time.Millisecond, "how far the instances' clocks may be apart")
	flags.DurationVar(&w.length, "for", 0, "how long to watch; 0: until a line on standard input says done, or it is interrupted")
	flags.DurationVar(&w.standstill, "settle", time.Minute, "how long to wait for pending deletes before the final reads")
	return flags
}

// check says what is missing.
func (w *watched) check() error {
	if names, _ := w.targets.byDC(); len(names) < 2 {
		return errors.New("give --target once for each datacentre, at least two")
	}
	if w.token == "" {
		return errors.New("--token-file is missing")
	}
	return nil
}

// try asks each target, while all is whole, for what the load will ask it: where every answer is a refusal no promise can be
// seen broken, and the verdict would be worth nothing.
func (w *watched) try(roots *x509.CertPool, token string) error {
	r := load.NewRecorder(w.targets, roots, token, time.Now())
	defer r.Close()
	var errs []error
	for _, target := range w.targets {
		key := "drill:" + rand.Text()
		for _, method := range []history.Method{history.Set, history.Touch, history.Get, history.Delete} {
			ttl := 0
			if method == history.Set || method == history.Touch {
				ttl = load.LongestTTL
			}
			o := r.Do(target, history.Operation{Method: method, Key: key, TTL: ttl})
			if o.Outcome() == history.OK && !o.Absent() || o.Outcome() == history.Local {
				continue
			}
			errs = append(errs, fmt.Errorf("--target %s=%s: %s was answered %s; %s", target.DC, strings.TrimSuffix(target.URL(), "/"), method, answerOf(o), remedy(o)))
			break
		}
	}
	return errors.Join(errs...)
}

func answerOf(o history.Operation) string {
	if o.Status == 0 {
		return "not at all (" + o.Error + ")"
	}
	return fmt.Sprintf("%d %s", o.Status, o.Problem)
}

// remedy is what to change where an installation that is whole answers o.
func remedy(o history.Operation) string {
	switch {
	case o.Status == 0:
		return "are the address and --ca right?"
	case o.Status == http.StatusUnauthorized:
		return "is the token in --token-file one that is good there, and from here?"
	case o.Status == http.StatusForbidden:
		return `its client needs the grants to get, set, touch and delete, and keys: ["drill:*"]`
	case o.Status == http.StatusBadRequest && o.TTL > 0:
		return fmt.Sprintf("the collection's max_ttl must be at least %ds", load.LongestTTL)
	case o.Status == http.StatusNotFound:
		return "the URL is that of the collection, without a key"
	}
	return "begin when the installation is whole"
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
