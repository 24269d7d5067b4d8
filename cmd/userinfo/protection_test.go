package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/internal/keyfile"
)

// plantedSecrets are the files with secrets of a service, and what to search its memory for.
type plantedSecrets struct {
	t       *testing.T
	dir     string
	ca      *devca.CA
	token   access.Token
	needles map[string][][]byte // by secret: all forms that it may have in memory
	files   []string
	user    uint32 // of the service; 0: the user of the test
}

const memoryConfig = `listen: 127.0.0.1:0
tls: {certificate: server.crt, key: server.key, session_ticket_key: ticket.key}
cassandra: {hosts: [127.0.0.1], local_datacentre: dc1, username: userinfo, password_file: password, tls: {ca: ca.crt, certificate: client.crt, key: client.key}}
collections: [{name: sessions}]
seal: {index_key: index.key, keys: [seal.key]}
shutdown: {drain: 0s}
audit: {key_file: audit.key}
audiences:
  health: [{allow: true}]
  metrics: [{token: true}]
  sessions: [{token: true}]
clients:
  - {name: t, grants: [sessions:get, sessions:set, metrics:get], keys: ["*"], tokens: [{sha256: HASH}], signature_keys: [{id: s, file: signature.key}]}
`

func newPlantedSecrets(t *testing.T) *plantedSecrets {
	t.Helper()
	p := &plantedSecrets{t: t, dir: t.TempDir(), token: freshToken(t), needles: make(map[string][][]byte)}
	var err error
	if p.ca, err = devca.New("planted"); err != nil {
		t.Fatal(err)
	}
	p.write("ca.crt", p.ca.PEM())
	for name, leaf := range map[string]devca.Leaf{"server": devca.Loopback(), "client": {CommonName: "userinfo", Client: true}} {
		_, keyFile, err := p.ca.Write(p.dir, name, leaf)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		p.plantPEM(name+".key", text)
	}
	for _, kind := range keyKinds {
		var made strings.Builder
		if code := run(t.Context(), []string{"key", "new", kind.name}, &made, io.Discard); code != exitOK {
			t.Fatalf("key new %s: exit code %d", kind.name, code)
		}
		p.plantKey(kind.name+".key", made.String())
	}
	password := "planted-" + string(freshToken(t))
	p.write("password", []byte(password+"\n"))
	p.plant("password", []byte(password))
	p.write("userinfo.yaml", []byte(strings.Replace(memoryConfig, "HASH", p.token.HashText(), 1)))
	return p
}

func (p *plantedSecrets) write(name string, text []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plantedSecrets) plant(name string, forms ...[]byte) {
	p.needles[name] = forms
	p.files = append(p.files, name)
}

// plantKey plants a key file: the key itself, its text, the pads of an HMAC with it, and what HKDF extracts from it.
func (p *plantedSecrets) plantKey(name, text string) {
	p.t.Helper()
	p.write(name, []byte(text))
	_, encoded, _ := strings.Cut(strings.TrimSpace(text), ":")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != 32 {
		p.t.Fatalf("%s: %d bytes, %v", name, len(key), err)
	}
	extracted, err := hkdf.Extract(sha256.New, key, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	forms := [][]byte{[]byte(encoded[:40])}
	for _, k := range [][]byte{key, extracted} {
		forms = append(forms, k, xor(k, 0x36), xor(k, 0x5c))
	}
	p.plant(name, forms...)
}

// plantPEM plants a private key: a line of its PEM, and its scalar in both byte orders.
func (p *plantedSecrets) plantPEM(name string, text []byte) {
	p.t.Helper()
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		p.t.Fatal(err)
	}
	scalar, err := parsed.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	reversed := slices.Clone(scalar)
	slices.Reverse(reversed)
	p.plant(name, scalar, reversed, bytes.Split(text, []byte("\n"))[1][20:60])
}

func xor(text []byte, with byte) []byte {
	text = slices.Clone(text)
	for i := range text {
		text[i] ^= with
	}
	return text
}

// copies counts the copies of each secret in the memory that a process can write.
func (p *plantedSecrets) copies(pid int) map[string]int {
	p.t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		p.t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		p.t.Fatal(err)
	}
	defer memory.Close()
	counts := make(map[string]int)
	total := 0
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil {
			p.t.Fatalf("%q: %v", line, err)
		}
		if !strings.HasPrefix(mode, "rw") {
			continue
		}
		region := make([]byte, to-from)
		n, err := memory.ReadAt(region, int64(from))
		if err != nil {
			p.t.Fatalf("%q: %v", line, err)
		}
		total += n
		region = withoutEmptyPages(region)
		for name, forms := range p.needles {
			for _, form := range forms {
				counts[name] += bytes.Count(region, form)
			}
		}
	}
	if total < 1<<20 {
		p.t.Fatalf("only %d bytes of memory could be read", total)
	}
	return counts
}

