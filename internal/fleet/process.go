package fleet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"strings"
	"sync"
)

// maxLogBytes limits how much of a process's log is kept. Requests are counted beyond the limit.
const maxLogBytes = 4 << 20

// LoggedRequest is the part of a request's log record that is counted.
type LoggedRequest struct {
	Method string
	Status int
}

// process is one run of an instance. One goroutine reads its log until it ends.
type process struct {
	command     *exec.Cmd
	onListening func(address string) error // called once
	listening   chan struct{}              // closed when the process listens; it may not be ready yet
	listenErr   error                      // the result of onListening; read it after listening is closed
	serving     chan struct{}              // closed when the process can use Cassandra
	ended       chan struct{}              // closed when the process has ended

	mu       sync.Mutex // guards the fields below
	killed   bool
	logs     bytes.Buffer
	requests map[LoggedRequest]int
}

// startProcess starts command. onListening is called when the process logs the address that it listens at.
func startProcess(command *exec.Cmd, onListening func(address string) error) (*process, error) {
	p := newProcess(command, onListening)
	stderr, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go p.readLog(bufio.NewReader(stderr))
	return p, nil
}

func newProcess(command *exec.Cmd, onListening func(address string) error) *process {
	return &process{
		command: command, onListening: onListening,
		listening: make(chan struct{}), serving: make(chan struct{}), ended: make(chan struct{}), requests: make(map[LoggedRequest]int),
	}
}

// readLog reads the log until the process ends.
func (p *process) readLog(lines *bufio.Reader) {
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			p.addLine(line)
		}
		if err != nil {
			break
		}
	}
	_ = p.command.Wait() // the exit code is in ProcessState
	close(p.ended)
}

// addLine counts a request on a session key and keeps every other line, except messages of the Cassandra driver.
func (p *process) addLine(line []byte) {
	var record struct {
		Msg, Address, Method, Route string
		Status                      int
	}
	valid := json.Unmarshal(line, &record) == nil
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case valid && record.Msg == "request" && record.Route == "/sessions/v1/:key":
		p.requests[LoggedRequest{record.Method, record.Status}]++
		return
	case valid && record.Msg == "driver":
		return
	case valid && strings.HasPrefix(record.Msg, "listening;"):
		p.setListening(record.Address)
	case valid && record.Msg == "serving":
		select {
		case <-p.listening:
		default: // an earlier version of the program, which listens only when it is ready
			p.setListening(record.Address)
		}
		close(p.serving)
	}
	if p.logs.Len() < maxLogBytes {
		p.logs.Write(line)
	}
}

// setListening stores where the process listens. The caller holds mu.
func (p *process) setListening(address string) {
	p.listenErr = p.onListening(address)
	close(p.listening)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logs.String()
}

func (p *process) requestCounts() map[LoggedRequest]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.requests)
}

func (p *process) setKilled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
}

func (p *process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}
