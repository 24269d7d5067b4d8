//go:build integration

package proxies

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests send requests with this key and this value, and look for them in everything that a proxy writes.
const (
	plantedKey   = "planted-key-5f2c91"
	plantedValue = "planted-value-91ad3e"
)

// upstreamFailures returns how the service, or the network to it, can fail.
func (env *environment) upstreamFailures(t *testing.T) map[string]behaviour {
	const head = "HTTP/1.1 200 OK\r\n"
	return map[string]behaviour{
		"service closes after the request":    write(""),
		"service closes in the header":        write(head + "Content-Le"),
		"service closes in the body":          write(head + "Content-Length: 100000\r\n\r\n" + plantedValue),
		"service closes in a chunk":           write(head + "Transfer-Encoding: chunked\r\n\r\nfff\r\n" + plantedValue),
		"service sends a bad chunk":           write(head + "Transfer-Encoding: chunked\r\n\r\nzz" + plantedValue + "\r\n"),
		"service sends no HTTP":               write(plantedValue + "\r\n\r\n"),
		"service sends a bad header":          write(head + "Bad header " + plantedValue + "\r\n\r\n"),
		"service sends a bad status":          write("HTTP/1.1 2x0 " + plantedValue + "\r\n\r\n"),
		"service sends too large a header":    write(head + "X-Long: " + strings.Repeat(plantedValue, 20_000) + "\r\n\r\n"),
		"service sends two lengths":           write(head + "Content-Length: 3\r\nContent-Length: 9\r\n\r\n" + plantedValue),
		"service sends more than it said":     write(head + "Content-Length: 3\r\n\r\n" + plantedValue),
		"service is silent":                   hang,
		"service is unavailable":              write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
		"service closes before the handshake": {plain: func(net.Conn) {}},
		"service speaks no TLS":               {plain: func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }},
		"service's certificate is of another": {certificate: env.pair(t, "alice")},
	}
}

// malformedRequests returns requests with the planted key that a proxy refuses, or forwards without harm.
func malformedRequests() map[string]string {
	const host = " HTTP/1.1\r\nHost: userinfo.example\r\n"
	path := "/sessions/v1/" + plantedKey
	return map[string]string{
		"body too large":              "PUT " + path + host + "Content-Length: 999999999\r\n\r\n" + plantedValue,
		"no space":                    "GET" + path + host + "\r\n",
		"no version":                  "GET " + path + "\r\n\r\n",
		"unknown version":             "GET " + path + " HTTP/9.9\r\nHost: userinfo.example\r\n\r\n",
		"only the key":                plantedKey + "\r\n\r\n",
		"key as method":               strings.ToUpper(plantedKey) + " /" + host + "\r\n",
		"NUL in the path":             "GET " + path + "\x00" + host + "\r\n",
		"escaped NUL in the path":     "GET " + path + "%00" + host + "\r\n",
		"control character":           "GET " + path + "\x01" + host + "\r\n",
		"bad escape":                  "GET " + path + "%zz" + host + "\r\n",
		"path out of the root":        "GET /../../" + plantedKey + host + "\r\n",
		"path too long":               "GET " + path + strings.Repeat("x", 100_000) + host + "\r\n",
		"header too long":             "GET " + path + host + "X-Long: " + strings.Repeat(plantedKey, 10_000) + "\r\n\r\n",
		"bad header name":             "GET " + path + host + "Bad Header " + plantedKey + ": x\r\n\r\n",
		"header without a colon":      "GET " + path + host + plantedKey + "\r\n\r\n",
		"bad host":                    "GET " + path + " HTTP/1.1\r\nHost: " + plantedKey + "/\\\r\n\r\n",
		"no host":                     "GET " + path + " HTTP/1.1\r\n\r\n",
		"two hosts":                   "GET " + path + host + "Host: " + plantedKey + "\r\n\r\n",
		"key as length":               "PUT " + path + host + "Content-Length: " + plantedKey + "\r\n\r\n",
		"unknown transfer coding":     "PUT " + path + host + "Transfer-Encoding: " + plantedKey + "\r\n\r\n",
		"bad chunk":                   "PUT " + path + host + "Transfer-Encoding: chunked\r\n\r\nzz" + plantedValue + "\r\n",
		"unknown expectation":         "PUT " + path + host + "Expect: " + plantedKey + "\r\nContent-Length: 1\r\n\r\n",
		"absolute URL":                "GET https://userinfo.example" + path + host + "\r\n",
		"absolute URL, bad port":      "GET https://userinfo.example:" + plantedKey + "/" + host + "\r\n",
		"tunnel":                      "CONNECT " + plantedKey + ":443" + host + "\r\n",
		"trace":                       "TRACE " + path + host + "\r\n",
		"range":                       "GET " + path + host + "Range: bytes=" + plantedKey + "\r\n\r\n",
		"key in a referrer":           "GET " + path + host + "Referer: https://userinfo.example" + path + "\r\n\r\n",
		"key in an underscore header": "GET " + path + host + "X_Key: " + plantedKey + "\r\n\r\n",
	}
}