// withoutEmptyPages removes pages that contain only zeros, to search the rest faster. The rest stays in order.
func withoutEmptyPages(region []byte) []byte {
	empty := make([]byte, os.Getpagesize())
	used := region[:0]
	for page := range slices.Chunk(region, len(empty)) {
		if !bytes.Equal(page, empty) {
			used = append(used, page...)
		}
	}
	return used
}

// startedService is a service in a process of its own.
type startedService struct {
	t       *testing.T
	command *exec.Cmd
	log     chan string
}

// start runs program with the planted files until the test ends.
func (p *plantedSecrets) start(program string, args ...string) *startedService {
	p.t.Helper()
	return p.startCommand(exec.Command(program, append(args, "--config", "userinfo.yaml")...))
}

// startCommand starts a command that becomes the service, in the directory of the planted files.
func (p *plantedSecrets) startCommand(command *exec.Cmd) *startedService {
	p.t.Helper()
	s := &startedService{t: p.t, command: command, log: make(chan string, 100)}
	s.command.Dir = p.dir
	if p.user != 0 {
		s.command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.user, Gid: p.user}}
	}
	stderr, err := s.command.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(s.log)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.log <- lines.Text()
		}
	}()
	p.t.Cleanup(func() {
		_ = s.command.Process.Kill()
		for range s.log {
		}
		_ = s.command.Wait()
	})
	return s
}

// await reads the log up to a line that matches, and returns the first group.
func (s *startedService) await(expression string) string {
	s.t.Helper()
	want := regexp.MustCompile(expression)
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		select {
		case line, ok := <-s.log:
			if m := want.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
			if !ok {
				s.t.Fatalf("the service ended before it logged %s", expression)
			}
		case <-ctx.Done():
			s.t.Fatalf("the service has not logged %s", expression)
		}
	}
}

// reload makes the service read every file again, n times.
func (s *startedService) reload(n int) {
	s.t.Helper()
	for range n + 1 { // the service logs the signal before it reads
		if err := s.command.Process.Signal(syscall.SIGHUP); err != nil {
			s.t.Fatal(err)
		}
		s.await(`"msg":"SIGHUP`)
	}
}

// client returns a client that trusts the service.
func (p *plantedSecrets) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.ca.Pool()}}}
}

// send sends a request with the token, and returns the body of a successful response.
func (p *plantedSecrets) send(client *http.Client, method, url string) string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader("value"))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+string(p.token))
	if method == http.MethodGet {
		r.Body, r.ContentLength = nil, 0
	} else {
		r.Header.Set("TTL", "60")
	}
	response, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		p.t.Fatal(response.Status, err)
	}
	return string(body)
}

// maxCopies is how many copies of one secret a service may have. One is the service's own. The others are what crypto/tls,
// crypto/x509, crypto/hkdf and crypto/hmac leave while a file is parsed.
const maxCopies = 8

// TestService_KeepsFewCopiesOfSecrets counts the copies of each secret in the memory of a service, also copies that the garbage
// collector has not overwritten yet. Neither reloads nor requests may add copies.
func TestService_KeepsFewCopiesOfSecrets(t *testing.T) {
	p := newPlantedSecrets(t)
	s := p.start("userinfo-memory")
	address := s.await(`"msg":"serving".*"address":"([^"]+)"`)
	check := func(after string) {
		t.Helper()
		copies := p.copies(s.command.Process.Pid)
		for _, name := range p.files {
			if n := copies[name]; n > maxCopies {
				t.Errorf("%s: %d copies after %s; at most %d", name, n, after, maxCopies)
			}
		}
		t.Logf("copies after %s: %v", after, copies)
		if copies["seal.key"] == 0 || copies["server.key"] == 0 {
			t.Errorf("after %s, not even the service's own copies are found", after)
		}
	}
	check("the start")
	s.reload(100)
	check("100 reloads")
	client := p.client()
	defer client.CloseIdleConnections()
	for i := range 200 {
		p.send(client, http.MethodPut, fmt.Sprintf("https://%s/sessions/v1/key-%d", address, i))
	}
	check("200 requests")
}

// refuseLogins is a node of Cassandra that asks for a password, refuses it, and then sends on the channel.
func (p *plantedSecrets) refuseLogins() (port int, refused <-chan struct{}) {
	p.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(p.dir, "server.crt"), filepath.Join(p.dir, "server.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	logins := make(chan struct{}, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go refuseLogin(c, logins)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, logins
}

// refuseLogin answers the frames of the native protocol, version 4, that a driver sends until it has logged in.
func refuseLogin(c net.Conn, refused chan<- struct{}) {
	defer c.Close()
	const class = "org.apache.cassandra.auth.PasswordAuthenticator"
	answers := map[byte]struct {
		opcode byte
		body   []byte
	}{
		0x05: {0x06, []byte{0, 0}},                                  // OPTIONS: SUPPORTED, nothing
		0x01: {0x03, append([]byte{0, byte(len(class))}, class...)}, // STARTUP: AUTHENTICATE
		0x0F: {0x00, []byte{0, 0, 1, 0, 0, 3, 'b', 'a', 'd'}},       // AUTH_RESPONSE: ERROR, bad credentials
	}
	for {
		header := make([]byte, 9)
		if _, err := io.ReadFull(c, header); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(header[5:]))); err != nil {
			return
		}
		answer := answers[header[4]]
		frame := append([]byte{0x84, 0, header[2], header[3], answer.opcode}, binary.BigEndian.AppendUint32(nil, uint32(len(answer.body)))...)
		if _, err := c.Write(append(frame, answer.body...)); err != nil {
			return
		}
		if header[4] == 0x0F {
			refused <- struct{}{}
		}
	}
}

