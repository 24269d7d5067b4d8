// Package top shows what several instances of the service do now, in a terminal. It reads /metrics of each instance again and
// again, and shows the differences as rates and quantiles.
//
//	Client.Fetch ──▶ Scrape ──▶ ratesBetween two scrapes ──▶ screen ──▶ lines of text
//
// Invariants:
//
//  1. An instance that does not answer is shown as down, and the others go on.
//  2. A counter that became smaller has begun again: its new value counts.
//  3. Texts of an instance reach the terminal without control characters.
//  4. What an instance sends is bounded: maxMetricsBytes and maxListBytes.
//
// It does not defend against an instance that sends wrong numbers.
package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// fetchTimeout is how long one instance may take to answer.
const fetchTimeout = 5 * time.Second

// Instance is one instance of the service.
type Instance struct {
	Name string // as shown
	URL  string // https://HOST:PORT
}

// Config configures Run. All fields are required.
type Config struct {
	Instances []Instance
	// Interval is the time between two scrapes.
	Interval time.Duration
	// Once makes Run print one screen, after two scrapes, and return.
	Once bool
	// Fetch scrapes the instance with this URL, such as Client.Fetch.
	Fetch func(ctx context.Context, url string) (*Scrape, error)
	Out   io.Writer
	// Size returns the size of the terminal that Out is; zeros if Out is not a terminal.
	Size func() (width, height int)
	Now  func() time.Time
}

// ErrDown means that an instance did not answer.
var ErrDown = errors.New("an instance did not answer")

// Run shows the instances until ctx ends, or once. With Once, the error is ErrDown if an instance did not answer.
func Run(ctx context.Context, c Config) error {
	m := &monitor{Config: c, last: make([]*Scrape, len(c.Instances))}
	m.begin()
	defer m.end()
	for round := 1; ; round++ {
		s := m.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !c.Once || round == 2 {
			if err := m.draw(s); err != nil {
				return err
			}
		}
		if c.Once && round == 2 {
			return s.err()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Interval):
		}
	}
}

// monitor is one run.
type monitor struct {
	Config
	last []*Scrape // the last good scrape of each instance
}

// view is what is known about one instance in one round.
type view struct {
	name   string
	err    error // why there is no scrape
	scrape *Scrape
	rates  *rates // nil before the second scrape
}

// look scrapes all instances at the same time.
func (m *monitor) look(ctx context.Context) screen {
	s := screen{views: make([]view, len(m.Instances)), interval: m.Interval}
	var all sync.WaitGroup
	for i, instance := range m.Instances {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
			defer cancel()
			v := view{name: instance.Name}
			v.scrape, v.err = m.Fetch(ctx, instance.URL)
			if v.err == nil {
				v.scrape.at = m.Now()
				v.rates = ratesBetween(m.last[i], v.scrape)
				m.last[i] = v.scrape
			}
			s.views[i] = v
		})
	}
	all.Wait()
	s.at = m.Now()
	return s
}

// err returns ErrDown if an instance did not answer.
func (s screen) err() error {
	for _, v := range s.views {
		if v.err != nil {
			return ErrDown
		}
	}
	return nil
}

// Control sequences of ANSI terminals.
const (
	openScreen  = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	closeScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// isLive reports whether the screen is drawn again and again in a terminal.
func (m *monitor) isLive() bool {
	width, _ := m.Size()
	return width > 0 && !m.Once
}

func (m *monitor) begin() {
	if m.isLive() {
		_, _ = io.WriteString(m.Out, openScreen)
	}
}

func (m *monitor) end() {
	if m.isLive() {
		_, _ = io.WriteString(m.Out, closeScreen)
	}
}

// draw writes a screen. In a terminal it replaces the screen before, and cuts off what has no room.
func (m *monitor) draw(s screen) error {
	lines := s.lines()
	if !m.isLive() {
		_, err := fmt.Fprintf(m.Out, "%s\n\n", strings.Join(lines, "\n"))
		return err
	}
	width, height := m.Size()
	var b strings.Builder
	b.WriteString(home)
	for i, line := range lines[:min(len(lines), max(height-1, 1))] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(cut(line, width))
		b.WriteString(clearLine)
	}
	b.WriteString(clearBelow)
	_, err := io.WriteString(m.Out, b.String())
	return err
}

// cut returns at most width characters of a line.
func cut(line string, width int) string {
	if runes := []rune(line); len(runes) > width {
		return string(runes[:width])
	}
	return line
}