// leakTest is a proxy in front of a broken service, and everything that the proxy writes.
type leakTest struct {
	env     *environment
	kind    kind
	service *brokenService
	proxy   *proxy
	cwd     string // where a crashing worker writes its core dump
}

// talkative returns changes that make the proxy log as much as it can.
func (k kind) talkative() []string {
	return map[string][]string{
		"haproxy": {"local0 warning", "local0 debug"},
		"nginx":   {"/var/log/nginx/error.log;", "/var/log/nginx/error.log debug;"},
	}[k.name]
}

// startLeakTest starts a proxy with short timeouts and the permission to write core dumps.
func startLeakTest(t *testing.T, env *environment, k kind, changes ...string) *leakTest {
	t.Helper()
	l := &leakTest{env: env, kind: k, service: env.serveBroken(t, k)}
	var err error
	if l.cwd, err = os.MkdirTemp("", "proxy"); err != nil { // t.TempDir is closed to the proxies' user
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(l.cwd) })
	if err := os.Chmod(l.cwd, 0o777); err != nil {
		t.Fatal(err)
	}
	command := k.command
	if k.isHaproxy() {
		command = func(config string) *exec.Cmd { return exec.Command("haproxy", "-W", "-f", config) } // as systemd starts it
	}
	changes = append(changes, map[string][]string{
		"haproxy":       {"timeout server 90s", "timeout server 300ms", "timeout http-request 5s", "timeout http-request 500ms"},
		"local haproxy": {"timeout server 3s", "timeout server 300ms"},
		"nginx":         {"proxy_read_timeout 3s", "proxy_read_timeout 300ms"},
	}[k.name]...)
	k.command = func(config string) *exec.Cmd {
		c := command(config)
		c = exec.Command("sh", append([]string{"-c", `ulimit -c unlimited; exec "$@"`, "sh"}, c.Args...)...)
		c.Dir = l.cwd
		return c
	}
	l.proxy = env.start(t, k, &service{address: l.service.address}, changes...)
	if k.isHaproxy() {
		l.awaitHealthCheck(t)
	}
	return l
}

// awaitHealthCheck waits until haproxy knows that the service is up for the backend of the requests: that /readyz answers, or
// only that TLS works, as the example has it. After that, many checks must fail before it is down. Until then, one is enough.
func (l *leakTest) awaitHealthCheck(t *testing.T) {
	t.Helper()
	server := map[string]string{haproxy.name: "certificates,userinfo1,", local.name: "userinfo,userinfo1,"}[l.kind.name]
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(ask(l.env.file("haproxy.sock"), "show stat")) {
			if strings.HasPrefix(line, server) && (strings.Contains(line, ",L7OK,") || strings.Contains(line, ",L6OK,")) {
				return
			}
		}
	}
	t.Fatal("haproxy did not check the service's health")
}

// send sends a request on a new connection and reads the response. What comes back does not matter, but a proxy may also
// wait for more of the request.
func (l *leakTest) send(t *testing.T, cert, text string) {
	t.Helper()
	c := l.dial(t, cert)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.WriteString(c, text) // fails if the proxy has closed the connection
	readResponse(c)
}

