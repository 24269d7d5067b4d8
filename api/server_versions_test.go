package api

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// These tests send the same requests over HTTP/1.1 and HTTP/2 and compare what the service decides: the status, the type of
// the problem and the calls of the store. A proxy may speak either version, so a request must not mean more in one of them.
// What may differ stands in versionDifferences.

// pair is one request in a form that both versions can express, or that one of them must refuse.
type pair struct {
	method, authority, path string
	fields                  string // lines "Name: value"
	body                    string
	sized                   bool // the header says how long the body is
}

// decision is what the service did with a request. If net/http refused it, the other fields are empty: the versions have
// different ways to say so.
type decision struct {
	Refused bool
	Status  int
	Problem string
	Calls   string
}

// field is one header field.
type field struct{ name, value string }

func (p pair) list() (all []field) {
	for line := range strings.SplitSeq(p.fields, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			all = append(all, field{name, strings.Trim(value, " \t")})
		}
	}
	return all
}

// has reports whether the request has a field with one of these names.
func (p pair) has(names ...string) bool {
	return slices.ContainsFunc(p.list(), func(f field) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, f.name) })
	})
}

// versionDifferences are the kinds of requests that the versions may treat differently, and what each must still do. The
// first that applies counts. Without a function, the request is not sent in this version.
var versionDifferences = []struct {
	name, why string
	applies   func(pair) bool
	one, two  func(decision) bool // judge the decision of HTTP/1.1 and of HTTP/2
}{
	{
		name: "HTTP/1.1 cannot express it", why: "in HTTP/1.1 the bytes would be another request, so HTTP/2 must not accept them",
		applies: func(p pair) bool {
			return strings.ContainsAny(p.method+p.path, " \t\r\n") || strings.ContainsAny(p.authority+p.fieldText(), "\r\n") || p.method == ""
		},
		two: isHarmless,
	},
	{
		name: "a field of the connection", why: "RFC 9113, section 8.2.2: HTTP/2 has none; server_framing_test.go shows HTTP/1.1",
		applies: func(p pair) bool {
			return p.has("Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "TE", "HTTP2-Settings")
		},
		two: anything,
	},
	{
		name: "a length or a trailer of its own", why: "HTTP/1.1 would wait for the rest of the body",
		applies: func(p pair) bool { return p.has("Content-Length", "Trailer") },
	},
	{
		name: "a second Host", why: "HTTP/2 allows it beside :authority if both are equal (authority_test.go)",
		applies: func(p pair) bool { return p.has("Host") },
		one:     isRefused, two: anything,
	},
	{
		name: "Expect", why: "net/http answers an unknown expectation with 417 in HTTP/1.1 only",
		applies: func(p pair) bool { return p.has("Expect") },
	},
	{
		name: "a method that is no token", why: "net/http refuses it in HTTP/1.1 only; in HTTP/2 it is an unknown method",
		applies: func(p pair) bool { return !methodBytes.MatchString(p.method) },
		one:     isRefused, two: isHarmless,
	},
	{
		name: "white space around an authority", why: "RFC 9112, section 5: it is not part of a field's value; in HTTP/2 this package refuses it",
		applies: func(p pair) bool { return strings.Trim(p.authority, " \t") != p.authority },
		one:     anything, two: isHarmless,
	},
	{
		name: "an authority that is no host", why: "net/http refuses it in HTTP/1.1 only; in HTTP/2 this package does",
		applies: func(p pair) bool { return !hostBytes.MatchString(p.authority) },
		one:     isRefused, two: isHarmless,
	},
	{
		name: "a target that is not a path", why: "RFC 9113, section 8.3.1: only HTTP/1.1 has the absolute form, which replaces Host; each has a form of CONNECT",
		applies: func(p pair) bool { return !strings.HasPrefix(p.path, "/") || p.method == http.MethodConnect },
		one:     anything, two: isHarmless,
	},
}

// Forms that net/http accepts in HTTP/1.1: a method, and the bytes of a Host header.
var (
	methodBytes = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	hostBytes   = regexp.MustCompile(`^[][!$%&'()*+,.:;=@_~0-9A-Za-z-]*$`)
)

func anything(decision) bool { return true }

// fieldText returns the names and values of all fields.
func (p pair) fieldText() string {
	var b strings.Builder
	for _, f := range p.list() {
		b.WriteString(f.name + f.value)
	}
	return b.String()
}

func isRefused(d decision) bool { return d.Refused }

// isHarmless reports whether the request reached no store.
func isHarmless(d decision) bool { return d.Calls == "" }

// versions sends requests over both versions, on connections that it keeps.
type versions struct {
	service *service
	calls   *recorder
	one     *wire
	two     *frames
}

func newVersions(t testing.TB) *versions {
	calls := &recorder{}
	return &versions{service: start(t, setup{store: calls.store()}), calls: calls}
}

// compare sends a request over both versions and fails the test if the decisions differ.
func (v *versions) compare(t testing.TB, p pair) {
	t.Helper()
	for _, d := range versionDifferences {
		if !d.applies(p) {
			continue
		}
		if d.one != nil {
			if one := v.sendOne(t, p); !d.one(one) {
				t.Errorf("%s (%s): HTTP/1.1 decides %+v on %#v", d.name, d.why, one, p)
			}
		}
		if d.two != nil {
			if two := v.sendTwo(t, p); !d.two(two) {
				t.Errorf("%s (%s): HTTP/2 decides %+v on %#v", d.name, d.why, two, p)
			}
		}
		return
	}
	if one, two := v.sendOne(t, p), v.sendTwo(t, p); one != two {
		t.Errorf("the decisions differ on %#v\nHTTP/1.1: %+v\nHTTP/2:   %+v", p, one, two)
	}
}

// connect returns a connection that dial has opened. If a handshake takes longer than headerTimeout, the service ends it, and
// connect tries again: make fuzz has a low priority, and may have to wait for the CPU that long.
func connect[C any](t testing.TB, dial func() (C, error)) C {
	t.Helper()
	for end := deadline(); ; {
		began := time.Now()
		c, err := dial()
		if err == nil {
			return c
		}
		if now := time.Now(); now.Sub(began) < headerTimeout || now.After(end) {
			t.Fatal(err)
		}
	}
}

// sendOne sends the request over HTTP/1.1.
func (v *versions) sendOne(t testing.TB, p pair) decision {
	t.Helper()
	if v.one == nil {
		v.one = connect(t, v.service.dialWire)
	}
	var b strings.Builder
	b.WriteString(p.method + " " + p.path + " HTTP/1.1\r\nHost: " + p.authority + "\r\n")
	for _, f := range p.list() {
		b.WriteString(f.name + ": " + f.value + "\r\n")
	}
	switch {
	case !p.sized:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		if p.body != "" {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p.body), p.body)
		}
		b.WriteString("0\r\n\r\n")
	case p.body != "":
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(p.body), p.body)
	default:
		b.WriteString("\r\n")
	}
	if err := v.one.SetDeadline(deadline()); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(v.one, b.String()) // the service may answer and close before it has read everything
	res, err := http.ReadResponse(v.one.r, &http.Request{Method: p.method, URL: &url.URL{}})
	var got answer
	if err == nil {
		got, err = read(res)
	}
	if isTimeout(err) {
		t.Fatalf("HTTP/1.1 does not answer %#v", p)
	}
	if err != nil || got.close {
		_ = v.one.NetConn().Close()
		v.one = nil
	}
	if err != nil {
		return v.decide(t, 0, "")
	}
	return v.decide(t, got.status, got.body)
}

