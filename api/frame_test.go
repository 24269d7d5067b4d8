package api

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
)

// Types and flags of HTTP/2 frames (RFC 9113, section 6).
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7

	frameWindowUpdate = 0x8

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
)

// preface is the connection preface of a client (RFC 9113, section 3.4). The setting forbids the server a dynamic table for
// headers, so that a test can read a header without the ones before it.
var preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(frameSettings, 0, 0, "\x00\x01\x00\x00\x00\x00")

func frame(kind, flags byte, stream uint32, payload string) string {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	return string(length[1:]) + string([]byte{kind, flags}) + string(binary.BigEndian.AppendUint32(nil, stream)) + payload
}

// fields encodes a header in HPACK, without compression.
func fields(namesAndValues ...string) string {
	var b []byte
	for pair := range slices.Chunk(namesAndValues, 2) {
		b = append(appendLength(append(b, 0), len(pair[0])), pair[0]...)
		b = append(appendLength(b, len(pair[1])), pair[1]...)
	}
	return string(b)
}

// appendLength appends the length of a string (RFC 7541, section 5.1, with a prefix of 7 bits).
func appendLength(b []byte, n int) []byte {
	if n < 127 {
		return append(b, byte(n))
	}
	return binary.AppendUvarint(append(b, 127), uint64(n-127))
}

// frames is an HTTP/2 connection. Unlike the client of net/http, it shows when the server closes the connection.
type frames struct {
	*tls.Conn
	r      *bufio.Reader
	stream uint32 // id of the next request's stream
	goAway bool   // the server has sent GOAWAY
}

func (s *service) frames(t testing.TB) *frames {
	t.Helper()
	f, err := s.dialFrames()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.NetConn().Close() })
	return f
}

// dialFrames is frames for callers that close the connection themselves.
func (s *service) dialFrames() (*frames, error) {
	c, err := s.handshake(&tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
	if err == nil {
		_, err = io.WriteString(c, preface)
	}
	return &frames{Conn: c, r: bufio.NewReader(c), stream: 1}, err
}

// next reads the header of the next frame and discards the payload.
func (f *frames) next() (kind, flags byte, stream uint32, err error) {
	var h [9]byte
	if _, err := io.ReadFull(f.r, h[:]); err != nil {
		return 0, 0, 0, err
	}
	_, err = f.r.Discard(int(h[0])<<16 | int(h[1])<<8 | int(h[2]))
	f.goAway = f.goAway || h[3] == frameGoAway
	return h[3], h[4], binary.BigEndian.Uint32(h[5:]), err
}

// ask sends a request without a body and reads the whole response.
func (f *frames) ask(t testing.TB, a ask) {
	t.Helper()
	header := fields(":method", a.method, ":scheme", "https", ":authority", "test", ":path", a.path)
	for name, values := range a.header {
		for _, v := range values {
			header += fields(strings.ToLower(name), v)
		}
	}
	f.exchange(t, header)
}

// exchange sends a header without a body, and reads until the stream ends or is reset.
func (f *frames) exchange(t testing.TB, header string) {
	t.Helper()
	if _, err := io.WriteString(f, frame(frameHeaders, flagEndHeaders|flagEndStream, f.stream, header)); err != nil {
		t.Fatal(err)
	}
	for {
		kind, flags, stream, err := f.next()
		if err != nil {
			t.Fatalf("reading a response: %v", err)
		}
		if stream == f.stream && (kind == frameReset || (kind == frameHeaders || kind == frameData) && flags&flagEndStream != 0) {
			f.stream += 2
			return
		}
	}
}

// closed waits until the server has sent GOAWAY and closed the connection.
func (f *frames) closed(t testing.TB) {
	t.Helper()
	var err error
	for err == nil {
		_, _, _, err = f.next()
	}
	if isTimeout(err) {
		t.Fatal("the connection stayed open")
	}
	if !f.goAway {
		t.Error("the connection was closed without GOAWAY")
	}
}
