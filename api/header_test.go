package api

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"userinfo/access"
)

// frameContinuation is a type of HTTP/2 frames.
const frameContinuation = 0x9

// noWindow is a client's setting that lets the server send no bodies.
var noWindow = frame(frameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00")

// sendLargeHeader sends a request with a header of about 60 kB.
func (f *frames) sendLargeHeader(t testing.TB, more ...string) error {
	t.Helper()
	block := fields(append([]string{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/sessions/v1/k"}, more...)...)
	for n := range 60 {
		block += fields(fmt.Sprintf("x-%d", n), strings.Repeat("v", 1000))
	}
	text, kind, flags := "", byte(frameHeaders), byte(flagEndStream)
	for len(block) > 0 {
		part := block[:min(len(block), maxFrameBytes)]
		if block = block[len(part):]; block == "" {
			flags |= flagEndHeaders
		}
		text += frame(kind, flags, f.stream, part)
		kind, flags = frameContinuation, 0
	}
	f.stream += 2
	_, err := io.WriteString(f, text)
	return err
}

func TestHeaderMemory_OfIncompleteHeadersIsBounded(t *testing.T) {
	t.Parallel()
	const share = 100_000 // of all strangers: room for two headers, less what is not counted
	header := "GET /sessions/v1/k HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("v", 60_000)
	for name, send := range map[string]func(t *testing.T, s *service) net.Conn{
		"HTTP/1.1": func(t *testing.T, s *service) net.Conn {
			c := s.wire(t)
			_, _ = io.WriteString(c, header) // fails if the service closes the connection
			return c
		},
		"HTTP/2": func(t *testing.T, s *service) net.Conn {
			f := s.frames(t)
			block := fields(":method", "GET", "x", strings.Repeat("v", 60_000))
			_, _ = io.WriteString(f, frame(frameHeaders, flagEndStream, 1, block[:maxFrameBytes]))
			for block = block[maxFrameBytes:]; len(block) > 0; block = block[min(len(block), maxFrameBytes):] {
				_, _ = io.WriteString(f, frame(frameContinuation, 0, 1, block[:min(len(block), maxFrameBytes)]))
			}
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, setup{store: new(recorder).store(), limits: access.Limits{MaxBytesInFlight: share}, maxBytesInFlight: 1 << 20})
			var strangers []net.Conn
			for range 6 {
				strangers = append(strangers, send(t, s))
			}
			eventually(t, "some strangers are refused", func() bool { return gauge(t, s, "userinfo_connections") <= 3 })
			if n := gauge(t, s, "userinfo_in_flight_bytes"); n < 30_000 || n > share {
				t.Errorf("%v bytes are held", n)
			}
			if got := s.must(t, s.client(t, protocols[0]), ask{method: "GET", path: "/sessions/v1/k", header: as(reader)}); got.status != 200 {
				t.Errorf("a client: %d", got.status)
			}
			for _, c := range strangers {
				_ = c.Close()
			}
			eventually(t, "nothing is held", func() bool { return gauge(t, s, "userinfo_in_flight_bytes") == 0 })
		})
	}
}

func TestHoldLargeHeader_UntilResponseIsTaken(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{"a stranger": nil, "a client": {"authorization", "Bearer " + string(wiki)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Room for one such header, which counts as about 64 kB.
			s := start(t, setup{store: new(recorder).store(), limits: access.Limits{MaxBytesInFlight: 100_000}, maxBytesInFlight: 1 << 20})
			f := s.frames(t)
			if _, err := io.WriteString(f, noWindow); err != nil {
				t.Fatal(err)
			}
			if err := f.sendLargeHeader(t, header...); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the header is held", func() bool { n := gauge(t, s, "userinfo_in_flight_bytes"); return n > 60_000 && n < 100_000 })
			if n := gauge(t, s, "userinfo_http_in_flight"); n != 0 {
				t.Errorf("%v requests are in flight, although the handler has ended", n)
			}
			g := s.frames(t)
			if err := g.sendLargeHeader(t, header...); err != nil {
				t.Fatal(err)
			}
			for {
				_, _, _, err := g.next()
				if isTimeout(err) {
					t.Fatal("the connection of the second large header stayed open")
				}
				if err != nil {
					break
				}
			}
			if got := s.must(t, s.client(t, protocols[1]), ask{method: "GET", path: "/sessions/v1/k", header: as(reader)}); got.status != 200 {
				t.Errorf("another client: %d", got.status)
			}
			eventually(t, "the service has given up", func() bool { return gauge(t, s, "userinfo_in_flight_bytes") == 0 })
		})
	}
}

func TestHoldLargeHeader_Served(t *testing.T) {
	s := start(t, setup{store: new(recorder).store()})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for range 3 {
			got := s.must(t, c, ask{method: "GET", path: "/sessions/v1/k", header: as(wiki, "X-Large", strings.Repeat("v", 4*smallHeader))})
			if got.status != 200 || got.body != "value" {
				t.Errorf("%s: %d %q", protocol, got.status, got.body)
			}
		}
		if n := gauge(t, s, "userinfo_in_flight_bytes"); n != 0 {
			t.Errorf("%s: %v bytes are held afterwards", protocol, n)
		}
	}
}
