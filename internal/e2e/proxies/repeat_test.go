//go:build integration

package proxies

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// TestTerminatingProxy_RepeatsSafeRequestsOnly has two servers that close the connection after they have read a request. The
// proxy cannot know whether such a request was carried out, so it may repeat only requests that are safe to repeat.
func TestTerminatingProxy_RepeatsSafeRequestsOnly(t *testing.T) {
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			env := newEnvironment(t)
			other := env.serveBroken(t, k)
			changes := []string{"server 10.64.0.21:8443;\n\t\tkeepalive 64;", "server 10.64.0.21:8443 max_fails=0; server " + other.address + " max_fails=0; keepalive 64;"}
			if k.name == haproxy.name {
				changes = []string{"\nbackend tokens", "\tserver userinfo2 " + other.address + " ssl sni str(userinfo.example) send-proxy-v2\n\nbackend tokens"}
			}
			l := startLeakTest(t, env, k, changes...)
			var sent atomic.Int64
			closes := behaviour{answer: func(_ net.Conn, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				sent.Add(1)
			}}
			l.service.become(closes)
			other.become(closes)
			for method, want := range map[string]int64{"GET": 2, "PUT": 2, "DELETE": 2, "POST": 1, "PATCH": 1} {
				if k.name == haproxy.name {
					want = 1
				}
				sent.Store(0)
				body := ""
				if method == "PUT" || method == "POST" {
					body = plantedValue
				}
				l.send(t, "alice", fmt.Sprintf("%s /sessions/v1/k HTTP/1.1\r\nHost: userinfo.example\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body))
				if n := sent.Load(); n != want {
					t.Errorf("%s was sent %d times; want %d", method, n, want)
				}
			}
		})
	}
}
