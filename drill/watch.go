package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/load"
	"userinfo/drill/report"
	"userinfo/internal/keyfile"
)

// watchSettings are the flags of drill watch.
type watchSettings struct {
	settings
	targets    targetList
	tokenFile  string
	caFile     string
	fence      time.Duration
	skew       time.Duration
	settleTime time.Duration
	length     time.Duration
}

// targetList is the value of the repeated flag -target DC=URL.
type targetList []load.Target

// Set adds a target.
func (t *targetList) Set(text string) error {
	dc, base, ok := strings.Cut(text, "=")
	if !ok || dc == "" || !strings.HasPrefix(base, "https://") {
		return errors.New("write it like dc1=https://host:port/sessions/v1")
	}
	base = strings.TrimSuffix(base, "/") + "/"
	*t = append(*t, load.Target{Name: fmt.Sprintf("%s-%d", dc, len(*t)+1), DC: dc, URL: func() string { return base }})
	return nil
}

// byDatacentre groups the targets by datacentre, in the order in which the datacentres were named.
func (t targetList) byDatacentre() (names []string, grouped [][]load.Target) {
	for _, target := range t {
		n := slices.Index(names, target.DC)
		if n < 0 {
			n = len(names)
			names, grouped = append(names, target.DC), append(grouped, nil)
		}
		grouped[n] = append(grouped[n], target)
	}
	return names, grouped
}

func setupWatch(flags *flag.FlagSet) runFunc {
	var w watchSettings
	w.defineLoad(flags)
	flags.Func("target", "`DC=URL` of a collection, such as dc1=https://host:8443/sessions/v1; at least one for each datacentre", w.targets.Set)
	flags.StringVar(&w.tokenFile, "token-file", "", "`FILE` with the bearer token of a client that may get, set, touch and delete keys that start with drill:")
	flags.StringVar(&w.caFile, "ca", "", "`FILE` with the CA of the instances' certificates; by default the system's CAs are trusted")
	flags.DurationVar(&w.fence, "fence", time.Minute, "fence of the collection")
	flags.DurationVar(&w.skew, "skew", 100*time.Millisecond, "largest clock difference between instances")
	flags.DurationVar(&w.length, "for", 0, "how long to watch; 0 means until \"done\" on standard input or an interrupt")
	flags.DurationVar(&w.settleTime, "settle", time.Minute, "how long to wait for pending deletes before the final reads")
	return func(ctx context.Context, _ []string, stdout, _ io.Writer) (int, error) {
		roots, token, err := w.load()
		if err != nil {
			return 0, usageError(err.Error())
		}
		if err := w.tryTargets(roots, token); err != nil {
			return 0, fmt.Errorf("the installation does not accept the load, so nothing was watched: %w", err)
		}
		if err := w.prepare(stdout); err != nil {
			return 0, err
		}
		h := w.watch(ctx, roots, token, os.Stdin, stdout)
		if err := w.saveHistory(h); err != nil {
			return 0, err
		}
		summary, err := w.judge(h, stdout)
		if err != nil {
			return 0, err
		}
		if promiseBroken(summary.Verdicts) {
			return w.finish(exitBroken, stdout)
		}
		return w.finish(exitOK, stdout)
	}
}

