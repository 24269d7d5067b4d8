package api

import (
	"crypto/tls"
	"io"
	"net/http/httptest"
	"testing"
)

// startWithoutTimeouts starts a service whose connections have no timeouts. Only bodyPace ends a body that does not arrive.
func startWithoutTimeouts(t testing.TB, u setup) *service {
	t.Helper()
	s := newAPI(t, u)
	server := httptest.NewUnstartedServer(s.api)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serverCertificate()}}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.addr = server.Listener.Addr().String()
	return s
}

func TestBodyPace_EndsWithheldBody(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for name, begin := range map[string]int{"all but one byte": testMaxValue - 1, "nothing": 0} {
			for _, length := range []int64{testMaxValue, -1} {
				t.Run(protocol+" "+name, func(t *testing.T) {
					t.Parallel()
					s := startWithoutTimeouts(t, setup{})
					body, rest := io.Pipe()
					t.Cleanup(func() { _ = rest.Close() })
					a := ask{method: "PUT", path: "/sessions/v1/k", body: body}
					r := a.request(s)
					r.ContentLength = length
					go func() { _, _ = rest.Write(make([]byte, begin)) }() // and not the end
					c := s.client(t, protocol)
					res, err := c.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					got, err := read(res)
					if err != nil {
						t.Fatal(err)
					}
					checkProblem(t, got, 408, "too-slow")
					if n := gauge(t, s, "userinfo_in_flight_bytes"); n != 0 {
						t.Errorf("%v bytes are reserved afterwards", n)
					}
				})
			}
		}
	}
}
