package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// dialogue is a connection of either protocol on which requests are asked one after the other.
type dialogue interface {
	ask(testing.TB, ask)
	// closed waits until the server has closed the connection, and fails the test if it does not.
	closed(testing.TB)
}

func (s *service) dialogue(t testing.TB, protocol string) dialogue {
	t.Helper()
	if protocol == protocols[0] {
		return s.wire(t)
	}
	return s.frames(t)
}

func TestAConnectionIsKeptForAClientThatIsKnownAndForNobodyElse(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	for _, protocol := range protocols {
		known := map[string]ask{
			"an absent key":   {method: "GET", path: "/sessions/v1/k", header: as(wiki)},
			"a success":       {method: "GET", path: "/openapi", header: as(docs)},
			"a thing refused": {method: "DELETE", path: "/sessions/v1/k", header: as(reader)},
			"a bad request":   {method: "PUT", path: "/sessions/v1/k", header: as(wiki, "TTL", "0")},
		}
		strangers := map[string]ask{
			"no token":                {method: "GET", path: "/sessions/v1/k"},
			"an unknown token":        {method: "DELETE", path: "/sessions/v1/k", header: as("unknown")},
			"a token from elsewhere":  {method: "GET", path: "/sessions/v1/k", header: as(elsewhere)},
			"malformed credentials":   {method: "GET", path: "/sessions/v1/k", header: http.Header{"Authorization": {"nonsense"}}},
			"no token for metrics":    {method: "GET", path: "/metrics"},
			"no route":                {method: "GET", path: "/nowhere"},
			"no method":               {method: "BREW", path: "/healthz"},
			"is it alive":             {method: "GET", path: "/healthz"},
			"is it ready":             {method: "GET", path: "/readyz"},
			"is it alive, with query": {method: "GET", path: "/healthz?x"},
		}
		kept, ending := make(map[string]dialogue), make(map[string]dialogue)
		for name, a := range known {
			kept[name] = s.dialogue(t, protocol)
			kept[name].ask(t, a)
		}
		for name, a := range strangers {
			ending[name] = s.dialogue(t, protocol)
			ending[name].ask(t, a)
		}
		for name, d := range ending {
			t.Run(protocol+" "+name, func(t *testing.T) { d.closed(t) })
		}
		for name, d := range kept {
			t.Run(protocol+" "+name, func(t *testing.T) { d.ask(t, known[name]) })
		}
	}
}

func TestSilenceEndsAConnectionUnlessItHasBroughtARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Server)
		silent, silentClient := net.Pipe()
		asking, askingClient := net.Pipe()
		s.newConn(silent)
		asked := s.newConn(asking)
		time.Sleep(firstRequestTimeout / 2)
		asked.requestReceived()
		if err := heard(t, silentClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before firstRequestTimeout: %v", err)
		}
		time.Sleep(time.Hour)
		if err := heard(t, silentClient); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("after it, the silent one: %v", err)
		}
		if err := heard(t, askingClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after it, the one that has asked: %v", err)
		}
		_ = asked.Close()
	})
}

// heard is what a client finds when it looks whether its connection has ended.
func heard(t *testing.T, c net.Conn) error {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(1)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}
