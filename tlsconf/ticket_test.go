package tlsconf_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// ticketKey returns the contents of a key file, different for each seed.
func ticketKey(t testing.TB, seed byte) []byte {
	t.Helper()
	k, err := tlsconf.NewTicketKey(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(k.Text() + "\n")
}

// shared is a set of instances with the same ticket key, and a client that connects to them.
type shared struct {
	dir
	ca      *devca.CA
	clock   *clock
	servers []server
	at      []string
	client  *tls.Config
}

// startOfHour returns a clock that shows a quarter past an hour, so that a test does not cross into the next hour.
func startOfHour() *clock {
	c := newClock()
	now := time.Now()
	c.advance(now.Truncate(time.Hour).Add(75 * time.Minute).Sub(now))
	return c
}

func newShared(t *testing.T, instances int) *shared {
	s := &shared{dir: newDir(t), ca: newCA(t, "ca"), clock: startOfHour()}
	files := s.serverFiles(s.ca)
	files.ClientCA = s.write("clients.pem", s.ca.PEM())
	files.TicketKey = s.write("ticket", ticketKey(t, 1))
	for range instances {
		server := newServerAt(t, files, s.clock.now)
		s.servers = append(s.servers, server)
		s.at = append(s.at, serve(t, server.config()))
	}
	s.client = cached(client(s.ca, pair(t, s.ca, wiki())))
	s.client.Time = s.clock.now
	return s
}

// want connects to an instance and checks whether the session was resumed.
func (s *shared) want(when string, instance int, resumed bool) {
	s.t.Helper()
	if got := mustRequest(s.t, s.at[instance], s.client); got.Resumed != resumed || got.Peer != "wiki" {
		s.t.Errorf("%s, instance %d: %+v; want resumed: %v, client wiki", when, instance, got, resumed)
	}
}

func TestTicketKey_InstancesResumeEachOthersSessions(t *testing.T) {
	s := newShared(t, 2)
	s.want("first connection", 0, false)
	for range 2 {
		s.want("session of the other instance", 1, true)
		s.want("back at the first instance", 0, true)
	}
}

func TestTicketKey_InstancesWithoutKeyResumeOnlyTheirOwn(t *testing.T) {
	s := newShared(t, 0)
	files := s.serverFiles(s.ca)
	files.ClientCA = s.path("clients.pem")
	for range 2 {
		s.at = append(s.at, serve(t, newServer(t, files).config()))
	}
	s.want("first connection", 0, false)
	s.want("own session", 0, true)
	s.want("session of the other instance", 1, false)
}

func TestTicketKey_ResumesForEightHours(t *testing.T) {
	s := newShared(t, 2)
	s.want("first connection", 0, false)
	s.clock.advance(time.Hour)
	s.want("one hour later", 1, true) // the client gets a new ticket
	s.clock.advance(8 * time.Hour)
	s.want("another eight hours later", 0, true)
	s.clock.advance(9 * time.Hour)
	s.want("another nine hours later", 1, false)
	s.want("after the full handshake", 0, true)
}

func TestTicketKey_AcceptsTicketOfClockAhead(t *testing.T) {
	s := newShared(t, 1)
	files := s.serverFiles(s.ca)
	files.ClientCA, files.TicketKey = s.path("clients.pem"), s.path("ticket")
	ahead := newServerAt(t, files, func() time.Time { return s.clock.now().Add(time.Hour) })
	s.at = append(s.at, serve(t, ahead.config()))
	s.want("first connection", 1, false)
	s.want("session of the instance that is ahead", 0, true)
	s.want("session of the instance that is behind", 1, true)
}

func TestTicketKey_NewKeyRejectsOldTickets(t *testing.T) {
	s := newShared(t, 2)
	s.want("first connection", 0, false)
	s.write("ticket", ticketKey(t, 2))
	s.servers[0].mustReload(t)
	s.want("with another key", 0, false)
	s.want("with another key", 0, true)
	s.want("instance with the old key", 1, false)
	s.servers[1].mustReload(t)
	s.want("instance that has reloaded", 1, false)
	s.want("after the full handshake", 0, true)
}

func TestTicketKey_BadFileKeepsOldKey(t *testing.T) {
	s := newShared(t, 1)
	s.want("first connection", 0, false)
	s.write("ticket", []byte("userinfo-ticket-key-1:planted\n"))
	_, err := s.servers[0].reload()
	wantFieldError(t, err, "session_ticket_key", "userinfo key new ticket")
	s.want("after a failed reload", 0, true)
}

func TestTicketKey_RotationFailsNoHandshake(t *testing.T) {
	s := newShared(t, 2)
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		config := cached(client(s.ca, pair(t, s.ca, wiki())))
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := request(t, s.at[(i+n)%2], config); err != nil || got.Peer != "wiki" {
					t.Errorf("request %d of client %d: %+v, %v", n, i, got, err)
					return
				}
			}
		})
	}
	for step := range 12 {
		s.clock.advance(time.Hour)
		s.write("ticket", ticketKey(t, byte(step+2)))
		for i := range s.servers {
			s.servers[i].mustReload(t)
			mustRequest(t, s.at[i], client(s.ca, nil))
		}
	}
	close(stop)
	clients.Wait()
}

