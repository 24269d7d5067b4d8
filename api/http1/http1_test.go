package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRequestsOfAConnectionAreAnsweredInTurnInWhateverPiecesTheyCome(t *testing.T) {
	s := start(t, echo)
	put := "PUT /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nvalue"
	all := ask("/a") + put + "\r\n" + put + ask("/c")
	for _, n := range []int{1, 2, 7, len(all)} {
		c := s.dial(t)
		go func() {
			for left := all; left != ""; left = left[min(n, len(left)):] {
				if _, err := io.WriteString(c, left[:min(n, len(left))]); err != nil {
					return // the answers tell
				}
			}
		}()
		for _, want := range []string{"/a ", "/b value", "/b value", "/c "} {
			if _, got := c.answer(t); got != want {
				t.Fatalf("in pieces of %d: %q; want %q", n, got, want)
			}
		}
	}
}

func TestWhatIsNoRequestIsRefusedAndTheConnectionClosed(t *testing.T) {
	var handled []string
	s := start(t, func(w http.ResponseWriter, r *http.Request) { handled = append(handled, r.RequestURI) }, func(c *Config) { c.MaxHeaderBytes = 8 << 10 })
	for sent, want := range map[string]*refusal{
		"GET /k HTTP/1.1\r\n\r\n":                                       errHost,
		with("A: b", " c") + ask("/after"):                              errFolded,
		with("Content-Length: 5", "Content-Length: 6"):                  errLength,
		with("A: " + strings.Repeat("b", 8<<10)):                        errHeaderTooLarge,
		with(strings.Split(strings.Repeat("A: b|", maxFields), "|")...): errManyFields,
		"GET /" + strings.Repeat("k", 9<<10):                            errHeaderTooLarge,
		with(strings.Split(strings.Repeat("A:\n", 4<<10), "\n")...):     errHeaderTooLarge,
	} {
		c := s.dial(t)
		c.send(t, sent)
		res, body := c.answer(t)
		if res.StatusCode != want.status || body != want.detail || !res.Close {
			t.Errorf("%.40q: %d %s, close %v; want %d %s", sent, res.StatusCode, body, res.Close, want.status, want.detail)
		}
		if more := c.rest(t); more != "" {
			t.Errorf("%.40q: and then %q", sent, more)
		}
	}
	if len(handled) > 0 {
		t.Errorf("it was taken for a request: %q", handled)
	}
}

func TestAHeaderThatDoesNotComeInTimeIsRefusedAndSilenceIsNotAnswered(t *testing.T) {
	s := start(t, echo, func(c *Config) { c.HeaderTimeout = 50 * time.Millisecond })
	for _, before := range []string{"", ask("/")} {
		c := s.dial(t)
		c.send(t, before+"GET / HTTP/1.1\r\n")
		if before != "" {
			c.answer(t)
		}
		if res, _ := c.answer(t); res.StatusCode != http.StatusRequestTimeout || !res.Close {
			t.Errorf("after %q: %d", before, res.StatusCode)
		}
		c.rest(t)
	}
	if said := s.dial(t).rest(t); said != "" {
		t.Errorf("silence is answered with %q", said)
	}
}

func TestABodyThatDoesNotComeInTimeIsAnErrorOfTheHandlers(t *testing.T) {
	errs := make(chan error, 1)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	}, func(c *Config) { c.ReadTimeout = 50 * time.Millisecond })
	for _, framing := range []string{"Content-Length: 5\r\n\r\nval", "Transfer-Encoding: chunked\r\n\r\n3\r\nval\r\n"} {
		c := s.dial(t)
		c.send(t, "PUT / HTTP/1.1\r\nHost: x\r\n"+framing)
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: %v", framing, err)
		}
		if res, _ := c.answer(t); !res.Close {
			t.Errorf("%q: the connection is kept", framing)
		}
		c.rest(t)
	}
}