func readResponse(c net.Conn) {
	if response, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// address returns where clients connect.
func (l *leakTest) address() string { return l.proxy.at(l.kind.ports[len(l.kind.ports)-1]) }

func (l *leakTest) dial(t *testing.T, cert string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.address())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if l.kind.name == local.name {
		return c
	}
	config := &tls.Config{RootCAs: l.env.servers.Pool(), ServerName: "userinfo.example", NextProtos: []string{"http/1.1"}}
	if pair := (*tls.Certificate)(nil); cert != "" {
		pair = l.env.pair(t, cert)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return tls.Client(c, config)
}

// get and put return whole requests with the planted key and value.
func get() string {
	return "GET /sessions/v1/" + plantedKey + " HTTP/1.1\r\nHost: userinfo.example\r\nConnection: close\r\n\r\n"
}

func put(length int) string {
	return fmt.Sprintf("PUT /sessions/v1/%s HTTP/1.1\r\nHost: userinfo.example\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", plantedKey, length, plantedValue)
}

// begin sends a request and waits until it has reached the service.
func (l *leakTest) begin(t *testing.T, text string) net.Conn {
	t.Helper()
	select {
	case <-l.service.begun: // of an earlier request
	default:
	}
	c := l.dial(t, "alice")
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.service.begun:
	case <-time.After(20 * time.Second):
		t.Error("the request did not reach the service")
	}
	return c
}

// failures runs every failure except those that end processes.
func (l *leakTest) failures(t *testing.T) {
	for name, behaves := range l.env.upstreamFailures(t) {
		l.step(t, name, behaves, func() {
			l.send(t, "alice", get())
			l.send(t, "alice", put(len(plantedValue)))
			l.sendHTTP2(t)
		})
	}
	for name, text := range malformedRequests() {
		l.step(t, name, behaviour{}, func() { l.send(t, "alice", text) })
	}
	l.step(t, "client has a certificate of another CA", behaviour{}, func() { l.send(t, "mallory", get()) })
	l.step(t, "client speaks no TLS", behaviour{}, func() {
		c, err := net.Dial("tcp", l.address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, get())
		readResponse(c)
	})
	for name, text := range map[string]string{"client leaves before the response": get(), "client leaves in the body": put(1_000_000)} {
		l.step(t, name, hang, func() { _ = l.begin(t, text).Close() })
	}
	l.service.refuse()
	l.step(t, "service refuses connections", behaviour{}, func() { l.send(t, "alice", get()) })
}

// step runs one failure. It logs the failure's name if the proxy then writes a key or a value.
func (l *leakTest) step(t *testing.T, name string, behaves behaviour, fail func()) {
	t.Helper()
	l.service.become(behaves)
	before := l.leaks(t)
	fail()
	if after := l.leaks(t); after > before {
		t.Logf("%s: leaks", name)
	}
}

func (l *leakTest) sendHTTP2(t *testing.T) {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: l.env.servers.Pool(), ServerName: "userinfo.example"}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 2 * time.Second}).Get("https://" + l.address() + "/sessions/v1/" + plantedKey)
	if err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// written returns all that the proxy has written, by place: its output, files in the directories of the test, and what its
// statistics socket shows.
func (l *leakTest) written(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{"its output": l.proxy.printed()}
	for _, dir := range []string{l.env.dir, l.cwd} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			texts[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if l.kind.isHaproxy() {
		for _, command := range []string{
			"show errors", "show stat", "show info", "show sess all", "show events", "show activity", "show table", "show pools", "show fd", "show trace", "trace h1 sink buf0", "show env",
		} {
			texts["the answer to "+command] = ask(l.env.file("haproxy.sock"), command)
		}
	}
	return texts
}

// ask sends a command to haproxy's statistics socket. It returns "" if haproxy has ended.
func ask(socket, command string) string {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, command+"\n")
	text, _ := io.ReadAll(c)
	return string(text)
}

// leaks returns how often the planted key and value are in what the proxy has written. haproxy writes bytes of a request as
// lines of at most 72 characters, so a part of the key or value counts too.
func (l *leakTest) leaks(t *testing.T) (n int) {
	t.Helper()
	for _, text := range l.written(t) {
		n += count(text)
	}
	return n
}

