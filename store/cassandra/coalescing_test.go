package cassandra

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/internal/panics"
	"userinfo/store/cassandra/coordinator"
)

// stepConn is a connection whose every Write waits until the test lets it end. It records what each Write sends.
type stepConn struct {
	net.Conn
	result chan error // the test sends how the current Write ends

	mu     sync.Mutex
	writes []string
}

func newStepConn() *stepConn {
	near, _ := net.Pipe()
	return &stepConn{Conn: near, result: make(chan error)}
}

func (c *stepConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes = append(c.writes, string(p))
	c.mu.Unlock()
	if err := <-c.result; err != nil {
		return 0, err
	}
	return len(p), nil
}

// sent returns what each Write has sent so far, when all goroutines wait.
func (c *stepConn) sent() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.writes)
}

// wantSent checks what each Write has sent. It does not print what it compares, which can be large.
func (c *stepConn) wantSent(t *testing.T, want ...string) {
	t.Helper()
	if got := c.sent(); !slices.Equal(got, want) {
		t.Errorf("%d writes, not the %d that are expected, or with other contents", len(got), len(want))
	}
}

// finishWrite lets the current Write succeed.
func (c *stepConn) finishWrite() {
	c.result <- nil
	c.sent()
}

func mustWrite(t *testing.T, w io.Writer, p string) {
	t.Helper()
	if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d bytes, error %v", n, len(p), err)
	}
}

func TestCoalescingConn_SendsFramesTogetherThatWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw := newStepConn()
		conn := newCoalescingConn(raw, time.Minute)
		for _, p := range []string{"a", "b", "c", "d"} {
			mustWrite(t, conn, p)
			raw.sent()
		}
		raw.finishWrite()
		raw.wantSent(t, "a", "bcd")
		mustWrite(t, conn, "e")
		raw.finishWrite()
		raw.finishWrite()
		raw.wantSent(t, "a", "bcd", "e")
	})
}

func TestCoalescingConn_SendsAtOnceWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw := newStepConn()
		conn := newCoalescingConn(raw, time.Minute)
		start := time.Now()
		for _, want := range []string{"a", "b", "c"} {
			mustWrite(t, conn, want)
			if sent := raw.sent(); sent[len(sent)-1] != want {
				t.Errorf("sent %q, want %q last", sent, want)
			}
			raw.finishWrite()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v, want no delay", took)
		}
	})
}

// newFullConn returns a connection that is sending "a" and whose buffer is full.
func newFullConn(t *testing.T) (conn *coalescingConn, raw *stepConn, buffered string) {
	t.Helper()
	raw = newStepConn()
	conn = newCoalescingConn(raw, time.Minute)
	mustWrite(t, conn, "a")
	raw.sent()
	buffered = string(bytes.Repeat([]byte("b"), maxBuffered))
	mustWrite(t, conn, buffered)
	return conn, raw, buffered
}

func TestCoalescingConn_WriteFailsWithoutRoomAndLaterWritesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, raw, buffered := newFullConn(t)
		start := time.Now()
		n, err := conn.Write([]byte("c"))
		if took := time.Since(start); n != 0 || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, coordinator.ErrUnsent) || took != 0 {
			t.Errorf("wrote %d bytes, error %v, after %v; want 0 bytes, DeadlineExceeded and ErrUnsent at once", n, err, took)
		}
		raw.finishWrite()
		mustWrite(t, conn, "d")
		raw.finishWrite()
		raw.finishWrite()
		raw.wantSent(t, "a", buffered, "d")
	})
}

func TestCoalescingConn_FailureEndsReadAndWrite(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		end  func(*coalescingConn, *stepConn)
		want error
	}{
		"a write fails":            {func(_ *coalescingConn, raw *stepConn) { raw.result <- broken }, broken},
		"the connection is closed": {func(conn *coalescingConn, _ *stepConn) { _ = conn.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, raw, _ := newFullConn(t)
				var readErr error
				go func() { _, readErr = conn.Read(make([]byte, 1)) }()
				raw.sent()
				c.end(conn, raw)
				raw.wantSent(t, "a")
				_, laterErr := conn.Write([]byte("c"))
				for what, err := range map[string]error{"Read": readErr, "a later Write": laterErr} {
					if !errors.Is(err, c.want) {
						t.Errorf("%s returned %v, want %v", what, err, c.want)
					}
				}
				select {
				case raw.result <- broken: // ends the Write that ran when the connection was closed
				default:
				}
			})
		})
	}
}

func TestCoalescingConn_TimesOutWhenPeerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		conn := newCoalescingConn(near, 10*time.Second)
		start := time.Now()
		mustWrite(t, conn, "a")
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read returned %v, want os.ErrDeadlineExceeded", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v, want 10s", took)
		}
	})
}

func TestCoalescingConn_WaitsForPeerWithoutTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		conn := newCoalescingConn(near, 0)
		mustWrite(t, conn, "a")
		time.Sleep(time.Hour)
		if n, err := far.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("the peer read %d bytes, error %v; want 1 byte", n, err)
		}
	})
}

func TestCoalescingConn_KeepsOrderOfConcurrentWriters(t *testing.T) {
	near, far := net.Pipe()
	conn := newCoalescingConn(near, time.Minute)
	const writers, frames = 8, 500
	go func() {
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range frames {
					mustWrite(t, conn, string([]byte{byte(w), byte(i >> 8), byte(i)}))
				}
			})
		}
		all.Wait()
	}()
	var next [writers]int
	frame := make([]byte, 3)
	for range writers * frames {
		if _, err := io.ReadFull(far, frame); err != nil {
			t.Fatal(err)
		}
		if i := int(frame[1])<<8 | int(frame[2]); i != next[frame[0]] {
			t.Fatalf("writer %d: got frame %d, want frame %d", frame[0], i, next[frame[0]])
		}
		next[frame[0]]++
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCoalescingConn sends frames of the size of a read request from 32 goroutines over TCP. "alone" sends each
// frame with a system call of its own, as a plain connection does.
func BenchmarkCoalescingConn(b *testing.B) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"alone":     func(c net.Conn) net.Conn { return c },
		"coalesced": func(c net.Conn) net.Conn { return newCoalescingConn(c, time.Minute) },
	} {
		b.Run(name, func(b *testing.B) {
			conn := wrap(dialSink(b))
			frame := make([]byte, 120)
			b.SetParallelism(16)
			b.SetBytes(int64(len(frame)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := conn.Write(frame); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// dialSink returns a TCP connection to a peer that reads and drops everything.
func dialSink(b *testing.B) net.Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	b.Cleanup(func() { _ = conn.Close(); _ = peer.Close() })
	return conn
}

// panickingConn panics in Write.
type panickingConn struct{ *stepConn }

func (c panickingConn) Write([]byte) (int, error) { panic("while sending") }

func TestCoalescingConn_PanicWhileSendingClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newCoalescingConn(panickingConn{newStepConn()}, 0)
		if _, err := conn.Write([]byte("frame")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := conn.Write([]byte("frame")); !errors.Is(err, panics.ErrPanic) {
			t.Errorf("a later write: %v; want panics.ErrPanic", err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, panics.ErrPanic) {
			t.Errorf("a read: %v; want panics.ErrPanic", err)
		}
	})
}
