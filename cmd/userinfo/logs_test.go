package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"userinfo/access"
	"userinfo/internal/devca"
)

// loggingProcess is `userinfo serve` with tables in memory. Its standard error is a pipe that the test reads, or does not.
type loggingProcess struct {
	t       *testing.T
	dir     string
	command *exec.Cmd
	pipe    *os.File // the end that is read
	writer  *os.File // the end that the process writes to
	base    string
	client  *http.Client
	token   access.Token
	ended   chan error

	mu   sync.Mutex
	text bytes.Buffer // what was read
}

// plantedKey begins all session keys. It must not be in any log.
const plantedKey = "planted-"

// startLoggingProcess starts the program and reads its standard error until it serves.
func startLoggingProcess(t *testing.T, level, audit string) *loggingProcess {
	t.Helper()
	p := &loggingProcess{t: t, dir: t.TempDir(), token: freshToken(t), ended: make(chan error, 1)}
	ca, err := devca.New("test")
	p.must(err)
	_, _, err = ca.Write(p.dir, "server", devca.Loopback())
	p.must(err)
	config := strings.NewReplacer("DIR", p.dir, "AUDIT", audit, "LEVEL", level, "HASH", p.token.HashText()).Replace(`listen: 127.0.0.1:0
tls: {certificate: DIR/server.crt, key: DIR/server.key}
cassandra: {hosts: [127.0.0.1], local_datacentre: dc1, username: userinfo, password_file: password, tls: {ca: ca.crt}}
collections: [{name: sessions, layout: kask}]
shutdown: {drain: 0s}
audit: {AUDIT}
log_level: LEVEL
audiences: {health: [{allow: true}], metrics: [{token: true}], sessions: [{token: true}]}
clients: [{name: t, grants: [metrics:get, sessions:get, sessions:set, sessions:delete], keys: ["*"], tokens: [{sha256: HASH}]}]
`)
	for name, text := range map[string][]byte{"userinfo.yaml": []byte(config), "password": []byte("password"), "ca.crt": ca.PEM()} {
		p.must(os.WriteFile(filepath.Join(p.dir, name), text, 0o600))
	}
	p.client = &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	p.pipe, p.writer, err = os.Pipe()
	p.must(err)
	p.command = exec.CommandContext(t.Context(), "userinfo-memory", "--config", filepath.Join(p.dir, "userinfo.yaml"))
	p.command.Stderr = p.writer
	p.must(p.command.Start())
	go func() { p.ended <- p.command.Wait() }()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		_ = p.pipe.Close() // so that the process cannot wait for it
	})
	p.base = "https://" + p.readUntil(`"msg":"serving".*"address":"([^"]*)"`)[1]
	return p
}

func (p *loggingProcess) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// readUntil reads lines of the pipe until one matches.
func (p *loggingProcess) readUntil(expression string) []string {
	p.t.Helper()
	want := regexp.MustCompile(expression)
	_ = p.pipe.SetReadDeadline(time.Now().Add(patience))
	defer func() { _ = p.pipe.SetReadDeadline(time.Time{}) }()
	var line []byte
	for one := make([]byte, 1); ; {
		if _, err := p.pipe.Read(one); err != nil {
			p.t.Fatalf("%v before a line matches %s; read:\n%s%s", err, expression, p.logged(), line)
		}
		line = append(line, one[0])
		if one[0] != '\n' {
			continue
		}
		p.mu.Lock()
		p.text.Write(line)
		p.mu.Unlock()
		if m := want.FindStringSubmatch(string(line)); m != nil {
			return m
		}
		line = nil
	}
}

