package cassandra

import (
	"net"
	"slices"
	"testing"

	"github.com/gocql/gocql"
)

func TestSameHost_PicksHostsInSameOrder(t *testing.T) {
	policy := sameHost{gocql.RoundRobinHostPolicy()}
	for _, address := range []string{"10.1.0.3", "10.1.0.1", "10.1.0.2"} {
		host := &gocql.HostInfo{}
		host.SetHostID(address)
		policy.AddHost(host.SetConnectAddress(net.ParseIP(address)))
	}
	for range 4 {
		var got []string
		next := policy.Pick(nil)
		for h := next(); h != nil; h = next() {
			got = append(got, h.Info().ConnectAddress().String())
		}
		if want := []string{"10.1.0.1", "10.1.0.2", "10.1.0.3"}; !slices.Equal(got, want) {
			t.Errorf("picked %q, want %q", got, want)
		}
	}
}