// sendTwo sends the request over HTTP/2. If the service closed a kept connection after the request before, it sends the
// request again on a new one.
func (v *versions) sendTwo(t testing.TB, p pair) decision {
	t.Helper()
	kept := v.two != nil
	if !kept {
		v.two = connect(t, v.service.dialFrames)
	}
	status, body, err := v.two.send(p)
	if isTimeout(err) {
		t.Fatalf("HTTP/2 does not answer %#v", p)
	}
	if v.two.goAway || err != nil && !errors.Is(err, errReset) {
		_ = v.two.NetConn().Close()
		v.two = nil
	}
	if v.two == nil && err != nil && kept {
		return v.sendTwo(t, p)
	}
	return v.decide(t, status, body)
}

// send sends a request and reads the response.
func (f *frames) send(p pair) (status int, body string, err error) {
	header := fields(":method", p.method, ":scheme", "https", ":authority", p.authority, ":path", p.path)
	for _, f := range p.list() {
		header += fields(strings.ToLower(f.name), f.value)
	}
	if p.sized && p.body != "" {
		header += fields("content-length", strconv.Itoa(len(p.body)))
	}
	request := frame(frameHeaders, flagEndHeaders|flagEndStream, f.stream, header)
	if p.body != "" || !p.sized {
		request = frame(frameHeaders, flagEndHeaders, f.stream, header) + frame(frameData, flagEndStream, f.stream, p.body)
	}
	if err := f.SetDeadline(deadline()); err != nil {
		return 0, "", err
	}
	_, _ = io.WriteString(f, request) // the service may answer and close before it has read everything
	defer func() { f.stream += 2 }()
	return f.response()
}

