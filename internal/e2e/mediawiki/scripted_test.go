//go:build integration

package mediawiki_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"userinfo/internal/devca"
)

// scriptedServer answers each request as the request's URL says. A collection has the URL ORIGIN/ANSWER/ANY-NAME/. ANSWER is
//
//	STATUS            a response without a body, except that a get of a 200 is 7, with 77 seconds left
//	STATUS-PROBLEM    a problem document
//	cut               the connection is closed
//	hang              no response
//
// The key "received" is different: it returns what the collection has received, as JSON.
type scriptedServer struct {
	*httptest.Server
	caFile string

	mu       sync.Mutex
	received map[string][]receivedRequest // by the URL of the collection
}

type receivedRequest struct {
	Method     string            `json:"method"`
	Key        string            `json:"key"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	Connection int64             `json:"connection"`
}

type connectionID struct{}

// numberConnections numbers the connections of a server, in the contexts of their requests.
func numberConnections(s *http.Server) {
	var last atomic.Int64
	s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connectionID{}, last.Add(1))
	}
}

// connectionOf returns the number of a request's connection.
func connectionOf(r *http.Request) int64 {
	n, _ := r.Context().Value(connectionID{}).(int64)
	return n
}

func newScriptedServer(t *testing.T) *scriptedServer {
	t.Helper()
	s := &scriptedServer{received: make(map[string][]receivedRequest)}
	s.Server, s.caFile = newTLSServer(t, s)
	return s
}

// newTLSServer starts a server whose certificate is from a CA of its own. It stops at the end of the test.
func newTLSServer(t *testing.T, h http.Handler) (s *httptest.Server, caFile string) {
	t.Helper()
	dir := t.TempDir()
	ca, err := devca.New("server of the test")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Write(dir, "server", devca.Loopback())
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(dir, "ca.crt")
	write(t, caFile, string(ca.PEM()))
	s = httptest.NewUnstartedServer(h)
	s.TLS = serverTLS(t, cert, key)
	numberConnections(s.Config)
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections() // ends the requests that hang
		s.Close()
	})
	return s, caFile
}

func (s *scriptedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/", 3)
	if len(parts) != 3 {
		http.Error(w, "the URL of a collection is ORIGIN/ANSWER/ANY-NAME/", http.StatusInternalServerError)
		return
	}
	key, _ := url.PathUnescape(parts[2])
	s.record(parts[0]+"/"+parts[1], key, r)
	switch answer := parts[0]; {
	case key == "received":
		s.mu.Lock()
		defer s.mu.Unlock()
		text, err := json.Marshal(s.received[answer+"/"+parts[1]])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(w, "JSON..%s", text)
	case answer == "cut":
		panic(http.ErrAbortHandler)
	case answer == "hang":
		<-r.Context().Done()
	default:
		respond(w, r, answer)
	}
}

// respond writes the response STATUS or STATUS-PROBLEM.
func respond(w http.ResponseWriter, r *http.Request, answer string) {
	number, problem, _ := strings.Cut(answer, "-")
	status, err := strconv.Atoi(number)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("X-Request-Id", "scripted-id")
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "77")
	}
	switch {
	case problem != "":
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"urn:userinfo:problem:%s","title":"t","status":%d,"detail":"scripted"}`, problem, status)
	case status == http.StatusOK && r.Method == http.MethodGet:
		w.Header().Set("TTL", "77")
		_, _ = io.WriteString(w, "JSON..7")
	default:
		w.WriteHeader(status)
	}
}

func (s *scriptedServer) record(collection, key string, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	seen := receivedRequest{Method: r.Method, Key: key, Headers: make(map[string]string), Body: string(body), Connection: connectionOf(r)}
	for name := range r.Header {
		seen.Headers[name] = r.Header.Get(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received[collection] = append(s.received[collection], seen)
}
