package load

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress tells how far a load is. It is safe for concurrent use.
type progress struct {
	out      io.Writer // nil: it tells nothing
	terminal bool
	data     Dataset
	from     int
	now      func() time.Time

	mu          sync.Mutex
	done        int
	began, told time.Time
}

func newProgress(l Loading, data Dataset, from int) *progress {
	p := &progress{out: l.Progress, terminal: l.Terminal, data: data, from: from, now: time.Now}
	p.began = p.now()
	p.told = p.began
	return p
}

// add is called for each value that is set.
func (p *progress) add() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	every := 10 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	if now := p.now(); now.Sub(p.told) >= every {
		p.told = now
		p.tell("")
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		p.tell("\n")
	} else {
		p.tell("")
	}
}

const barWidth = 24

// tell writes a line such as
//
//	[#########               ]  37.5 %  525.0 of 1400.0 MB  5120 values/s  1m24s left
func (p *progress) tell(after string) {
	if p.out == nil {
		return
	}
	there := p.from + p.done
	share := float64(there) / float64(p.data.Values)
	size := float64(p.data.ValueBytes) / 1e6
	rate := float64(p.done) / max(p.now().Sub(p.began).Seconds(), 1e-3)
	left := "?"
	if p.done > 0 {
		left = time.Duration(float64(p.data.Values-there) / rate * float64(time.Second)).Round(time.Second).String()
	}
	filled := int(share * barWidth)
	line := fmt.Sprintf("[%s%s] %5.1f %%  %.1f of %.1f MB  %.0f values/s  %s left",
		strings.Repeat("#", filled), strings.Repeat(" ", barWidth-filled), 100*share,
		float64(there)*size, float64(p.data.Values)*size, rate, left)
	if p.terminal {
		fmt.Fprintf(p.out, "\r%-79s%s", line, after)
		return
	}
	fmt.Fprintln(p.out, line)
}
