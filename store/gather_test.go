package store

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
)

// slowConn is a connection that sends what is written when it is let, and notes in which pieces.
type slowConn struct {
	net.Conn
	let chan error // how the write that goes on ends

	mu     sync.Mutex
	pieces []string
}

func newSlowConn() *slowConn {
	here, _ := net.Pipe()
	return &slowConn{Conn: here, let: make(chan error)}
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.pieces = append(c.pieces, string(p))
	c.mu.Unlock()
	if err := <-c.let; err != nil {
		return 0, err
	}
	return len(p), nil
}

// sent are the pieces so far, once everybody waits.
func (c *slowConn) sent() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pieces)
}

func mustWrite(t *testing.T, w io.Writer, p string) {
	t.Helper()
	if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d bytes, error %v", n, len(p), err)
	}
}

func TestFramesWrittenWhileOthersAreSentGoOutTogetherAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSlowConn()
		g := newGathering(c, time.Minute)
		for _, p := range []string{"a", "b", "c", "d"} {
			mustWrite(t, g, p)
			c.sent()
		}
		c.let <- nil
		if got, want := c.sent(), []string{"a", "bcd"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		mustWrite(t, g, "e")
		c.let <- nil
		c.sent()
		c.let <- nil
		if got, want := c.sent(), []string{"a", "bcd", "e"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestAFrameGoesOutAtOnceWhereNothingIsBeingSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSlowConn()
		g := newGathering(c, time.Minute)
		start := time.Now()
		for _, want := range []string{"a", "b", "c"} {
			mustWrite(t, g, want)
			if sent := c.sent(); sent[len(sent)-1] != want {
				t.Errorf("sent %q, want %q last", sent, want)
			}
			c.let <- nil
			c.sent()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// withoutRoom is a connection that is sending "a", behind which as much waits as may.
func withoutRoom(t *testing.T) (g *gathering, c *slowConn, full string) {
	t.Helper()
	c = newSlowConn()
	g = newGathering(c, time.Minute)
	mustWrite(t, g, "a")
	c.sent()
	full = string(bytes.Repeat([]byte("b"), gatherMost))
	mustWrite(t, g, full)
	return g, c, full
}

func TestAWriteWaitsWhereTooMuchIsToBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c, full := withoutRoom(t)
		written := false
		go func() {
			mustWrite(t, g, "c")
			written = true
		}()
		if c.sent(); written {
			t.Error("it does not wait")
		}
		c.let <- nil
		if c.sent(); !written {
			t.Error("it still waits once there is room")
		}
		c.let <- nil
		c.sent()
		c.let <- nil
		if got, want := c.sent(), []string{"a", full, "c"}; !slices.Equal(got, want) {
			t.Errorf("sent %d pieces, want %d", len(got), len(want))
		}
	})
}

func TestAWriteThatFindsNoRoomInTimeHasNotBegunAndOthersMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c, full := withoutRoom(t)
		start := time.Now()
		n, err := g.Write([]byte("c"))
		if took := time.Since(start); n != 0 || !errors.Is(err, context.DeadlineExceeded) || took != gatherPatience {
			t.Errorf("wrote %d bytes, error %v, after %v", n, err, took)
		}
		c.let <- nil
		c.sent()
		mustWrite(t, g, "d")
		c.let <- nil
		c.sent()
		c.let <- nil
		if got, want := c.sent(), []string{"a", full, "d"}; !slices.Equal(got, want) {
			t.Errorf("sent %d pieces, want %d", len(got), len(want))
		}
	})
}

func TestWhatCannotBeSentEndsTheConnection(t *testing.T) {
	broken := errors.New("broken")
	for claim, end := range map[string]struct {
		do   func(*gathering, *slowConn)
		want error
	}{
		"a write that fails": {func(_ *gathering, c *slowConn) { c.let <- broken }, broken},
		"a close":            {func(g *gathering, _ *slowConn) { _ = g.Close() }, net.ErrClosed},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, c, _ := withoutRoom(t)
				var reading, waiting error
				go func() { _, reading = g.Read(make([]byte, 1)) }()
				go func() { _, waiting = g.Write([]byte("b")) }()
				c.sent()
				end.do(g, c)
				pieces := c.sent()
				_, writing := g.Write([]byte("c"))
				for who, err := range map[string]error{"who reads": reading, "who waits to write": waiting, "who writes after": writing} {
					if !errors.Is(err, end.want) {
						t.Errorf("%s is told %v, want %v", who, err, end.want)
					}
				}
				if !slices.Equal(pieces, []string{"a"}) {
					t.Errorf("sent %d pieces, want the first", len(pieces))
				}
				select {
				case c.let <- broken: // the write that went on at a close
				default:
				}
			})
		})
	}
}

func TestAPeerThatTakesNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		g := newGathering(here, 10*time.Second)
		start := time.Now()
		mustWrite(t, g, "a")
		if _, err := g.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("who waits for an answer is told %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWithoutATimeoutAPeerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		g := newGathering(here, 0)
		mustWrite(t, g, "a")
		time.Sleep(time.Hour)
		if n, err := there.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("%d bytes arrive, error %v", n, err)
		}
	})
}

func TestEveryByteArrivesOnceAndEachWritersInOrder(t *testing.T) {
	here, there := net.Pipe()
	g := newGathering(here, time.Minute)
	const writers, frames = 8, 500
	go func() {
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range frames {
					mustWrite(t, g, string([]byte{byte(w), byte(i >> 8), byte(i)}))
				}
			})
		}
		all.Wait()
	}()
	var next [writers]int
	frame := make([]byte, 3)
	for range writers * frames {
		if _, err := io.ReadFull(there, frame); err != nil {
			t.Fatal(err)
		}
		if i := int(frame[1])<<8 | int(frame[2]); i != next[frame[0]] {
			t.Fatalf("frame %d of writer %d came when %d was due", i, frame[0], next[frame[0]])
		}
		next[frame[0]]++
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}