func count(text string) int {
	text = strings.ToLower(text)
	return strings.Count(text, "planted-") + strings.Count(text, "5f2c91") + strings.Count(text, "91ad3e")
}

// check reports each place where the proxy has written a key or a value.
func (l *leakTest) check(t *testing.T) {
	t.Helper()
	for place, text := range l.written(t) {
		if count(text) > 0 {
			t.Errorf("%s has a key or a value: %.2000s", place, text)
		}
	}
}

// workers returns the process ids of the proxy's workers.
func (l *leakTest) workers(t *testing.T) (pids []int) {
	t.Helper()
	master := l.proxy.command.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// temporaryFiles returns the regular files that a worker has open and that no test has made: unlinked files and files in
// nginx's directories for temporary files.
func (l *leakTest) temporaryFiles(t *testing.T) (paths []string) {
	t.Helper()
	for _, pid := range l.workers(t) {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			target, err := os.Readlink(link)
			if err == nil && strings.HasPrefix(target, "/var/lib/") {
				paths = append(paths, target)
			}
		}
	}
	return paths
}

// TestProxies_WriteNoKeyOrValue makes every failure happen.
func TestProxies_WriteNoKeyOrValue(t *testing.T) {
	t.Parallel()
	for _, k := range []kind{haproxy, nginx, local} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			l := startLeakTest(t, newEnvironment(t), k, k.talkative()...)
			l.failures(t)
			l.check(t)
		})
	}
}

// TestNginx_WritesNoKeyOfLimitedRequest adds a rate limit, as an operator might. nginx logs limited requests as errors.
func TestNginx_WritesNoKeyOfLimitedRequest(t *testing.T) {
	limit := "server_tokens off; limit_req_zone $binary_remote_addr zone=all:1m rate=1r/m; limit_req zone=all;"
	l := startLeakTest(t, newEnvironment(t), nginx, append(nginx.talkative(), "server_tokens off;", limit)...)
	for range 3 {
		l.send(t, "alice", get())
	}
	l.check(t)
	if text := l.written(t)[l.env.file("nginx.log")]; !strings.Contains(text, "status=503") {
		t.Errorf("no request was limited: %s", text)
	}
}

// TestProxies_WriteNoKeyOrValueWhenProcessesEnd reloads the proxy, kills its workers and stops it, each with a request in
// flight.
func TestProxies_WriteNoKeyOrValueWhenProcessesEnd(t *testing.T) {
	for _, k := range []kind{haproxy, nginx, local} {
		reload := syscall.SIGHUP
		if k.isHaproxy() {
			reload = syscall.SIGUSR2
		}
		for name, end := range map[string]func(t *testing.T, l *leakTest){
			"reload": func(t *testing.T, l *leakTest) { signal(t, reload, l.proxy.command.Process.Pid) },
			"kill":   func(t *testing.T, l *leakTest) { signal(t, syscall.SIGKILL, l.workers(t)...) },
			"crash":  func(t *testing.T, l *leakTest) { signal(t, syscall.SIGSEGV, l.workers(t)...) },
			"stop":   func(_ *testing.T, l *leakTest) { l.proxy.stop() },
		} {
			t.Run(k.name+" "+name, func(t *testing.T) {
				l := startLeakTest(t, newEnvironment(t), k, k.talkative()...)
				l.service.become(hang)
				c := l.begin(t, put(len(plantedValue)))
				end(t, l)
				readResponse(c) // 504, or the connection is closed
				_ = c.Close()
				l.proxy.stop()
				l.check(t)
			})
		}
	}
}

func signal(t *testing.T, s syscall.Signal, pids ...int) {
	t.Helper()
	if len(pids) == 0 {
		t.Fatal("there is no process")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
}

// TestProxies_WriteNoTemporaryFiles sends a large value in each direction and stops in the middle.
func TestProxies_WriteNoTemporaryFiles(t *testing.T) {
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			l := startLeakTest(t, newEnvironment(t), k)
			if paths := l.largeValues(t); len(paths) > 0 {
				t.Errorf("the proxy has temporary files: %v", paths)
			}
		})
	}
}