// readAll reads the pipe from now on.
func (p *loggingProcess) readAll() {
	go func() {
		for lines := bufio.NewReader(p.pipe); ; {
			line, err := lines.ReadBytes('\n')
			p.mu.Lock()
			p.text.Write(line)
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

// logged returns what was read.
func (p *loggingProcess) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// fillPipe writes spaces until the pipe is full.
func (p *loggingProcess) fillPipe() {
	p.t.Helper()
	// With the same open file, the process would not wait either.
	f, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", p.writer.Fd()), unix.O_WRONLY|unix.O_NONBLOCK, 0)
	p.must(err)
	defer unix.Close(f)
	for {
		if _, err := unix.Write(f, []byte(" ")); errors.Is(err, unix.EAGAIN) {
			return
		} else if err != nil && !errors.Is(err, unix.EINTR) {
			p.t.Fatal(err)
		}
	}
}

// ask sends a request and returns status and body.
func (p *loggingProcess) ask(method, path, body string, token access.Token) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.base+path, strings.NewReader(body))
	p.must(err)
	r.Header.Set("Authorization", "Bearer "+string(token))
	res, err := p.client.Do(r)
	p.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	p.must(err)
	return res.StatusCode, string(text)
}

// want sends a request about a key and checks its status.
func (p *loggingProcess) want(status int, method, key string) {
	p.t.Helper()
	body := ""
	if method == "PUT" {
		body = "value"
	}
	if got, text := p.ask(method, "/sessions/v1/"+plantedKey+key, body, p.token); got != status ||
		status == 503 && !strings.Contains(text, "urn:userinfo:problem:audit-unavailable") {
		p.t.Fatalf("%s %s: %d %s; want %d", method, key, got, text, status)
	}
}

// metric returns the value of a metric without labels.
func (p *loggingProcess) metric(name string) float64 {
	p.t.Helper()
	status, text := p.ask("GET", "/metrics", "", p.token)
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if status != 200 || m == nil {
		p.t.Fatalf("%d, no metric %s in\n%s", status, name, text)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	p.must(err)
	return v
}

func (p *loggingProcess) eventually(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("this has not happened: %s; log:\n%s", what, p.logged())
		}
	}
}

func (p *loggingProcess) awaitMetric(name string, value float64) {
	p.t.Helper()
	p.eventually(fmt.Sprint(name, " is ", value), func() bool { return p.metric(name) == value })
}

// terminate sends SIGTERM and returns the exit code.
func (p *loggingProcess) terminate() int {
	p.t.Helper()
	p.must(p.command.Process.Signal(syscall.SIGTERM))
	var failed *exec.ExitError
	if err := <-p.ended; err != nil && !errors.As(err, &failed) {
		p.t.Fatal(err)
	}
	return p.command.ProcessState.ExitCode()
}

// checkRecords checks the audit records in a log: those of deletes, by status, and that no session key is there.
func checkRecords(t *testing.T, where, text string, deletes int) {
	t.Helper()
	if n := strings.Count(text, `"msg":"audit","decision":"allowed","client":"t","method":"DELETE","route":"/sessions/v1/:key","status":204`); n != deletes {
		t.Errorf("%s has records of %d deletes; want %d:\n%s", where, n, deletes, text)
	}
	if strings.Contains(text, plantedKey) {
		t.Errorf("%s has a session key:\n%s", where, text)
	}
}

func TestLogs_FullPipe(t *testing.T) {
	for name, required := range map[string]bool{"required": true, "not required": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startLoggingProcess(t, "info", fmt.Sprintf("required: %t, patience: 1s", required))
			for _, key := range []string{"1", "2", "3"} {
				p.want(204, "PUT", key)
			}
			p.want(204, "DELETE", "1")
			p.readUntil(`"msg":"audit"`)
			p.fillPipe()
			p.want(204, "DELETE", "2") // within audit.patience
			p.awaitMetric("userinfo_audit_unavailable", 1)
			deletes := 3
			if required {
				p.want(503, "DELETE", "3")
				p.want(200, "GET", "3") // it was not deleted
				if status, text := p.ask("GET", "/sessions/v1/"+plantedKey, "", "userinfo_unknown"); status != 503 {
					t.Errorf("an unknown token: %d %s", status, text)
				}
				if n := p.metric("userinfo_audit_refused_total"); n != 2 {
					t.Errorf("%v requests are counted as refused; want 2", n)
				}
			} else {
				p.want(204, "DELETE", "3")
				deletes++
				if status, text := p.ask("GET", "/sessions/v1/"+plantedKey, "", "userinfo_unknown"); status != 401 {
					t.Errorf("an unknown token: %d %s", status, text)
				}
			}
			p.want(204, "PUT", "4")
			p.want(200, "GET", "4")
			if status, text := p.ask("GET", "/readyz", "", p.token); status != 200 || !strings.Contains(text, "audit records cannot be written") {
				t.Errorf("/readyz: %d %s", status, text)
			}
			p.readAll()
			p.awaitMetric("userinfo_audit_unavailable", 0)
			p.want(204, "DELETE", "4")
			if code := p.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			p.must(p.writer.Close())
			p.eventually("the end of the log is read", func() bool { return strings.Contains(p.logged(), `"msg":"stopped"`) })
			checkRecords(t, "standard error", p.logged(), deletes)
		})
	}
}

