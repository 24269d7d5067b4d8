package cassandra

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestConfig_PrintsWithoutPassword(t *testing.T) {
	c := Config{Hosts: []string{"node1"}, Port: 9042, Keyspace: "ks", LocalDatacentre: "dc1", Username: "user", Password: "secret"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, "secret") || !strings.Contains(text, "node1") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestConfig_DriverSettings(t *testing.T) {
	d := driverConfig(Config{Hosts: []string{"node1"}, Port: 9142, LocalDatacentre: "dc1", Timeout: time.Minute}, slog.New(slog.DiscardHandler))
	switch {
	case d.DefaultTimestamp:
		t.Error("the driver chooses timestamps")
	case d.HostDialer == nil || d.SslOpts != nil:
		t.Error("the driver makes its own connections")
	case d.HostFilter == nil:
		t.Error("the driver uses nodes of other datacentres")
	case d.RetryPolicy != nil:
		t.Error("the driver retries")
	}
}

func TestConnectError_ExplainsFilteredHosts(t *testing.T) {
	c := Config{LocalDatacentre: "dc1", Password: "secret"}
	for driver, hint := range map[string]bool{"all hosts are filtered": true, "connection refused": false} {
		cause := errors.New(driver)
		err := connectError(c, cause)
		if !errors.Is(err, cause) || strings.Contains(err.Error(), `datacentre "dc1"`) != hint || strings.Contains(err.Error(), "secret") {
			t.Errorf("got error %q", err)
		}
	}
}
