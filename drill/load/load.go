package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"userinfo/drill/history"
)

// Patience is MediaWiki's: what takes longer has failed for it.
const Patience = 3 * time.Second

// maxFlying bounds operations under way, so that a generator that cannot keep up ends rather than the machine.
const maxFlying = 20000

// Target is an instance, or a balancer before several.
type Target struct {
	Name string
	DC   string
	URL  func() string // of the collection, ending in a slash; asked anew for each request
	Run  func() int    // counts the starts of the instance behind it, where that is known
}

// Recorder sends operations and writes them down. Its methods are safe for concurrent use.
type Recorder struct {
	clients map[string]*http.Client
	token   string
	epoch   time.Time

	mu         sync.Mutex // guards what follows
	last       int64
	operations []history.Operation
	answers    map[Answer]int
}

// Answer is what clients count of an instance's answers.
type Answer struct {
	Instance string
	Run      int
	Method   history.Method
	Status   int
}

// NewRecorder makes the clients of some targets. epoch is when the history begins.
func NewRecorder(targets []Target, roots *x509.CertPool, token string, epoch time.Time) *Recorder {
	r := &Recorder{clients: make(map[string]*http.Client), token: token, epoch: epoch, answers: make(map[Answer]int)}
	for _, t := range targets {
		r.clients[t.Name] = &http.Client{
			Timeout: Patience,
			Transport: &http.Transport{
				TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
				MaxIdleConnsPerHost: 128,
				TLSHandshakeTimeout: Patience,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return r
}

// Close ends idle connections.
func (r *Recorder) Close() {
	for _, c := range r.clients {
		c.CloseIdleConnections()
	}
}

// Now is the history's time.
func (r *Recorder) Now() time.Duration { return time.Since(r.epoch) }

// Operations are those that are complete, in no order.
func (r *Recorder) Operations() []history.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]history.Operation(nil), r.operations...)
}

// Answers count what the clients were answered; 0 where there was no answer.
func (r *Recorder) Answers() map[Answer]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[Answer]int, len(r.answers))
	for a, n := range r.answers {
		all[a] = n
	}
	return all
}

// Run sends what the schedule plans until stop is closed, and returns when all is answered or given up. targets are by
// datacentre.
func (r *Recorder) Run(s *Schedule, targets [][]Target, stop <-chan struct{}) {
	var flying sync.WaitGroup
	defer flying.Wait()
	places := make(chan struct{}, maxFlying)
	begin := r.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p := s.Next()
		due := begin + p.Due
		timer.Reset(due - r.Now())
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		select {
		case <-stop:
			return
		case places <- struct{}{}:
		}
		of := targets[p.DC]
		target := of[p.Pick%len(of)]
		flying.Go(func() {
			defer func() { <-places }()
			r.Do(target, history.Operation{Due: due, Method: p.Method, Key: p.Key, TTL: p.TTL, Pinned: p.Pinned})
		})
	}
}

// Do sends one operation and writes it down. It returns it as it was written.
func (r *Recorder) Do(t Target, o history.Operation) history.Operation {
	r.mu.Lock()
	r.last++
	o.ID = r.last
	r.mu.Unlock()
	o.DC, o.Instance = t.DC, t.Name
	if o.Method == history.Set {
		o.Version = o.ID
	}
	o.Invoke = r.Now()
	r.send(t, &o)
	o.Complete = r.Now()
	run := 0
	if t.Run != nil {
		run = t.Run()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = append(r.operations, o)
	r.answers[Answer{t.Name, run, o.Method, o.Status}]++
	return o
}

var verbs = map[history.Method]string{
	history.Get: http.MethodGet, history.Set: http.MethodPut, history.Touch: http.MethodPatch, history.Delete: http.MethodDelete,
}

func (r *Recorder) send(t Target, o *history.Operation) {
	body := ""
	if o.Method == history.Set {
		body = makeValue(o.Key, o.Version)
	}
	request, err := http.NewRequestWithContext(context.Background(), verbs[o.Method], t.URL()+url.PathEscape(o.Key), strings.NewReader(body))
	if err != nil {
		o.Error = err.Error()
		return
	}
	request.GetBody = nil // a request that was sent is never sent again behind the recorder's back
	request.Header.Set("Authorization", "Bearer "+r.token)
	if o.TTL > 0 {
		request.Header.Set("TTL", strconv.Itoa(o.TTL))
	}
	answer, err := r.clients[t.Name].Do(request)
	if err != nil {
		o.Error = reason(err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		o.Error = reason(err)
		return
	}
	o.Status = answer.StatusCode
	if o.Status >= 400 {
		o.Problem = problemOf(text)
		return
	}
	if o.Method == history.Get {
		o.Version, o.OfKey = ParseValue(string(text))
		o.TTL, _ = strconv.Atoi(answer.Header.Get("TTL"))
	}
}

// problemOf is the last part of the problem's type.
func problemOf(text []byte) string {
	var p struct{ Type string }
	if json.Unmarshal(text, &p) != nil || p.Type == "" {
		return "none"
	}
	return p.Type[strings.LastIndexByte(p.Type, ':')+1:]
}

// reason is an error without the URL, which has the key in it.
func reason(err error) string {
	if e, ok := err.(*url.Error); ok {
		return e.Err.Error()
	}
	return err.Error()
}