func TestLogs_ClosedPipe(t *testing.T) {
	t.Parallel()
	p := startLoggingProcess(t, "info", "patience: 1s")
	p.want(204, "PUT", "1")
	p.must(errors.Join(p.pipe.Close(), p.writer.Close()))
	p.want(204, "DELETE", "1")
	p.awaitMetric("userinfo_audit_unavailable", 1)
	p.want(503, "DELETE", "2")
	p.want(404, "GET", "1")
	if p.metric("userinfo_audit_write_failures_total") == 0 || p.metric("userinfo_log_write_failures_total") == 0 {
		t.Error("failed writes are not counted")
	}
	if code := p.terminate(); code != exitFailed {
		t.Errorf("exit code %d; want %d, because an audit record is lost", code, exitFailed)
	}
}

func TestLogs_AuditFile(t *testing.T) {
	t.Parallel()
	p := startLoggingProcess(t, "info", "patience: 1s, file: audit.log")
	p.readAll()
	file := filepath.Join(p.dir, "audit.log")
	read := func(name string) string {
		text, err := os.ReadFile(name)
		p.must(err)
		return string(text)
	}
	p.want(204, "DELETE", "1")
	p.awaitMetric("userinfo_audit_unwritten_records", 0)
	p.must(os.Rename(file, file+".1"))
	p.must(p.command.Process.Signal(syscall.SIGHUP))
	p.eventually("the file is opened again", func() bool { return strings.Contains(p.logged(), "opened the audit file again") })
	p.want(204, "DELETE", "2")

	// The file cannot grow, as on a full disk.
	p.awaitMetric("userinfo_audit_unwritten_records", 0)
	var before unix.Rlimit
	p.must(unix.Prlimit(p.command.Process.Pid, unix.RLIMIT_FSIZE, nil, &before))
	size := uint64(len(read(file)))
	p.must(unix.Prlimit(p.command.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size + 100, Max: before.Max}, nil)) // room for a part of a record
	p.want(204, "DELETE", "3")
	p.awaitMetric("userinfo_audit_unavailable", 1)
	p.want(503, "DELETE", "4")
	p.want(204, "PUT", "5")
	p.eventually("the failure is logged", func() bool { return strings.Contains(p.logged(), "file too large") })
	p.must(unix.Prlimit(p.command.Process.Pid, unix.RLIMIT_FSIZE, &before, nil))
	p.awaitMetric("userinfo_audit_unavailable", 0)
	p.want(204, "DELETE", "5")
	if code := p.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.must(p.writer.Close())
	p.eventually("the end of the log is read", func() bool { return strings.Contains(p.logged(), `"msg":"stopped"`) })
	checkRecords(t, "the moved file", read(file+".1"), 1)
	checkRecords(t, "the new file", read(file), 3)
	checkRecords(t, "the copy on standard error", p.logged(), 4)
}

// TestLogs_EveryRequestIsLogged counts as the drills do: clients, metrics and log must agree.
func TestLogs_EveryRequestIsLogged(t *testing.T) {
	t.Parallel()
	const workers, requests = 4, 250
	p := startLoggingProcess(t, "debug", "")
	p.readAll()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range requests {
				if status, _ := p.ask("GET", "/sessions/v1/"+plantedKey, "", p.token); status != 404 {
					t.Errorf("status %d", status)
				}
			}
		})
	}
	all.Wait()
	if n := p.metric("userinfo_log_dropped_total"); n != 0 {
		t.Errorf("%v log records were dropped", n)
	}
	p.terminate()
	p.must(p.writer.Close())
	p.eventually("the end of the log is read", func() bool { return strings.Contains(p.logged(), `"msg":"stopped"`) })
	if n := strings.Count(p.logged(), `"msg":"request"`); n != workers*requests+1 { // and the one for the metrics
		t.Errorf("%d requests are in the log; want %d", n, workers*requests+1)
	}
}

// TestLogs_FullDisk has a standard error that is on a full disk.
func TestLogs_FullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	s := newTestService(t)
	c := *s.config.Config
	c.Audit.Patience = time.Nanosecond
	l, err := openLogs(&c, full, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	l.Info("a record")
	if reserved, err := l.audit.Reserve(false); !reserved || err != nil {
		t.Fatalf("%t, %v", reserved, err)
	}
	l.audit.Record(context.Background())
	for deadline := time.Now().Add(patience); l.audit.Check() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a full disk is not noticed")
		}
	}
	if _, err := l.audit.Reserve(false); err == nil {
		t.Error("a delete is allowed although no record can be written")
	}
	l.audit.Close(0)
	l.standard.Close(0)
}
