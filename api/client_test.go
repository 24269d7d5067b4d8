package api

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"userinfo/access"
)

// allMethods are the methods of a collection.
var allMethods = []string{"GET", "PUT", "POST", "PATCH", "DELETE"}

// requestFor returns a valid request of a method for a key, with a token.
func requestFor(method, key string, token access.Token) *http.Request {
	var r *http.Request
	if method == "PUT" || method == "POST" {
		r = httptest.NewRequest(method, "/sessions/v1/"+key, strings.NewReader("value"))
	} else {
		r = httptest.NewRequest(method, "/sessions/v1/"+key, nil)
	}
	r.Header.Set("Authorization", "Bearer "+string(token))
	if method == "PATCH" {
		r.Header.Set("TTL", "60")
	}
	return r
}

// protocols are the protocols of the service.
var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// client returns a client of s for one protocol. It keeps connections and follows no redirects.
func (s *service) client(t testing.TB, protocol string, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetHTTP1(protocol == protocols[0])
	p.SetHTTP2(protocol == protocols[1])
	tr := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: testCA().Pool(), Certificates: certificates},
		Protocols:           &p,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1000,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask describes a request. Without an Authorization header, the request has the token of wiki.
type ask struct {
	method, path string // the path is sent unchanged
	header       http.Header
	body         io.Reader
}

// answer is a complete response.
type answer struct {
	status   int
	header   http.Header
	body     string
	protocol string
	close    bool
}

// as returns a header with a token and other fields.
func as(token access.Token, others ...string) http.Header {
	h := http.Header{"Authorization": {"Bearer " + string(token)}}
	for i := 0; i+1 < len(others); i += 2 {
		h.Add(others[i], others[i+1])
	}
	return h
}

func (a ask) request(s *service) *http.Request {
	r, err := http.NewRequest(a.method, "https://"+s.addr, a.body)
	if err != nil {
		panic(err)
	}
	r.URL.Opaque = a.path // is sent unchanged
	if strings.HasPrefix(a.path, "//") {
		r.URL.Opaque = "https://" + s.addr + a.path // otherwise net/http would take it for an authority
	}
	if r.Header = a.header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	if _, given := r.Header["Authorization"]; !given {
		r.Header.Set("Authorization", "Bearer "+string(wiki))
	}
	if r.Header.Get("Authorization") == "" {
		r.Header.Del("Authorization")
	}
	return r
}

// do sends a request and reads the whole response.
func (s *service) do(c *http.Client, a ask) (answer, error) {
	res, err := c.Do(a.request(s))
	if err != nil {
		return answer{}, err
	}
	return read(res)
}

func read(res *http.Response) (answer, error) {
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, header: res.Header, body: string(body), protocol: res.Proto, close: res.Close}, err
}

// must is like do, but fails the test if there is no response.
func (s *service) must(t testing.TB, c *http.Client, a ask) answer {
	t.Helper()
	got, err := s.do(c, a)
	if err != nil {
		t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	return got
}

// get returns a request for the value of key.
func get(key string) ask { return ask{method: http.MethodGet, path: "/sessions/v1/" + key} }

// put returns a request that sets key to value.
func put(key, value string) ask {
	return ask{method: http.MethodPut, path: "/sessions/v1/" + key, body: strings.NewReader(value)}
}

// serve calls the API directly, without a network. A PUT or POST has a body.
func (s *service) serve(method, path string, header http.Header) answer {
	var r *http.Request
	if method == "PUT" || method == "POST" {
		r = httptest.NewRequest(method, path, strings.NewReader("value"))
	} else {
		r = httptest.NewRequest(method, path, nil)
	}
	r.Header = header
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}

// serveBody serves one request without a server. An empty body means no body.
func (s *service) serveBody(method, path, body string, header http.Header) answer {
	r := httptest.NewRequest(method, path, nil)
	if body != "" {
		r = httptest.NewRequest(method, path, strings.NewReader(body))
	}
	r.Header = header
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}
