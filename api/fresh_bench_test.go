package api

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
)

// measure runs s and reports the CPU time of this process per connection. This process runs only the server.
func (s clientSpec) measure(b *testing.B) {
	b.Helper()
	s.Connections, s.AtOnce = b.N, 2

	client := s.start(b)
	b.ResetTimer()
	before := cpu(b)
	client.proceed(b)
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "server-µs/op")
	b.StopTimer()
	client.end(b)
}

// BenchmarkFresh measures one request on a new connection: to the service, to a minimal server of net/http, and to a
// minimal server of crypto/tls.
func BenchmarkFresh(b *testing.B) {
	for _, resume := range []bool{false, true} {
		for _, of := range []string{"userinfo", "net-http", "bare", "userinfo-http2", "net-http-http2"} {
			b.Run(map[bool]string{false: "full/", true: "resumed/"}[resume]+of, func(b *testing.B) {
				var s clientSpec
				switch of {
				case "userinfo", "userinfo-http2":
					s = canaryClients(startHolding(b, 2<<10).addr)
				case "net-http", "net-http-http2":
					s = canaryClients(startFloor(b, 2<<10))
				case "bare":
					s = canaryClients(startBare(b, serverTLS(serverCertificate())))
				}
				s.Resume, s.HTTP2 = resume, strings.HasSuffix(of, "http2")
				s.measure(b)
			})
		}
	}
}

// BenchmarkHandshake compares handshakes by the kind of the server's certificate, the key exchange, and the client's
// credentials.
func BenchmarkHandshake(b *testing.B) {
	p384, err1 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edwards, err2 := ed25519.GenerateKey(rand.Reader)
	rsa2048, err3 := rsa.GenerateKey(rand.Reader, 2048)
	certificates := []struct {
		name string
		pair tls.Certificate
	}{{"P-256", serverCertificate()}, {"P-384", with(b, p384, err1)}, {"Ed25519", with(b, edwards, err2)}, {"RSA-2048", with(b, rsa2048, err3)}}
	for _, certificate := range certificates {
		for _, curves := range [][]tls.CurveID{{tls.X25519}, {tls.CurveP256}, {tls.X25519MLKEM768, tls.X25519}} {
			for _, client := range []string{"anonymous", "certificate", "resumed", "resumed-certificate"} {
				if certificate.name != "P-256" && (curves[0] != tls.X25519 || client != "anonymous") {
					continue // the combinations are independent
				}
				b.Run(certificate.name+"/"+curves[0].String()+"/"+client, func(b *testing.B) {
					s := canaryClients(startBare(b, serverTLS(certificate.pair)))
					s.Curves, s.Resume = curves, strings.HasPrefix(client, "resumed")
					if !strings.HasSuffix(client, "certificate") {
						s.Cert = nil
					}
					s.measure(b)
				})
			}
		}
	}
}

// with returns a server certificate for a key.
func with(b *testing.B, key crypto.Signer, err error) tls.Certificate {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	leaf := devca.Loopback()
	leaf.Key = key
	return issue(testCA(), leaf)
}

func serverTLS(pair tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: testCA().Pool(),
		MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true, NextProtos: []string{"http/1.1"},
	}
}

// startBare starts a server that uses crypto/tls only. After the handshake and one read, it sends 2 KB and closes the
// connection.
func startBare(b *testing.B, config *tls.Config) (addr string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2048\r\nConnection: close\r\n\r\n"), make([]byte, 2048)...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				t := tls.Server(c, config)
				defer func() { _ = t.Close() }()
				_ = t.SetDeadline(time.Now().Add(headerTimeout))
				request := make([]byte, 4096)
				if _, err := t.Read(request); err == nil {
					_, _ = t.Write(answer)
				}
			}()
		}
	}()
	b.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}
