package signature

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// change returns a random change of r and body.
func change(t *rapid.T, r Request, body []byte) (Request, []byte) {
	r.Header = r.Header.Clone()
	body = bytes.Clone(body)
	replace := func(name string) {
		was := r.Header.Get(name)
		i := rapid.IntRange(0, len(was)-1).Draw(t, "where")
		r.Header.Set(name, was[:i]+another(t, was[i])+was[i+1:])
	}
	kinds := []string{"method", "authority", "path", "query", "TTL", "input", "signature", "body"}
	if len(body) > 0 {
		kinds = append(kinds, "digest", "less")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "change") {
	case "method":
		r.Method += "X"
	case "authority":
		r.Authority = "x" + r.Authority
	case "path":
		i := rapid.IntRange(0, len(r.Path)-1).Draw(t, "where")
		r.Path = r.Path[:i] + another(t, r.Path[i]) + r.Path[i+1:]
	case "query":
		if r.Query == "" && rapid.Bool().Draw(t, "presence") {
			r.HasQuery = !r.HasQuery
		} else {
			r.Query, r.HasQuery = r.Query+"x", true
		}
	case "TTL":
		r.Header.Set("Ttl", r.Header.Get("Ttl")+"1")
	case "input":
		replace("Signature-Input")
	case "signature":
		r.Header.Set("Signature", flipped(r.Header.Get("Signature")))
	case "digest":
		replace("Content-Digest")
	case "body":
		body, r.HasBody = append(body, 0), true
	case "less":
		body = body[:len(body)-1]
		r.HasBody = len(body) > 0
	}
	return r, body
}

func another(t *rapid.T, c byte) string {
	return string(rapid.ByteRange('!', '~').Filter(func(b byte) bool { return b != c }).Draw(t, "character"))
}

// service runs a TLS server that verifies requests with the keys of the tests.
func service(t *testing.T) (*httptest.Server, *http.Client) {
	t.Helper()
	v := NewVerifier(Config{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, query, hasQuery := strings.Cut(r.RequestURI, "?")
		got, err := v.Verify(Request{
			Method: r.Method, Authority: r.Host, Path: path, Query: query, HasQuery: hasQuery, Header: r.Header, HasBody: r.ContentLength != 0,
		}, find)
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(r.Body); err == nil {
				err = got.CheckBody(body)
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, got.KeyID())
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, s.Client()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSigner_SignedRequestVerifiesUnlessChanged signs and changes random requests.
func TestSigner_SignedRequestVerifiesUnlessChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]SigningKey{hmacKey, edKey}).Draw(t, "key")
		method := rapid.StringMatching(`[A-Z]{1,8}`).Draw(t, "method")
		u := "https://" + rapid.StringMatching(`[a-z][a-z0-9.-]{0,20}(:[1-9][0-9]{0,3})?`).Draw(t, "authority") +
			rapid.StringMatching(`(/([A-Za-z0-9._~:@!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){0,12}){1,4}(\?[A-Za-z0-9%25=&?/]{0,10})?`).Draw(t, "path")
		body := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "body")
		r, err := http.NewRequest(method, u, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "TTL") {
			r.Header.Set("TTL", rapid.StringMatching(`[0-9]{1,6}`).Draw(t, "seconds"))
		}
		if err := (Signer{Key: key, Now: at(noon)}).Sign(r, body); err != nil {
			t.Fatal(err)
		}
		got, err := NewVerifier(Config{Now: at(noon)}).Verify(received(r, body), find)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.CheckBody(body); err != nil {
			t.Fatal(err)
		}
		changed, changedBody := change(t, received(r, body), body)
		got, err = NewVerifier(Config{Now: at(noon)}).Verify(changed, find)
		if err == nil {
			err = got.CheckBody(changedBody)
		}
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRefused) {
			t.Fatalf("a changed request verifies: %v", err)
		}
	})
}