// largeValues returns the temporary files that the proxy has while a large value is half sent.
func (l *leakTest) largeValues(t *testing.T) (paths []string) {
	t.Helper()
	send := l.dial(t, "alice")
	defer func() { _ = send.Close() }()
	if _, err := io.WriteString(send, put(10_000_000)+strings.Repeat("x", 5_000_000)); err != nil {
		t.Fatal(err)
	}
	l.service.become(write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + strings.Repeat("x", 100_000_000)))
	receive := l.dial(t, "alice")
	defer func() { _ = receive.Close() }()
	if _, err := io.WriteString(receive, get()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(receive, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	// A proxy that uses no file does nothing that could be awaited, so look for a while.
	for range 50 {
		if found := l.temporaryFiles(t); len(found) > len(paths) {
			paths = found
		}
		time.Sleep(10 * time.Millisecond)
	}
	return paths
}

// TestLeakTest_FindsLeaks checks that the failures happen and that leaks are found: it removes the lines that prevent leaks
// from the examples.
func TestLeakTest_FindsLeaks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		kind    kind
		changes []string
		place   string // part of its name
	}{
		{"nginx error log", nginx, []string{"error_log /dev/null emerg;", ""}, "its output"},
		{"nginx access log", nginx, []string{" port=$server_port", " $request"}, "nginx.log"},
		{"haproxy socket", haproxy, []string{"level user", "level admin", "retries 1", "retries 0"}, "show errors"},
		{"haproxy log", haproxy, []string{`%sq/%bq"`, `%sq/%bq %HU"`, "retries 1", "retries 0"}, "its output"},
		{"local haproxy socket", local, []string{"level user", "level admin", "retries 2", "retries 0"}, "show errors"},
		{"local haproxy log", local, []string{"no log", "log stderr format raw local0 debug\n\toption httplog"}, "its output"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := startLeakTest(t, newEnvironment(t), test.kind, append(test.changes, test.kind.talkative()...)...)
			l.failures(t)
			var leaking []string
			for place, text := range l.written(t) {
				if count(text) > 0 {
					leaking = append(leaking, filepath.Base(place))
				}
			}
			if !slices.ContainsFunc(leaking, func(place string) bool { return strings.Contains(place, test.place) }) {
				t.Errorf("found leaks in %q; want %s", leaking, test.place)
			}
		})
	}
	t.Run("nginx core dump", func(t *testing.T) {
		if pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err != nil || strings.ContainsAny(string(pattern), "/|") {
			t.Log("this machine does not write core dumps into the working directory")
			return
		}
		l := startLeakTest(t, newEnvironment(t), nginx, "worker_rlimit_core 0;", "", "worker_processes auto;", "worker_processes 1;") // each overwrites the file
		l.service.become(hang)
		c := l.begin(t, put(len(plantedValue)))
		signal(t, syscall.SIGSEGV, l.workers(t)...)
		readResponse(c)
		_ = c.Close()
		l.proxy.stop()
		if l.leaks(t) == 0 {
			t.Error("found no core dump")
		}
	})
	t.Run("nginx temporary files", func(t *testing.T) {
		l := startLeakTest(t, newEnvironment(t), nginx, "proxy_request_buffering off;", "", "proxy_max_temp_file_size 0;", "")
		if paths := l.largeValues(t); len(paths) == 0 {
			t.Error("found no temporary files")
		}
	})
}

// TestProxies_LogFailures checks that operators learn of failures although the log has no URL.
func TestProxies_LogFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		kind    kind
		behaves behaviour
		want    string
	}{
		{"nginx closed", nginx, write(""), "status=502"},
		{"nginx silent", nginx, hang, "status=504"},
		{"haproxy closed", haproxy, write(""), " 502 "},
		{"haproxy silent", haproxy, hang, " 504 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := startLeakTest(t, newEnvironment(t), test.kind)
			l.service.become(test.behaves)
			l.send(t, "alice", get())
			// A proxy may write its log after the response.
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
				for _, text := range l.written(t) {
					if strings.Contains(text, test.want) {
						return
					}
				}
			}
			t.Errorf("no log has %q", test.want)
		})
	}
}
