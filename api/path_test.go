package api

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// escape returns key with every byte percent-encoded.
func escape(key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// spellings lists path segments and the keys that they mean.
var spellings = []struct{ sent, key string }{
	{"plain", "plain"},
	{"enwiki%3AMWSession%3Aabc", "enwiki:MWSession:abc"},
	{"enwiki:MWSession:abc", "enwiki:MWSession:abc"},
	{"a%2Fb", "a/b"}, {"a%2fb", "a/b"}, {"%2F", "/"}, {"%2F%2F", "//"}, {"%2Fetc%2Fpasswd", "/etc/passwd"},
	{"a%25b", "a%b"}, {"%2525", "%25"}, {"%252F", "%2F"}, {"100%25", "100%"},
	{"%00", "\x00"}, {"a%00b", "a\x00b"}, {"%0D%0A", "\r\n"}, {"%7F", "\x7f"},
	{".", "."}, {"..", ".."}, {"...", "..."}, {"%2E%2E", ".."}, {"..%2F..", "../.."}, {"%2e%2e%2fhealthz", "../healthz"},
	{"a%20b", "a b"}, {"%20", " "}, {"a+b", "a+b"}, {"%2B", "+"},
	{"%C3%BC", "ü"}, {"\u00fc", "ü"}, {"%F0%9F%8D%AA", "🍪"}, {"🍪", "🍪"},
	{"%ff", "\xff"}, {"%FF%FE", "\xff\xfe"}, {"\xff", "\xff"}, {"%C3", "\xc3"},
	{"a;b", "a;b"}, {`"a"`, `"a"`}, {"<a>", "<a>"}, {"{a}", "{a}"}, {`a\b`, `a\b`}, {"a^b", "a^b"}, {"a|b", "a|b"}, {"a`b", "a`b"}, {"[a]", "[a]"},
	{`"%2F"`, `"/"`}, {"<%3A%2f>", "<:/>"}, {"%2F\xff%2F", "/\xff/"}, // URL.EscapedPath would lose the escape of the slash
	{"%3F", "?"}, {"a%3Fb=c", "a?b=c"}, {"a%23b", "a#b"}, {"a#b", "a#b"},
	{":key", ":key"}, {"*", "*"}, {"*key", "*key"}, {"a&b=c", "a&b=c"}, {"!$'()@,~-_", "!$'()@,~-_"},
	{"%61%62", "ab"}, {"ab", "ab"},
	{strings.Repeat("k", MaxKeyBytes), strings.Repeat("k", MaxKeyBytes)},
	{strings.Repeat("%2F", MaxKeyBytes), strings.Repeat("/", MaxKeyBytes)},
}

func TestParseKey_Spellings(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	check := func(how, sent, key string, got answer) {
		t.Helper()
		calls := r.take()
		if got.status != 200 || got.header.Get("Location") != "" {
			t.Errorf("%s, %.40q: %d %v", how, sent, got.status, got.header)
		} else if len(calls) != 1 || string(calls[0].key) != key {
			t.Errorf("%s, %.40q: %d calls of the store; want one, for %.40q", how, sent, len(calls), key)
		}
	}
	w, c := s.wire(t), s.client(t, protocols[1])
	for _, spelling := range spellings {
		path := "/sessions/v1/" + spelling.sent
		for how, target := range map[string]string{
			"origin form":              path,
			"absolute form":            "https://" + s.addr + path,
			"absolute form of another": "http://localhost" + path,
		} {
			w.send(t, head("GET", target)+"\r\n")
			check("HTTP/1.1, "+how, spelling.sent, spelling.key, w.answer(t, "GET"))
		}
		check("HTTP/2", spelling.sent, spelling.key, s.must(t, c, get(spelling.sent)))
	}
}

func TestParseKey_EveryByte(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for b := range 256 {
			key := "k" + string([]byte{byte(b)}) + "k"
			if got := s.must(t, c, get(escape(key))); got.status != 200 {
				t.Fatalf("%s, byte %#02x: %d %s", protocol, b, got.status, got.body)
			}
			if calls := r.take(); len(calls) != 1 || string(calls[0].key) != key {
				t.Errorf("%s: the store was called without byte %#02x in the key", protocol, b)
			}
		}
	}
}

func TestParseKey_DifferentKeys(t *testing.T) {
	s := start(t, setup{})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, spelling := range spellings {
			if got := s.must(t, c, put(spelling.sent, "value of "+spelling.key)); got.status != 204 {
				t.Fatalf("setting %.40q: %d %s", spelling.sent, got.status, got.body)
			}
		}
		for _, spelling := range spellings {
			for _, sent := range []string{spelling.sent, escape(spelling.key), strings.ToLower(escape(spelling.key))} {
				if got := s.must(t, c, get(sent)); got.body != "value of "+spelling.key {
					t.Errorf("%s %.40q: status %d, or another value", protocol, sent, got.status)
				}
			}
		}
	}
}

func TestParseKey_MaxKeyBytes(t *testing.T) {
	s := start(t, setup{})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, sent := range []string{strings.Repeat("k", MaxKeyBytes+1), strings.Repeat("%2F", MaxKeyBytes+1), strings.Repeat("k", 60_000)} {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				got := s.must(t, c, ask{method: method, path: "/sessions/v1/" + sent, header: as(wiki, "TTL", "7")})
				checkProblem(t, got, 414, "key-too-long")
			}
		}
	}
}

