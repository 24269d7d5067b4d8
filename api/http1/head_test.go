package http1

import (
	"bufio"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// read is what an input says of sent, which comes in pieces of n bytes: the header that it finds, and what is left.
func read(sent string, n int) (head, rest string) {
	in := input{buf: make([]byte, 16)}
	r := strings.NewReader(sent)
	for {
		if h := in.head(); h != nil {
			head = string(h)
			in.use(len(h))
			break
		}
		if m, err := in.fill(atMost{r, n}); m == 0 && err != nil {
			break
		}
	}
	rest = string(in.unread())
	b := make([]byte, r.Len())
	_, _ = r.Read(b) // the end
	return head, rest + string(b)
}

type atMost struct {
	r *strings.Reader
	n int
}

func (a atMost) Read(p []byte) (int, error) { return a.r.Read(p[:min(a.n, len(p))]) }

func TestAHeaderEndsWithTheFirstEmptyLineInWhateverPiecesItComes(t *testing.T) {
	for _, test := range []struct{ sent, head, rest string }{
		{"", "", ""},
		{"GET", "", "GET"},
		{"GET / HTTP/1.1\r\nA: b\r\n", "", "GET / HTTP/1.1\r\nA: b\r\n"},
		{"G\r\n\r\n", "G\r\n\r\n", ""},
		{"G\n\n", "G\n\n", ""},
		{"G\r\n\nH\r\n\r\n", "G\r\n\n", "H\r\n\r\n"},
		{"G\n\r\nH\n\n", "G\n\r\n", "H\n\n"},
		{"G\n\r\rH\n\n", "G\n\r\rH\n\n", ""},
		{"\r\n\n\r\nG\r\nA: b\r\n\r\nbody", "G\r\nA: b\r\n\r\n", "body"},
		{strings.Repeat("x: y\r\n", 1000) + "\r\n\r\n", strings.Repeat("x: y\r\n", 1000) + "\r\n", "\r\n"},
	} {
		for n := 1; n < 20; n++ {
			if head, rest := read(test.sent, n); head != test.head || strings.TrimLeft(rest, "\r\n") != strings.TrimLeft(test.rest, "\r\n") {
				t.Errorf("%.40q in pieces of %d: %.40q and %.40q", test.sent, n, head, rest)
			}
		}
	}
}

// with is a header with lines after that of the host.
func with(lines ...string) string {
	return "PUT /k HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

func parsed(head string) (*http.Request, *refusal) {
	r := &http.Request{Header: make(http.Header)}
	_, no := parse(r, head, nil)
	return r, no
}

func TestAHeaderIsRefusedWhereverItCouldBeReadInTwoWays(t *testing.T) {
	for name, test := range map[string]struct {
		head string
		want *refusal
	}{
		"no target":                  {"GET\r\n\r\n", errLine},
		"no version":                 {"GET /k\r\n\r\n", errLine},
		"HTTP/0.9":                   {"GET /k HTTP/0.9\r\nHost: x\r\n\r\n", errVersion},
		"HTTP/1.2":                   {"GET /k HTTP/1.2\r\nHost: x\r\n\r\n", errVersion},
		"HTTP/2 without its preface": {"PRI * HTTP/2.0\r\n\r\n", errVersion},
		"a version of another kind":  {"GET /k http/1.1\r\nHost: x\r\n\r\n", errLine},
		"two spaces":                 {"GET  /k HTTP/1.1\r\nHost: x\r\n\r\n", errLine},
		"a space in the target":      {"GET /k l HTTP/1.1\r\nHost: x\r\n\r\n", errLine},
		"a space after the version":  {"GET /k HTTP/1.1 \r\nHost: x\r\n\r\n", errLine},
		"a tab":                      {"GET\t/k HTTP/1.1\r\nHost: x\r\n\r\n", errLine},
		"a method that is no token":  {"G(T /k HTTP/1.1\r\nHost: x\r\n\r\n", errLine},
		"no method":                  {" /k HTTP/1.1\r\nHost: x\r\n\r\n", errLine},
		"a CR in the line":           {"GET /k\r HTTP/1.1\r\nHost: x\r\n\r\n", errTarget},
		"a bad escape":               {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", errTarget},
		"a target without a slash":   {"GET k HTTP/1.1\r\nHost: x\r\n\r\n", errTarget},
		"an authority's bad port":    {"CONNECT x:\" HTTP/1.1\r\n\r\n", errTarget},
		"a control character":        {"GET /k\x01 HTTP/1.1\r\nHost: x\r\n\r\n", errTarget},

		"a folded line":                     {with("A: b", " c"), errFolded},
		"one folded by a tab":               {with("A: b", "\tc"), errFolded},
		"a folded line before the first":    {"GET /k HTTP/1.1\r\n Host: x\r\n\r\n", errFolded},
		"a line of a space alone":           {with("A: b", " "), errFolded},
		"no colon":                          {with("A"), errName},
		"no name":                           {with(": b"), errName},
		"a space before the colon":          {with("A : b"), errName},
		"a space before that of the length": {with("Content-Length : 5"), errName},
		"a name that is no token":           {with("A(: b"), errName},
		"a name that is not ASCII":          {with("Ä: b"), errName},
		"a CR in a value":                   {with("A: b\rC: d"), errValue},
		"a NUL in a value":                  {with("A: b\x00"), errValue},
		"two CR at the end":                 {with("A: b\r"), errValue},

		"no host":             {"GET /k HTTP/1.1\r\n\r\n", errHost},
		"two hosts":           {with("Host: y"), errHost},
		"the same host twice": {with("host: x"), errHost},
		"a bad host":          {"GET /k HTTP/1.1\r\nHost: x y\r\n\r\n", errHost},

		"no number":             {with("Content-Length: "), errLength},
		"a sign":                {with("Content-Length: +5"), errLength},
		"another sign":          {with("Content-Length: -5"), errLength},
		"a list":                {with("Content-Length: 5, 5"), errLength},
		"the same length twice": {with("Content-Length: 5", "content-length: 5"), errLength},
		"a hexadecimal number":  {with("Content-Length: 0x5"), errLength},
		"an underscore":         {with("Content-Length: 1_000"), errLength},
		"too large a number":    {with("Content-Length: 9223372036854775808"), errLength},

		"a length and a coding":      {with("Content-Length: 5", "Transfer-Encoding: chunked"), errBoth},
		"two codings":                {with("Transfer-Encoding: gzip, chunked"), errCoding},
		"two codings, in two lines":  {with("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), errCoding},
		"chunked twice":              {with("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), errCoding},
		"another coding":             {with("Transfer-Encoding: identity"), errCoding},
		"an empty coding":            {with("Transfer-Encoding: "), errCoding},
		"a coding with a tab in it":  {with("Transfer-Encoding: chun\tked"), errCoding},
		"chunked over HTTP/1.0":      {"PUT /k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", errCoding},
		"another expectation":        {with("Expect: 200-ok"), errExpect},
		"an expectation and another": {with("Expect: 100-continue", "Expect: x"), errExpect},
	} {
		if _, no := parsed(test.head); no != test.want {
			t.Errorf("%s: %v; want %v", name, no, test.want)
		}
	}
}

func TestWhatAHeaderSays(t *testing.T) {
	for name, test := range map[string]struct {
		head   string
		host   string
		length int64
		close  bool
		header http.Header
	}{
		"the least":            {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "x", 0, false, nil},
		"HTTP/1.0":             {"GET / HTTP/1.0\r\n\r\n", "", 0, true, nil},
		"no host but a proxy":  {"CONNECT x:443 HTTP/1.1\r\n\r\n", "x:443", 0, false, nil},
		"absolute form":        {"GET https://y/k HTTP/1.1\r\nHost: x\r\n\r\n", "y", 0, false, nil},
		"lines that end in LF": {"GET / HTTP/1.1\nHost: x\nA: b\n\n", "x", 0, false, http.Header{"A": {"b"}}},
		"names and values":     {with("a-B:  c d\t", "A-b:e", "C:"), "x", 0, false, http.Header{"A-B": {"c d", "e"}, "C": {""}}},
		"a length":             {with("Content-Length: 5"), "x", 5, false, http.Header{"Content-Length": {"5"}}},
		"chunked":              {with("Transfer-Encoding: Chunked"), "x", -1, false, nil},
		"to be closed":         {with("Connection: keep-alive, Close"), "x", 0, true, http.Header{"Connection": {"keep-alive, Close"}}},
		"closed by the second": {with("Connection: x", "Connection: close"), "x", 0, true, http.Header{"Connection": {"x", "close"}}},
	} {
		r, no := parsed(test.head)
		if no != nil {
			t.Errorf("%s: %v", name, no)
			continue
		}
		if r.Host != test.host || r.ContentLength != test.length || r.Close != test.close || !maps.EqualFunc(r.Header, test.header, slices.Equal) {
			t.Errorf("%s: host %q, length %d, close %v, %v", name, r.Host, r.ContentLength, r.Close, r.Header)
		}
	}
}

// FuzzParse: whatever is not refused is read by net/http, which has been attacked for longer, and says the same to it; and
// the header ends at the same byte, in whatever pieces it comes.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "PUT /a%2Fb HTTP/1.1\nHost: x\nContent-Length: 4\n\n",
		"POST https://y/k?q HTTP/1.0\r\nConnection: close\r\n\r\n", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "CONNECT x:1 HTTP/1.1\r\n\r\n", "CONNECT x:\" HTTP/1.1\r\n\r\n",
		with("Content-Length: 5", "Content-Length: 6"), with("Content-Length: 5", "Transfer-Encoding: chunked"), with("A : b"), with("A: b\rC: d"), "OPTIONS * HTTP/1.1\r\nhost: [::1]:1\r\n\r\n",
	} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, sent string, n uint8) {
		head, rest := read(sent, int(n)+1)
		if again, left := read(sent, 1000); again != head || left != rest {
			t.Fatalf("in pieces of %d: %q, as a whole: %q", int(n)+1, head, again)
		}
		r, no := parsed(head)
		if head == "" || no != nil {
			return
		}
		if strings.Contains(head, "\n ") || strings.Contains(head, "\n\t") {
			t.Fatalf("%q has a folded line", head)
		}
		const body = "body"
		in := bufio.NewReaderSize(strings.NewReader(head+body), len(head)+len(body))
		want, err := http.ReadRequest(in)
		if err != nil {
			if strings.Contains(strings.ToLower(head), "trailer") {
				return // net/http reads what trailers are to come
			}
			t.Fatalf("net/http refuses %q: %v", head, err)
		}
		if left, _ := in.Peek(len(body)); string(left) != body || in.Buffered() != len(body) {
			t.Fatalf("%q: net/http goes on behind it at %q", head, left)
		}
		differences(t, head, r, want)
	})
}

func differences(t *testing.T, head string, got, want *http.Request) {
	t.Helper()
	for _, h := range []http.Header{got.Header, want.Header} {
		for _, name := range []string{"Host", "Trailer", "Cache-Control"} { // net/http makes one of Pragma
			h.Del(name)
		}
	}
	if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Proto != want.Proto || got.Host != want.Host ||
		got.ContentLength != want.ContentLength || !slices.Equal(got.TransferEncoding, want.TransferEncoding) ||
		!reflect.DeepEqual(got.Header, want.Header) || got.URL.String() != want.URL.String() {
		t.Fatalf("%q is %+v; net/http has %+v", head, got, want)
	}
	if want.Close && !got.Close {
		t.Fatalf("%q: the connection is kept", head)
	}
}
