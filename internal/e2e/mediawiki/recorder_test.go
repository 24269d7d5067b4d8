//go:build integration

package mediawiki_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"userinfo/internal/e2e/devserver"
)

// recorder is a TLS proxy in front of a service. It records the requests of a wiki, and a test can hold them or answer them.
type recorder struct {
	url    string // of the collection, with a slash at the end
	caFile string
	target string // URL of the collection in the service, without the recorder

	proxy *httputil.ReverseProxy
	path  string // of the collection

	mu        sync.Mutex
	seen      []storeRequest
	intercept func(w http.ResponseWriter, r *http.Request) (answered bool)
}

// storeRequest is one request of the wiki to the service.
type storeRequest struct {
	Method, Key, TTL, RequestID string
	Status                      int
	Connection                  int64
}

func newRecorder(t *testing.T, s *devserver.Server) *recorder {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(s.CAFile)
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("the service's CA: %v", err)
	}
	r := &recorder{path: target.Path + "/", target: s.URL}
	r.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "https", target.Host, target.Host
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 16},
	}
	server, caFile := newTLSServer(t, r)
	r.url, r.caFile = server.URL+r.path, caFile
	return r
}

// statusWriter keeps the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	key, err := url.PathUnescape(strings.TrimPrefix(q.URL.EscapedPath(), r.path))
	if err != nil {
		panic(err)
	}
	seen := storeRequest{Method: q.Method, Key: key, TTL: q.Header.Get("TTL"), RequestID: q.Header.Get("X-Request-Id"), Connection: connectionOf(q)}
	r.mu.Lock()
	intercept := r.intercept
	r.mu.Unlock()
	status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	if intercept == nil || !intercept(status, q) {
		r.proxy.ServeHTTP(status, q)
	}
	seen.Status = status.status
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, seen)
}

// take returns what was recorded since the last call.
func (r *recorder) take() []storeRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// setIntercept sets the function that each request is first given to, or removes it. The function may wait.
func (r *recorder) setIntercept(f func(w http.ResponseWriter, r *http.Request) (answered bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.intercept = f
}

// answer makes every request with this method get an answer as of the scripted server, such as 503-unavailable.
func (r *recorder) answer(method, answer string) {
	r.setIntercept(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method == method {
			respond(w, q, answer)
		}
		return q.Method == method
	})
}

// matching returns the requests with one of these methods, for a key that contains part.
func matching(requests []storeRequest, part string, methods ...string) (found []storeRequest) {
	for _, q := range requests {
		for _, m := range methods {
			if q.Method == m && strings.Contains(q.Key, part) {
				found = append(found, q)
			}
		}
	}
	return found
}
