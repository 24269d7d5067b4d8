package api

import (
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestServer_HTTP2Limits reads the limits that a server announces on a new HTTP/2 connection, and breaks the one of frames.
func TestServer_HTTP2Limits(t *testing.T) {
	s := start(t, setup{})
	f := s.frames(t)
	var head [9]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil || head[3] != frameSettings {
		t.Fatalf("the first frame is %v, %v", head, err)
	}
	payload := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(f.r, payload); err != nil {
		t.Fatal(err)
	}
	settings := make(map[uint16]uint32)
	for setting := range slices.Chunk(payload, 6) {
		settings[binary.BigEndian.Uint16(setting)] = binary.BigEndian.Uint32(setting[2:])
	}
	for id, most := range map[uint16]uint32{3: 100, 4: 128 << 10, 5: 16 << 10} { // streams, window of a stream, frame
		if n := settings[id]; n == 0 || n > most {
			t.Errorf("setting %d is %d; want at most %d", id, n, most)
		}
	}
	const unknown = 0x42 // a receiver discards a frame of an unknown type, but has to read it first
	if _, err := io.WriteString(f, frame(unknown, 0, 0, strings.Repeat("v", 16<<10+1))); err != nil {
		t.Fatal(err)
	}
	f.closed(t)
}
