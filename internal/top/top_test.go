package top

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// parse returns the scrape of a text, at so many seconds.
func parse(t testing.TB, at int, metrics, list string) *Scrape {
	t.Helper()
	s := &Scrape{at: time.Unix(int64(at), 0)}
	if err := s.parseMetrics(strings.NewReader(metrics)); err != nil {
		t.Fatal(err)
	}
	if list != "" {
		if err := s.parseList(strings.NewReader(list)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// newRun returns a configuration with two instances. b is down from the second scrape on.
func newRun(t *testing.T, out *strings.Builder) Config {
	rounds := make(map[string]int)
	return Config{
		Instances: []Instance{{"a:8443", "https://a"}, {"b:8443", "https://b"}}, Interval: 2 * time.Second, Out: out, Now: time.Now,
		Size: func() (int, int) { return 0, 0 },
		Fetch: func(_ context.Context, url string) (*Scrape, error) {
			rounds[url]++
			if url == "https://b" && rounds[url] > 1 {
				return nil, errors.New("connection \x1b[31mrefused")
			}
			s := new(Scrape)
			return s, s.parseMetrics(strings.NewReader("userinfo_connections 3\n"))
		},
	}
}

func TestRun_OncePrintsOneScreenAndReportsInstancesThatAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		c := newRun(t, &out)
		c.Once = true
		start := time.Now()
		c.Fetch = serialized(c.Fetch)
		if err := Run(t.Context(), c); !errors.Is(err, ErrDown) {
			t.Errorf("got %v; want ErrDown", err)
		}
		if took := time.Since(start); took != c.Interval {
			t.Errorf("it took %v; want %v", took, c.Interval)
		}
		text := out.String()
		if strings.Count(text, "userinfo top  ") != 1 || !strings.Contains(text, "1 of 2 instances answer") ||
			!strings.Contains(text, "b:8443 is down: connection ?[31mrefused") || strings.Contains(text, "\x1b") {
			t.Errorf("it printed %q", text)
		}
	})
}

func TestRun_DrawsATerminalAgainAndRestoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		c := newRun(t, &out)
		c.Fetch = serialized(c.Fetch)
		c.Size = func() (int, int) { return 20, 5 }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // ends after the third screen
		defer cancel()
		if err := Run(ctx, c); err != nil {
			t.Error(err)
		}
		text := out.String()
		if !strings.HasPrefix(text, openScreen+home) || !strings.HasSuffix(text, clearBelow+closeScreen) || strings.Count(text, home) != 3 {
			t.Errorf("it wrote %q", text)
		}
		for _, screen := range strings.Split(text, home)[1:] {
			lines := strings.Split(screen, "\r\n")
			if len(lines) != 4 {
				t.Errorf("a screen has %d lines: %q", len(lines), screen)
			}
			for _, line := range lines {
				line, _, _ = strings.Cut(line, clearLine)
				if len([]rune(line)) > 20 {
					t.Errorf("a line is too long: %q", line)
				}
			}
		}
	})
}

// serialized returns fetch with a lock.
func serialized(fetch func(context.Context, string) (*Scrape, error)) func(context.Context, string) (*Scrape, error) {
	one := make(chan struct{}, 1)
	return func(ctx context.Context, url string) (*Scrape, error) {
		one <- struct{}{}
		defer func() { <-one }()
		return fetch(ctx, url)
	}
}