// decide returns the decision from a response. A status of 0 means that there was none.
func (v *versions) decide(t testing.TB, status int, body string) decision {
	t.Helper()
	d := decision{Status: status}
	for _, c := range v.calls.take() {
		d.Calls += fmt.Sprintf("%v %q %v %q;", c.action, string(c.key), c.ttl, c.data)
	}
	var p problem
	if status >= 400 && json.Unmarshal([]byte(body), &p) == nil {
		d.Problem = p.Type
		if p.Status != status {
			t.Errorf("status %d with problem %+v", status, p)
		}
	}
	if status == 0 || status >= 400 && d.Problem == "" { // the response to HEAD has no problem either
		return decision{Refused: true, Calls: d.Calls}
	}
	return d
}

// errReset is the error of a stream that the server reset.
var errReset = errors.New("the server reset the stream")

// response reads the response of the current stream.
func (f *frames) response() (status int, body string, err error) {
	for {
		var h [9]byte
		if _, err := io.ReadFull(f.r, h[:]); err != nil {
			return 0, "", err
		}
		payload := make([]byte, int(h[0])<<16|int(h[1])<<8|int(h[2]))
		if _, err := io.ReadFull(f.r, payload); err != nil {
			return 0, "", err
		}
		kind, flags, stream := h[3], h[4], binary.BigEndian.Uint32(h[5:])
		if kind == frameGoAway { // the last stream that the server serves, and the reason; 0 means that it only closes the connection
			f.goAway = true
			if last := binary.BigEndian.Uint32(payload); last < f.stream || !slices.Equal(payload[4:8], make([]byte, 4)) {
				return 0, "", fmt.Errorf("the server sent GOAWAY %x", payload)
			}
		}
		if stream != f.stream {
			continue
		}
		switch kind {
		case frameReset:
			return 0, "", errReset
		case frameHeaders:
			if status == 0 || status < 200 {
				status = statusOf(payload)
			}
		case frameData:
			body += string(payload)
			update := string(binary.BigEndian.AppendUint32(nil, uint32(max(1, len(payload)))))
			if _, err := io.WriteString(f, frame(frameWindowUpdate, 0, 0, update)); err != nil {
				return 0, "", err
			}
		}
		if flags&flagEndStream != 0 && (kind == frameHeaders || kind == frameData) {
			return status, body, nil
		}
	}
}

