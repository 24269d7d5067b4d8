package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"userinfo/drill/history"
	"userinfo/internal/openloop"
)

// ClientTimeout is the time after which a client gives up, as MediaWiki does.
const ClientTimeout = 3 * time.Second

// idleTimeout is when a client closes an idle connection. It must be earlier than the service does (limits.idle_timeout): a
// request that is sent while the service closes its connection is lost.
const idleTimeout = 30 * time.Second

// Limits of concurrent requests.
const (
	runWorkers   = 4096
	floodWorkers = 24
	readWorkers  = 24
)

// Target is an instance of the service, or a load balancer in front of several instances.
type Target struct {
	Name string
	DC   string
	URL  func() string // URL of the collection with a slash at the end; called for each request
	Run  func() int    // number of starts of the instance; nil if unknown
}

// Recorder sends operations and records them. Its methods are safe for concurrent use.
type Recorder struct {
	clients map[string]*http.Client // by target
	token   string
	tokens  map[string]string // by client of passwords
	epoch   time.Time

	mu          sync.Mutex // guards the fields below
	lastID      int64
	operations  []history.Operation
	resetTokens map[int64]string // by the operation that made them
}

// NewRecorder returns a recorder for some targets. The history starts at epoch.
func NewRecorder(targets []Target, roots *x509.CertPool, token string, epoch time.Time) *Recorder {
	r := &Recorder{clients: make(map[string]*http.Client), token: token, epoch: epoch, resetTokens: make(map[int64]string)}
	for _, t := range targets {
		r.clients[t.Name] = &http.Client{
			Timeout: ClientTimeout,
			Transport: &http.Transport{
				TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
				MaxIdleConnsPerHost: 128,
				IdleConnTimeout:     idleTimeout,
				TLSHandshakeTimeout: ClientTimeout,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return r
}

// UseTokens makes the recorder send the operations of named clients with tokens of their own.
func (r *Recorder) UseTokens(byClient map[string]string) { r.tokens = byClient }

// Close closes idle connections.
func (r *Recorder) Close() {
	for _, c := range r.clients {
		c.CloseIdleConnections()
	}
}

// Now returns the time since the start of the history.
func (r *Recorder) Now() time.Duration { return time.Since(r.epoch) }

// Operations returns all operations that are complete, in no particular order.
func (r *Recorder) Operations() []history.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.operations)
}

// DueSince returns the operations that were due at t or later and are complete, in no particular order.
func (r *Recorder) DueSince(t time.Duration) (some []history.Operation) {
	const unordered = time.Second // recorded operations are in the order of Complete, give or take this time
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.operations) - 1; i >= 0 && r.operations[i].Complete >= t-unordered; i-- {
		if o := r.operations[i]; o.Due >= t {
			some = append(some, o)
		}
	}
	return some
}

// Run sends the operations of a schedule until ctx is done. It returns when every operation is complete. targets are
// grouped by datacentre, in the order that the schedule uses.
func (r *Recorder) Run(ctx context.Context, s *Schedule, targets [][]Target) {
	next := func() (Planned, time.Duration, bool) {
		p := s.Next()
		return p, p.Due, true
	}
	openloop.Run(ctx, runWorkers, next, func(q openloop.Request[Planned]) {
		p := q.Value
		local := targets[p.DC]
		r.Do(local[p.Pick%len(local)], history.Operation{Due: q.Due.Sub(r.epoch), Method: p.Method, Key: p.Key, TTL: p.TTL, Pinned: p.Pinned})
	})
}

// Flood sends up to rate operations per second to targets until ctx is done. It sends fewer if all its workers wait for
// answers. next returns operation n.
func (r *Recorder) Flood(ctx context.Context, targets []Target, rate int, next func(n int) history.Operation) {
	n := -1
	schedule := func() (history.Operation, time.Duration, bool) {
		n++
		return next(n), time.Duration(n) * time.Second / time.Duration(rate), true
	}
	openloop.Run(ctx, floodWorkers, schedule, func(q openloop.Request[history.Operation]) {
		o := q.Value
		o.Due = r.Now()
		r.Do(targets[q.Worker%len(targets)], o)
	})
}