// copiesPerLogin is how many copies of the password a refused login may leave, until their memory is used again: the answer to the
// node, and the buffers of the driver and of the connection. If the node accepts the password, the answer is overwritten.
const copiesPerLogin = 3

// TestServe_KeepsFewCopiesOfPassword counts copies of Cassandra's password while each login is refused, which is when the service
// logs in most often.
func TestServe_KeepsFewCopiesOfPassword(t *testing.T) {
	p := newPlantedSecrets(t)
	port, refused := p.refuseLogins()
	p.write("userinfo.yaml", []byte(strings.NewReplacer("HASH", p.token.HashText(), "hosts: [127.0.0.1]", fmt.Sprintf("hosts: [127.0.0.1], port: %d", port)).Replace(memoryConfig)))
	s := p.start("userinfo-dumpable", "serve")
	for range 3 {
		select {
		case <-refused:
		case <-time.After(patience):
			t.Fatal("the service does not log in")
		}
	}
	copies := p.copies(s.command.Process.Pid)["password"]
	logins := 3 + len(refused) + 1 // those that came while the memory was searched, and one under way
	t.Logf("%d copies of the password after %d logins", copies, logins-1)
	if copies > logins*copiesPerLogin {
		t.Errorf("%d copies of the password; at most %d", copies, logins*copiesPerLogin)
	}
}

// giveTo makes another user the service's user, with everything that it needs. Only root can do this.
func (p *plantedSecrets) giveTo(user uint32, program string) {
	p.t.Helper()
	for _, dir := range []string{p.dir, filepath.Dir(program)} {
		for ; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chown(filepath.Join(p.dir, f.Name()), int(user), int(user)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.user = user
}

// TestServe_ForbidsCoreDumps starts the real program as a user that is not root. The files of a process that is not dumpable
// belong to root in /proc, so that the process's own user cannot read its memory. Metrics and the memory limit, which the
// process reads there, must work all the same.
func TestServe_ForbidsCoreDumps(t *testing.T) {
	p := newPlantedSecrets(t)
	program, err := exec.LookPath("userinfo")
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		p.giveTo(64001, program)
	}
	s := p.start(program, "serve")
	address := s.await(`"msg":"listening.*"address":"([^"]+)"`)
	line := s.await(`.*memory limit.*|.*cannot be read.*`)
	if !strings.Contains(line, "memory limit in bytes") {
		t.Error(line)
	}
	proc := fmt.Sprintf("/proc/%d/", s.command.Process.Pid)
	info, err := os.Stat(proc + "environ")
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
		t.Errorf("user %d can read the memory", owner)
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%v\n%s", err, limits)
	}
	client := p.client()
	defer client.CloseIdleConnections()
	metrics := p.send(client, http.MethodGet, "https://"+address+"/metrics")
	for _, name := range []string{"process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_max_fds", "process_start_time_seconds"} {
		if !strings.Contains(metrics, "\n"+name+" ") {
			t.Errorf("metric %s is missing", name)
		}
	}
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for line := range s.log {
		if strings.Contains(line, "core dumps are possible") || strings.Contains(line, "not locked") {
			t.Error(line)
		}
	}
}

func TestServe_SaysThatKeysAreNotLocked(t *testing.T) {
	p := newPlantedSecrets(t)
	program, err := exec.LookPath("userinfo")
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		p.giveTo(64001, program) // the limit does not apply to root
	}
	s := p.start("sh", "-c", `ulimit -l 0 && exec userinfo serve "$@"`, "sh")
	s.await(`"level":"WARN".*keys are in memory that is not locked.*LimitMEMLOCK=64K.*cannot allocate memory|"level":"WARN".*not locked.*not permitted`)
}

func TestLogMissingProtection_SaysWhatToSet(t *testing.T) {
	for _, dumpable := range []uintptr{1, 0} {
		before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, dumpable, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		logMissingProtection(slog.New(slog.NewTextHandler(&log, nil)))
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "LimitCORE=0"); got != (dumpable != 0) {
			t.Errorf("dumpable %d: %s", dumpable, &log)
		}
		if got := strings.Contains(log.String(), "LimitMEMLOCK="); got != (keyfile.MemoryLocked() != nil) {
			t.Errorf("locked memory (%v): %s", keyfile.MemoryLocked(), &log)
		}
	}
}