func TestLineEndsBetweenRequestsAreNoneOfARequest(t *testing.T) {
	s := start(t, echo, func(c *Config) { c.HeaderTimeout, c.ParkAfter = 50*time.Millisecond, 10*time.Millisecond })
	c := s.dial(t)
	for range 2 {
		c.send(t, ask("/a"))
		if _, got := c.answer(t); got != "/a " {
			t.Fatalf("%q", got)
		}
		c.send(t, "\r\n")
		eventually(t, "it is parked as any other", func() bool { return s.Parked() == 1 })
		time.Sleep(100 * time.Millisecond) // in which a header that had begun would be refused
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if said := c.rest(t); said != "" {
		t.Errorf("it is told %q", said)
	}
}

func TestNo100ContinueComesInTheMiddleOfAnAnswer(t *testing.T) {
	value := strings.Repeat("v", 3*recordBytes)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(value)))
		_, _ = io.WriteString(w, value)
		_, _ = r.Body.Read(make([]byte, 5))
	})
	c := s.dial(t)
	c.send(t, "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nvalue")
	if _, got := c.answer(t); got != value {
		t.Errorf("%d bytes, 100 at %d", len(got), strings.Index(got, " 100 "))
	}
}

// Over TLS 1.2 the end of a connection may come with the last bytes before it.
func TestARequestBeforeTheEndOfAConnectionIsAnswered(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, cut := range []int{1, 5, len(ask("/a")) - 1, len(ask("/a"))} {
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					time.Sleep(2 * noticeAfter)
				}
				echo(w, r)
			})
			for _, before := range []string{"", ask("/slow")} {
				c := s.dialTLS(t, version)
				c.send(t, before+ask("/a")[:cut])
				c.send(t, ask("/a")[cut:])
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if said := c.rest(t); !strings.HasSuffix(said, "\r\n\r\n/a ") {
					t.Errorf("%s, cut at %d, after %q: %q", tls.VersionName(version), cut, before, said)
				}
			}
		}
	}
}

func TestTheTimeForAnAnswerBeginsWithIt(t *testing.T) {
	const timeout = 50 * time.Millisecond
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		one := make([]byte, 1)
		if _, err := r.Body.Read(one); err != nil {
			t.Errorf("reading: %v", err)
		}
		time.Sleep(2 * timeout)
		echo(w, r)
	}, func(c *Config) { c.WriteTimeout = timeout })
	c := s.dial(t)
	for range 2 {
		c.send(t, "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if res, _ := c.answer(t); res.StatusCode != http.StatusContinue {
			t.Fatalf("it is not asked for the body: %d", res.StatusCode)
		}
		c.send(t, "value")
		if _, got := c.answer(t); got != "/ alue" {
			t.Errorf("%q", got)
		}
	}
}

func TestABodyThatEndsEarlyIsAnErrorAndNotAShorterOne(t *testing.T) {
	errs := make(chan error, 1)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	})
	for _, framing := range []string{"Content-Length: 5\r\n\r\nval", "Transfer-Encoding: chunked\r\n\r\n3\r\nval\r\n", "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"} {
		c := s.dial(t)
		c.send(t, "PUT / HTTP/1.1\r\nHost: x\r\n"+framing)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-errs; err == nil {
			t.Errorf("%q was taken for whole", framing)
		}
		c.rest(t)
	}
}

func TestABodyThatIsLeftUnreadIsPassedOverWhereThatIsLittleWork(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {})
	smuggled := ask("/smuggled")
	for name, test := range map[string]struct {
		fields, body string
		kept         bool
	}{
		"a short one":         {"Content-Length: 36", smuggled[:36], true},
		"a long one":          {"Content-Length: 1000000", smuggled, false},
		"a chunked one":       {"Transfer-Encoding: chunked", "5\r\nvalue\r\n0\r\n\r\n", false},
		"one to be asked for": {"Expect: 100-continue\r\nContent-Length: 5", "", false},
	} {
		c := s.dial(t)
		c.send(t, "PUT / HTTP/1.1\r\nHost: x\r\n"+test.fields+"\r\n\r\n"+test.body)
		res, _ := c.answer(t)
		if res.StatusCode != 200 || res.Close == test.kept {
			t.Errorf("%s: %d, close %v", name, res.StatusCode, res.Close)
		}
		if !test.kept {
			if more := c.rest(t); more != "" {
				t.Errorf("%s: and then %q", name, more)
			}
			continue
		}
		c.send(t, ask("/next"))
		if res, _ := c.answer(t); res.StatusCode != 200 {
			t.Errorf("%s: the next is answered %d", name, res.StatusCode)
		}
	}
}