// ReadAll reads each key that was ever set, once in each datacentre. The reads are recorded as final.
func (r *Recorder) ReadAll(targets [][]Target) {
	var readers errgroup.Group
	readers.SetLimit(readWorkers)
	for _, key := range r.Keys() {
		readers.Go(func() error {
			for _, local := range targets {
				due := r.Now()
				r.Do(local[int(due)%len(local)], history.Operation{Due: due, Method: history.Get, Key: key, Final: true})
			}
			return nil
		})
	}
	_ = readers.Wait()
}

// Keys returns every key that a set was sent for.
func (r *Recorder) Keys() []string {
	keys := make(map[string]bool)
	for _, o := range r.Operations() {
		if o.Method == history.Set {
			keys[o.Key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// Do sends one operation, records it and returns the record.
func (r *Recorder) Do(t Target, o history.Operation) history.Operation {
	r.mu.Lock()
	r.lastID++
	o.ID = r.lastID
	r.mu.Unlock()
	o.DC, o.Instance = t.DC, t.Name
	switch o.Method {
	case history.Set, history.Create, history.Change, history.Redeem:
		o.Version = o.ID
	}
	o.Invoke = r.Now()
	if err := r.send(t, &o); err != nil {
		o.Status, o.Error = 0, withoutURL(err)
	}
	o.Complete = r.Now()
	if t.Run != nil {
		o.Run = t.Run()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = append(r.operations, o)
	return o
}

var httpMethods = map[history.Method]string{
	history.Get: http.MethodGet, history.Set: http.MethodPut, history.Touch: http.MethodPatch, history.Delete: http.MethodDelete,
}

// send sends o and records the answer in it.
func (r *Recorder) send(t Target, o *history.Operation) error {
	request, err := r.newRequest(t, o)
	if err != nil {
		return err
	}
	answer, err := r.clients[t.Name].Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	o.Status = answer.StatusCode
	switch {
	case o.Status >= 400:
		o.Problem = problemType(text)
	case o.Method == history.Get:
		o.Version, o.OfKey = ParseValue(string(text))
		o.TTL, _ = strconv.Atoi(answer.Header.Get("TTL"))
	case o.Method == history.Token:
		return r.keepResetToken(o.ID, text)
	}
	return nil
}

// newRequest returns the request of an operation. An operation with a client is one on a password.
func (r *Recorder) newRequest(t Target, o *history.Operation) (request *http.Request, err error) {
	token := r.token
	if o.Client != "" {
		token = r.tokens[o.Client]
		request, err = r.newPasswordRequest(o).newRequest(t, o.Key)
	} else {
		body := ""
		if o.Method == history.Set {
			body = makeValue(o.Key, o.Version)
		}
		request, err = newRequest(httpMethods[o.Method], t.URL()+url.PathEscape(o.Key), body)
	}
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if o.TTL > 0 {
		request.Header.Set("TTL", strconv.Itoa(o.TTL))
	}
	return request, nil
}

// newRequest returns a request that net/http does not send a second time.
func newRequest(method, url, body string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err == nil {
		request.GetBody = nil
	}
	return request, err
}

// problemType returns the last part of the type of an RFC 9457 problem, or "none".
func problemType(text []byte) string {
	var p struct{ Type string }
	if json.Unmarshal(text, &p) != nil || p.Type == "" {
		return "none"
	}
	return p.Type[strings.LastIndexByte(p.Type, ':')+1:]
}

// withoutURL returns the text of an error without the URL, which contains the key.
func withoutURL(err error) string {
	if e, ok := err.(*url.Error); ok {
		return e.Err.Error()
	}
	return err.Error()
}