func TestTransport_SignsWhatNetHTTPSends(t *testing.T) {
	s, client := service(t)
	for _, key := range []SigningKey{hmacKey, edKey} {
		signing := &http.Client{Transport: &Transport{Signer: Signer{Key: key}, Base: client.Transport}}
		for _, c := range []struct {
			method, path string
			body         io.Reader
			header       http.Header
		}{
			{"GET", "/sessions/v1/enwiki%3Asession%3A1%2Fx", nil, nil},
			{"GET", "/a//../b?x=%20&y", http.NoBody, nil},
			{"GET", `/"<^|>ä b`, nil, nil}, // net/http escapes it, and the escaped form is signed
			{"GET", "", nil, nil},
			{"PUT", "/k", strings.NewReader("who=alice"), http.Header{"Ttl": {"60"}}},
			{"PUT", "/k", io.MultiReader(strings.NewReader("of unknown "), strings.NewReader("length")), nil},
			{"PUT", "/k", strings.NewReader(""), nil},
			{"PATCH", "/k", nil, http.Header{"Ttl": {"60"}, "Signature": {"old"}, "Signature-Input": {"old"}, "Content-Digest": {"old"}}},
			{"DELETE", "/k", nil, nil},
		} {
			r, err := http.NewRequest(c.method, s.URL+c.path, c.body)
			if err != nil {
				t.Fatal(err)
			}
			if c.header != nil {
				r.Header = c.header
			}
			before := r.Header.Clone()
			resp, err := signing.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			said, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || string(said) != key.ID() || resp.ProtoMajor != 2 {
				t.Errorf("%s %s: %d %s %s", c.method, c.path, resp.StatusCode, resp.Proto, said)
			}
			if len(before) != len(r.Header) {
				t.Errorf("%s %s: the request was changed: %v", c.method, c.path, r.Header)
			}
		}
	}
	resp, err := client.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("an unsigned request: %d", resp.StatusCode)
	}
}

func TestSigner_ReplacesOldSignature(t *testing.T) {
	r := httptest.NewRequest("PUT", target, nil)
	s := Signer{Key: hmacKey, Now: at(noon)}
	if err := s.Sign(r, body); err != nil {
		t.Fatal(err)
	}
	before := r.Header.Clone()
	if err := s.Sign(r, nil); err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("Signature") == before.Get("Signature") || len(r.Header["Signature"]) != 1 || len(r.Header["Signature-Input"]) != 1 || len(r.Header["Content-Digest"]) != 0 {
		t.Errorf("the headers are %v", r.Header)
	}
}

func TestTransport_SendsNothingUnsigned(t *testing.T) {
	sent := 0
	next := roundTripper(func(*http.Request) (*http.Response, error) { sent++; return nil, errors.New("sent") })
	bad := &Transport{Signer: Signer{}, Base: next}
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.RoundTrip(r); err == nil || sent != 0 {
		t.Errorf("without a key: %v, sent %d times", err, sent)
	}
	broken := errors.New("broken")
	r.Body = io.NopCloser(iotest.ErrReader(broken))
	if _, err := (&Transport{Signer: Signer{Key: hmacKey}, Base: next}).RoundTrip(r); !errors.Is(err, broken) || sent != 0 {
		t.Errorf("unreadable body: %v, sent %d times", err, sent)
	}
}

func TestSigner_ErrorLeavesRequestUnchanged(t *testing.T) {
	for name, c := range map[string]struct {
		signer Signer
		r      *http.Request
	}{
		"no key":          {Signer{}, httptest.NewRequest("GET", target, nil)},
		"no URL":          {Signer{Key: hmacKey}, &http.Request{}},
		"not TLS":         {Signer{Key: hmacKey}, httptest.NewRequest("GET", "http://h/MARKED", nil)},
		"no host":         {Signer{Key: hmacKey}, &http.Request{URL: &url.URL{Scheme: "https", Path: "/MARKED"}}},
		"a host in UTF-8": {Signer{Key: hmacKey}, &http.Request{URL: &url.URL{Scheme: "https", Host: "ä.example", Path: "/MARKED"}}},
		"a method":        {Signer{Key: hmacKey}, &http.Request{Method: "G ET", URL: &url.URL{Scheme: "https", Host: "h", Path: "/MARKED"}}},
		"an opaque URL":   {Signer{Key: hmacKey}, &http.Request{URL: &url.URL{Scheme: "https", Host: "h", Opaque: "MARKED"}}},
		"no randomness":   {Signer{Key: hmacKey, Random: strings.NewReader("")}, httptest.NewRequest("GET", target, nil)},
	} {
		err := c.signer.Sign(c.r, body)
		if err == nil || len(c.r.Header) > 0 {
			t.Errorf("%s: %v, %v", name, err, c.r.Header)
		} else if strings.Contains(err.Error(), "MARKED") {
			t.Errorf("%s: the error shows the path: %v", name, err)
		}
	}
}