// statusOf returns the status at the begin of an HPACK block that uses no dynamic table, or 0. See RFC 7541.
func statusOf(block []byte) int {
	for len(block) > 0 && block[0]&0xe0 == 0x20 { // the size of the dynamic table: 0
		block = block[1:]
	}
	static := map[byte]int{0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
	if len(block) > 0 && static[block[0]] != 0 {
		return static[block[0]]
	}
	if len(block) < 2 || block[0]&0x0f < 8 || block[0]&0x0f > 14 || len(block) < 2+int(block[1]&0x7f) {
		return 0
	}
	text := block[2 : 2+int(block[1]&0x7f)]
	if block[1]&0x80 == 0 {
		n, _ := strconv.Atoi(string(text))
		return n
	}
	// Huffman: 0, 1 and 2 have the codes 00000 to 00010; 3 to 9 have the codes 011001 to 011111.
	var bits, n, digits int
	var word uint32
	for _, b := range text {
		word, bits = word<<8|uint32(b), bits+8
	}
	for ; digits < 3; digits++ {
		if bits < 5 {
			return 0
		}
		if code := int(word >> (bits - 5) & 31); code <= 2 {
			n, bits = n*10+code, bits-5
			continue
		}
		if bits < 6 {
			return 0
		}
		code := int(word >> (bits - 6) & 63)
		if code < 0x19 || code > 0x1f {
			return 0
		}
		n, bits = n*10+code-0x19+3, bits-6
	}
	return n
}

// versionSeeds are requests of every kind that the service decides on.
func versionSeeds() []pair {
	bearer := "Authorization: Bearer " + string(wiki)
	return []pair{
		{"GET", "test", "/sessions/v1/k", bearer, "", true},
		{"HEAD", "test", "/sessions/v1/k", bearer, "", true},
		{"PUT", "test", "/sessions/v1/k", bearer + "\nTTL: 60\nContent-Type: application/octet-stream", "value", true},
		{"POST", "test", "/sessions/v1/k", bearer, "value", false},
		{"PUT", "test", "/sessions/v1/k", bearer, "", false},
		{"PATCH", "test", "/sessions/v1/k", bearer + "\nTTL: 60", "", true},
		{"PATCH", "test", "/sessions/v1/k", bearer + "\nTTL: 60, 61", "", true},
		{"DELETE", "test", "/sessions/v1/a%2Fb%3Ac", bearer, "", true},
		{"DELETE", "test", "/sessions/v1/k", bearer, "body", true},
		{"GET", "test", "/sessions/v1/k", bearer, "body", false},
		{"GET", "test", "/sessions/v1/k?a=b", bearer, "", true},
		{"GET", "test", "/sessions/v1/k#a", bearer, "", true},
		{"GET", "test", "/sessions/v1/%2e%2e/k;a", bearer, "", true},
		{"GET", "test", "//sessions/v1/k", bearer, "", true},
		{"GET", "test", "/sessions/v1/\xff%ff%00%zz", bearer, "", true},
		{"GET", "test:443", "/sessions/v1/" + strings.Repeat("k", 1100), bearer, "", true},
		{"GET", "test", "/sessions/v1/k", "", "", true},
		{"GET", "test", "/sessions/v1/k", bearer + "\n" + bearer, "", true},
		{"GET", "test", "/sessions/v1/k", bearer + ", Bearer x", "", true},
		{"GET", "test", "/sessions/v1/k", "authorization:\tbearer  " + string(wiki), "", true},
		{"GET", "test", "/sessions/v1/k", bearer + "\nClient-Cert: :AAAA:", "", true},
		{"GET", "test", "/sessions/v1/k", bearer + "\nX-Forwarded-Client-Cert: Hash=00\nX-Client-Dn: CN=a", "", true},
		{"GET", "test", "/sessions/v1/k", "Signature-Input: a=(\"@method\");created=1\nSignature: a=:AAAA:", "", true},
		{"GET", "test", "/sessions/v1/k", "Authorization: Bearer " + string(reader) + "\nX-Request-Id: 0\nTraceparent: 00-1-2-3", "", true},
		{"PUT", "test", "/sessions/v1/en:k", "Authorization: Bearer " + string(enwiki), "value", true},
		{"GET", " test", "/sessions/v1/k", bearer, "", true},
		{"GET", "te st", "/metrics", "Authorization: Bearer " + string(prom), "", true},
		{"GET", "", "/healthz", "", "", true},
		{"GET", "test/a", "/readyz", "", "", true},
		{"OPTIONS", "test", "*", "", "", true},
		{"CONNECT", "test", "test:443", "", "", true},
		{"GET", "test", "https://test/sessions/v1/k", bearer, "", true},
		{"get", "test", "/sessions/v1/k", bearer + "\nHost: other", "", true},
		{"G\x00T", "test", "/sessions/v1/k", bearer + "\nX: \x00\n\xff: y\nA b: c\n:path: /", "", true},
		{"GET /a HTTP/1.1\r\nX:", "test", "/sessions/v1/a b", bearer, "", true},
		{"PUT", "test", "/sessions/v1/k", bearer + "\nConnection: Authorization\nTE: gzip\nExpect: more\nContent-Length: 3", "value", true},
	}
}

// mutate changes one part of a request a little.
func mutate(r *rand.Rand, p pair) pair {
	part := []*string{&p.method, &p.authority, &p.path, &p.fields, &p.fields, &p.fields, &p.body}[r.IntN(7)]
	pieces := []string{"\x00", "\t", " ", "\r", "\n", "%", "/", ":", "?", "#", ";", ",", "\"", "\u00c4", "\xff", "0", "a", "%2F", "..", "\nTTL: 1",
		"\nAuthorization: Bearer x", "\nX: y", "\r\n ", "\x7f", "@", "[", "Z"}
	at := r.IntN(len(*part) + 1)
	before, after := (*part)[:at], (*part)[at:]
	switch r.IntN(4) {
	case 0:
		*part = before + pieces[r.IntN(len(pieces))] + after
	case 1:
		*part = before + after[min(len(after), 1+r.IntN(4)):]
	case 2:
		*part = before + after[:min(len(after), 1+r.IntN(20))] + after
	case 3:
		p.sized = !p.sized
	}
	return p
}

func TestServer_DecidesAlikeInBothVersions(t *testing.T) {
	const mutants = 15 // of each seed
	v := newVersions(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, seed := range versionSeeds() {
		v.compare(t, seed)
		for range mutants {
			p := seed
			for range 1 + random.IntN(3) {
				p = mutate(random, p)
			}
			v.compare(t, p)
		}
	}
}

// TestVersions_SeeTheServicesDecisions shows that a difference would be seen: the decisions have status, problem and calls
// in both versions.
func TestVersions_SeeTheServicesDecisions(t *testing.T) {
	v := newVersions(t)
	bearer := "Authorization: Bearer " + string(wiki)
	for _, test := range []struct {
		p    pair
		want decision
	}{
		{pair{"GET", "test", "/sessions/v1/k", bearer, "", true}, decision{Status: 200, Calls: `get "k" 0s "";`}},
		{pair{"PUT", "test", "/sessions/v1/k", bearer + "\nTTL: 60", "v", true}, decision{Status: 204, Calls: `set "k" 1m0s "v";`}},
		{pair{"POST", "test", "/sessions/v1/k", bearer + "\nTTL: 60", "v", false}, decision{Status: 201, Calls: `set "k" 1m0s "v";`}},
		{pair{"GET", "test", "/sessions/v1/k", "", "", true}, decision{Status: 401, Problem: problemBase + "unauthenticated"}},
		{pair{"GET", "test", "/sessions/v1/k", "A b: c", "", true}, decision{Refused: true}},
	} {
		if one := v.sendOne(t, test.p); one != test.want {
			t.Errorf("HTTP/1.1 decides %+v on %#v, want %+v", one, test.p, test.want)
		}
		if two := v.sendTwo(t, test.p); two != test.want {
			t.Errorf("HTTP/2 decides %+v on %#v, want %+v", two, test.p, test.want)
		}
	}
}

func FuzzServer_DecidesAlikeInBothVersions(f *testing.F) {
	for _, p := range versionSeeds() {
		f.Add(p.method, p.authority, p.path, p.fields, p.body, p.sized)
	}
	v := newVersions(f)
	f.Fuzz(func(t *testing.T, method, authority, path, fields, body string, sized bool) {
		if len(method)+len(authority)+len(path)+len(fields) > 4000 || len(body) > 16_000 {
			return // beyond the size of one frame
		}
		v.compare(t, pair{method, authority, path, fields, body, sized})
	})
}