func TestParseKey_InvalidEscape(t *testing.T) {
	s := start(t, setup{})
	for _, segment := range []string{"%", "a%", "%2", "%zz", "%%", "100%", "%2x"} {
		if key, err := parseKey(segment); err == nil || problemFor(err).Status != 400 {
			t.Errorf("%q: %q, %v", segment, string(key), err)
		}
		// net/http refuses the request before the handler is called.
		w := s.wire(t)
		w.send(t, head("GET", "/sessions/v1/"+segment)+"\r\n")
		if got := w.answer(t, "GET"); got.status != 400 {
			t.Errorf("%q: %d", segment, got.status)
		}
	}
}

func TestSentPath_Forms(t *testing.T) {
	for target, want := range map[string]string{
		"/sessions/v1/k":                         "/sessions/v1/k",
		"/sessions/v1/a%2Fb?x=/y":                "/sessions/v1/a%2Fb",
		"/sessions/v1/k?":                        "/sessions/v1/k",
		"//double//slash":                        "//double//slash",
		"/../..":                                 "/../..",
		"https://host/sessions/v1/a%2Fb":         "/sessions/v1/a%2Fb",
		"https://host:8443/sessions/v1/k?x":      "/sessions/v1/k",
		"HTTPS://user@[::1]:1/sessions/v1/%ff":   "/sessions/v1/%ff",
		"https://host":                           "/",
		"https://host?/sessions/v1/k":            "/",
		"https://host/":                          "/",
		"*":                                      "/",
		"host:443":                               "/",
		"/sessions/v1/a b":                       "/",
		"":                                       "/",
		"/sessions/v1/https://host/sessions/v1/": "/sessions/v1/https://host/sessions/v1/",
	} {
		if got := sentPath(&http.Request{RequestURI: target}); got != want {
			t.Errorf("%q: %q; want %q", target, got, want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range spellings {
		f.Add([]byte(s.key), byte(0))
	}
	f.Add([]byte(nil), byte(1))
	a := newAPI(f, setup{}).api
	f.Fuzz(func(t *testing.T, key []byte, form byte) {
		// A client may escape more bytes than necessary (RFC 3986, section 2.4). The fuzzer chooses a form.
		sent := escape(string(key))
		if form&1 != 0 {
			sent = url.PathEscape(string(key))
		}
		target := "/sessions/v1/" + sent
		if form&2 != 0 {
			target = "https://host" + target
		}
		r, err := http.ReadRequest(bufio.NewReaderSize(strings.NewReader("GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n"), 64<<10))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", target, err)
		}
		segment := lookupSegment(a, sentPath(r))
		if segment == "" {
			if len(key) > 0 {
				t.Fatalf("%q has no route", target)
			}
			return
		}
		got, err := parseKey(segment)
		if len(key) > MaxKeyBytes {
			if err == nil {
				t.Fatalf("%d bytes were accepted", len(key))
			}
			return
		}
		if err != nil || string(got) != string(key) {
			t.Fatalf("%q came back as %q, %v", key, string(got), err)
		}
	})
}

func FuzzSentPath(f *testing.F) {
	for _, s := range spellings {
		f.Add("/sessions/v1/" + s.sent)
		f.Add("https://host/sessions/v1/" + s.sent + "?query")
	}
	for _, s := range []string{"*", "", "/", "//", "?", "a:b", "https://host", "https://?/", "/sessions/v1", "/sessions/v1/", "/sessions/v1/a/b", "/sessions/v1//a", "/sessions/v1/%"} {
		f.Add(s)
	}
	a := newAPI(f, setup{}).api
	f.Fuzz(func(t *testing.T, target string) {
		path := sentPath(&http.Request{RequestURI: target})
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "?") {
			t.Fatalf("%q has the path %q", target, path)
		}
		if segment := lookupSegment(a, path); segment != "" {
			if path != "/sessions/v1/"+segment {
				t.Fatalf("%q has the path %q and the segment %q", target, path, segment)
			}
			checkKey(t, segment)
		}
	})
}

// lookupSegment returns the path segment with the key, or "" if the path leads to no key.
func lookupSegment(a *API, path string) string {
	handle, params, _ := a.router.Lookup("GET", path)
	if handle == nil {
		return ""
	}
	return params.ByName("key")
}

// checkKey checks the invariants of parseKey: a key is the decoded segment, and every slash in a key was escaped.
func checkKey(t *testing.T, segment string) {
	t.Helper()
	key, err := parseKey(segment)
	if err != nil {
		if key != "" {
			t.Fatalf("%q is refused, but returns the key %q", segment, string(key))
		}
		return
	}
	if want, err := url.PathUnescape(segment); err != nil || want != string(key) || key == "" || len(key) > MaxKeyBytes {
		t.Fatalf("%q returns the key %q; want %q, %v", segment, string(key), want, err)
	}
	if slashes := strings.Count(strings.ToLower(segment), "%2f"); strings.Contains(segment, "/") || strings.Count(string(key), "/") != slashes {
		t.Fatalf("%q returns the key %q with another number of slashes", segment, string(key))
	}
}