// load checks the flags and reads the files that they name.
func (w *watchSettings) load() (roots *x509.CertPool, token string, err error) {
	if names, _ := w.targets.byDatacentre(); len(names) < 2 {
		return nil, "", errors.New("use --target once for each datacentre, with at least two datacentres")
	}
	if w.tokenFile == "" {
		return nil, "", errors.New("--token-file is missing")
	}
	token, err = keyfile.Read(w.tokenFile, func(text []byte) (string, error) { return strings.TrimSpace(string(text)), nil })
	if err != nil {
		return nil, "", fmt.Errorf("--token-file: %w", err)
	}
	if w.caFile == "" {
		roots, err = x509.SystemCertPool()
		return roots, token, err
	}
	certificates, err := os.ReadFile(w.caFile)
	if err != nil {
		return nil, "", fmt.Errorf("--ca: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificates) {
		return nil, "", fmt.Errorf("--ca: %s contains no PEM certificate", w.caFile)
	}
	return roots, token, nil
}

// tryTargets sends each kind of operation to each target before any fault. If the service refuses the load, no promise can be
// seen broken and the verdict would be worthless. tryTargets fails closed: it accepts only successful answers.
func (w *watchSettings) tryTargets(roots *x509.CertPool, token string) error {
	r := load.NewRecorder(w.targets, roots, token, time.Now())
	defer r.Close()
	var errs []error
	for _, target := range w.targets {
		key := "drill:" + rand.Text()
		for _, o := range []history.Operation{
			{Method: history.Set, Key: key, TTL: load.LongestTTL}, {Method: history.Touch, Key: key, TTL: load.LongestTTL},
			{Method: history.Get, Key: key}, {Method: history.Delete, Key: key},
		} {
			o = r.Do(target, o)
			if o.Outcome() == history.OK && !o.Absent() || o.Outcome() == history.Local {
				continue
			}
			errs = append(errs, fmt.Errorf("--target %s=%s: %s was answered %d %s; %s", target.DC, strings.TrimSuffix(target.URL(), "/"), o.Method, o.Status, o.Problem+o.Error, cmp.Or(advice[o.Status], "start when the installation works")))
			break
		}
	}
	return errors.Join(errs...)
}

// advice says what to do about a wrong status. 0 means that there was no answer.
var advice = map[int]string{
	0:                       "check the address and --ca",
	http.StatusUnauthorized: "check that the token in --token-file is valid there and for this network",
	http.StatusForbidden:    `the client needs the grants to get, set, touch and delete, and keys: ["drill:*"]`,
	http.StatusBadRequest:   fmt.Sprintf("the collection's max_ttl must be at least %ds", load.LongestTTL),
	http.StatusNotFound:     "the URL must be the URL of the collection, without a key",
}

// progressInterval is the time between two lines of progress.
const progressInterval = 5 * time.Second

// watch runs the load until the operator is done, waits for pending deletes, and reads every key.
func (w *watchSettings) watch(ctx context.Context, roots *x509.CertPool, token string, commands io.Reader, stdout io.Writer) *history.History {
	names, targets := w.targets.byDatacentre()
	began := time.Now()
	r := load.NewRecorder(w.targets, roots, token, began)
	defer r.Close()
	h := &history.History{
		Name: "watch-" + began.Format("20060102-150405"), Seed: w.seed, Began: began, Rate: w.rate, Fence: w.fence, TouchSlack: touchSlack,
		Datacentres: names, Watched: true, Environment: map[string]string{"targets": fmt.Sprint(len(w.targets))},
	}
	stopLoad := runLoad(ctx, r, w.seed, w.rate, "drill", targets)
	fmt.Fprintln(stdout, `watching; write "begin NAME" when you inject a fault, "end" when you have removed it, and "done" at the end`)
	h.Faults = w.follow(ctx, r, readLines(commands), stdout)
	stopLoad()
	fmt.Fprintf(stdout, "waiting %v for pending deletes, then reading every key in each datacentre\n", w.settleTime)
	_ = sleep(context.WithoutCancel(ctx), w.settleTime)
	r.ReadAll(targets)
	h.Operations = r.Operations()
	return h
}

func readLines(from io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(from); s.Scan(); {
			lines <- strings.TrimSpace(s.Text())
		}
	}()
	return lines
}

// follow records the faults that the operator announces, until the operator is done, -for is over or ctx is done.
func (w *watchSettings) follow(ctx context.Context, r *load.Recorder, commands <-chan string, stdout io.Writer) (faults []history.Fault) {
	var over <-chan time.Time
	if w.length > 0 {
		over = time.After(w.length)
	}
	progress := time.NewTicker(progressInterval)
	defer progress.Stop()
	var active *history.Fault
	end := func() {
		if active != nil {
			active.End = r.Now()
			active.Recovered = active.End + w.settleTime
			faults = append(faults, *active)
			active = nil
		}
	}
	defer end()
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
				commands = nil // standard input is closed; -for or an interrupt ends the drill
			case verb == "begin":
				end()
				active = &history.Fault{Name: name, Begin: r.Now(), Expect: history.Outage, ClockSkew: w.skew}
			case verb == "end":
				end()
			case verb == "done":
				return faults
			default:
				fmt.Fprintln(stdout, `write "begin NAME", "end" or "done"`)
			}
		case <-progress.C:
			fmt.Fprintln(stdout, progressLine(r.Operations(), r.Now()))
		}
	}
}

// progressLine describes the operations of the last progressInterval.
func progressLine(operations []history.Operation, now time.Duration) string {
	var t report.Tally
	for i := range operations {
		if operations[i].Complete >= now-progressInterval {
			t.Count(&operations[i])
		}
	}
	return fmt.Sprintf("%6.0f s: %d operations in %v, %d failed or unknown, %d deletes pending elsewhere", now.Seconds(), t.All, progressInterval, t.Errors, t.Pending)
}