func TestAHandlerIsToldThatItsClientHasLeft(t *testing.T) {
	left := make(chan error)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			left <- r.Context().Err()
		case <-time.After(patience):
			left <- nil
		}
	})
	for _, sent := range []string{ask("/"), "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nvalue"} {
		c := s.dial(t)
		c.send(t, sent)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("%q: %v", sent, err)
		}
	}
}

func TestWhatComesWhileAHandlerRunsIsTheNextRequest(t *testing.T) {
	entered, opened := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-opened
		}
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusGone)
			return
		}
		echo(w, r)
	})
	c := s.dial(t)
	c.send(t, ask("/slow"))
	<-entered
	time.Sleep(2 * noticeAfter) // by then somebody reads beside the handler
	next := ask("/next")
	c.send(t, next[:10])
	time.Sleep(noticeAfter)
	close(opened)
	if _, got := c.answer(t); got != "/slow " {
		t.Errorf("the slow one: %q", got)
	}
	c.send(t, next[10:])
	if _, got := c.answer(t); got != "/next " {
		t.Errorf("the next: %q", got)
	}
}

func TestAPanicEndsTheConnectionAndNothingElse(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			time.Sleep(2 * noticeAfter) // while somebody reads beside it
			panic("a planted secret")
		}
		echo(w, r)
	})
	other := s.dial(t)
	other.send(t, ask("/a"))
	other.answer(t)
	c := s.dial(t)
	c.send(t, ask("/panic"))
	if said := c.rest(t); said != "" {
		t.Errorf("it is answered with %q", said)
	}
	other.send(t, ask("/b"))
	if _, got := other.answer(t); got != "/b " {
		t.Errorf("another: %q", got)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log := s.logs.String(); !strings.Contains(log, "panic") || !strings.Contains(log, "http1_test.go") || strings.Contains(log, "planted") {
		t.Errorf("the log has not where it was, or what it said: %s", log)
	}
}

func TestShutdownWaitsForAnswersAndForNothingElse(t *testing.T) {
	entered, opened := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-opened
		}
		echo(w, r)
	}, func(c *Config) { c.ParkAfter = time.Millisecond })
	silent, parked, asking, begun := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	parked.send(t, ask("/"))
	parked.answer(t)
	eventually(t, "one is parked", func() bool { return s.Parked() == 1 })
	begun.send(t, "GET /begun HTTP/1.1\r\n")
	asking.send(t, ask("/slow"))
	<-entered
	eventually(t, "the begun request has been read", func() bool { return s.busy() == 2 })

	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a request in flight: %v", err)
	}
	for name, c := range map[string]*client{"silent": silent, "parked": parked} {
		if said := c.rest(t); said != "" {
			t.Errorf("the %s one is told %q", name, said)
		}
	}
	begun.send(t, "Host: x\r\n\r\n")
	close(opened)
	for c, want := range map[*client]string{asking: "/slow ", begun: "/begun "} {
		if res, got := c.answer(t); got != want || !res.Close {
			t.Errorf("%q is answered %q, close %v", want, got, res.Close)
		}
		c.rest(t)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("with nothing left: %v", err)
	}
	if said := s.dial(t).rest(t); said != "" {
		t.Errorf("a late one is told %q", said)
	}
}

// busy is how many connections have brought a part of a request that has not been answered.
func (s *service) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		c.mu.Lock()
		if !c.idle {
			n++
		}
		c.mu.Unlock()
	}
	return n
}