func TestTicketKey_CertificateOfResumedSessionIsVerified(t *testing.T) {
	s := newShared(t, 2)
	soon := devca.Leaf{CommonName: "wiki", Client: true, NotAfter: s.clock.now().Add(30 * time.Minute)}
	s.client.GetClientCertificate = nil
	s.client.Certificates = []tls.Certificate{*pair(t, s.ca, soon)}
	s.want("first connection", 0, false)
	s.want("while the certificate is valid", 1, true)
	s.clock.advance(40 * time.Minute) // stays within the hour of the ticket key
	wantRefused(t, s.at[0], s.client, "bad certificate")
}

// TestTicketKey_RevokedCertificateOfResumedSessionIsRejected calls VerifyChains as the API does at each request.
func TestTicketKey_RevokedCertificateOfResumedSessionIsRejected(t *testing.T) {
	s := newShared(t, 0)
	files := s.serverFiles(s.ca)
	files.ClientCA, files.TicketKey = s.path("clients.pem"), s.path("ticket")
	files.Denied = s.write("denied", nil)
	server := newServer(t, files)
	verified := make(chan error, 1)
	config := server.config()
	inner := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := inner(hello)
		if err == nil {
			verify := c.VerifyConnection
			c.VerifyConnection = func(state tls.ConnectionState) error {
				if err := verify(state); err != nil {
					return err
				}
				_, err := server.current.Load().VerifyChains(tlsconf.VerifiedChains(hello.Conn))
				verified <- fmt.Errorf("resumed %v: %w", state.DidResume, err)
				return nil
			}
		}
		return c, err
	}
	s.at = []string{serve(t, config)}
	leaf := pair(t, s.ca, wiki())
	s.client = cached(client(s.ca, leaf))
	for _, step := range []struct{ denied, want string }{
		{"", "resumed false: %!w(<nil>)"}, {"", "resumed true: %!w(<nil>)"},
		{fmt.Sprintf("serial=%X\n", leaf.Leaf.SerialNumber), "resumed true: " + tlsconf.ErrRevoked.Error()},
	} {
		if step.denied != "" {
			s.write("denied", []byte(step.denied))
			server.mustReload(t)
		}
		mustRequest(t, s.at[0], s.client)
		if got := (<-verified).Error(); got != step.want {
			t.Errorf("%q; want %q", got, step.want)
		}
	}
}

func TestTicketKey_NoTicketsWithTLS12(t *testing.T) {
	for _, shared := range []bool{false, true} {
		ca, d := newCA(t, "ca"), newDir(t)
		files := d.serverFiles(ca)
		files.MinVersion = "1.2"
		if shared {
			files.TicketKey = d.write("ticket", ticketKey(t, 1))
		}
		address := serve(t, newServer(t, files).config())
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := cached(client(ca, nil))
			config.MaxVersion = version
			mustRequest(t, address, config)
			if got := mustRequest(t, address, config); got.Resumed != (version == tls.VersionTLS13) {
				t.Errorf("%s, with a ticket key: %v: resumed: %v", tls.VersionName(version), shared, got.Resumed)
			}
		}
	}
}

func TestTicketKey_FileMustBeSecret(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	for _, test := range []struct {
		name string
		file string
		mode os.FileMode
		says string
	}{
		{"readable by others", d.write("readable", ticketKey(t, 1)), 0o604, "mode 0604"},
		{"missing", d.path("planted-missing"), 0, "cannot be opened"},
		{"a directory", d.root, 0, "regular file"},
		{"another kind of key", d.write("other", bytes.Replace(ticketKey(t, 1), []byte("ticket"), []byte("audit"), 1)), 0o600, "userinfo key new ticket"},
		{"empty", d.write("empty"), 0o600, "userinfo key new ticket"},
		{"zero key", d.write("zeros", ticketKey(t, 0)), 0o600, "consists of zeros"},
	} {
		if test.mode != 0 {
			if err := os.Chmod(test.file, test.mode); err != nil {
				t.Fatal(err)
			}
		}
		files.TicketKey = test.file
		_, err := tlsconf.LoadServer(files, time.Now)
		wantFieldError(t, err, "session_ticket_key", test.says)
		if err != nil && (strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "AQEB")) {
			t.Errorf("%s: the error shows the file or the key: %v", test.name, err)
		}
	}
}

func TestTicketKey_PrintsRedacted(t *testing.T) {
	k, err := tlsconf.ParseTicketKey(ticketKey(t, 7))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, k); strings.Trim(strings.ReplaceAll(got, "[redacted]", ""), " ") != "" {
		t.Errorf("printed as %s", got)
	}
	if text, err := k.MarshalText(); err != nil || string(text) != "[redacted]" || k.LogValue().String() != "[redacted]" {
		t.Errorf("marshalled as %s, %v; logged as %v", text, err, k.LogValue())
	}
}

func FuzzParseTicketKey(f *testing.F) {
	f.Add(ticketKey(f, 1))
	f.Add([]byte("userinfo-ticket-key-1:AQEB\nAQEB"))
	f.Add([]byte("userinfo-seal-key-1:"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := tlsconf.ParseTicketKey(text)
		if err == nil && k.Text() != strings.TrimRight(string(text), "\r\n") {
			t.Errorf("%q was parsed as another key", text)
		}
	})
}
