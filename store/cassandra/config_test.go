package cassandra

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestConfig_DriverSettings(t *testing.T) {
	c := Config{Hosts: []string{"node1"}, Port: 9142, LocalDatacentre: "dc1", Timeout: time.Minute}
	log := slog.New(slog.DiscardHandler)
	d := driverConfig(c, newLogin(c, nil, log, time.Now), log)
	switch {
	case d.DefaultTimestamp:
		t.Error("the driver chooses timestamps")
	case d.HostDialer == nil || d.SslOpts != nil:
		t.Error("the driver makes its own connections")
	case d.HostFilter == nil:
		t.Error("the driver uses nodes of other datacentres")
	case d.RetryPolicy != nil:
		t.Error("the driver retries")
	case d.Authenticator != nil || d.AuthProvider == nil:
		t.Error("the driver logs in with a fixed password")
	case !d.Events.DisableSchemaEvents || !d.Events.DisableNodeStatusEvents || d.Keyspace != "":
		t.Error("the driver handles events that can make it panic")
	}
}

func TestConnectError_ExplainsFilteredHosts(t *testing.T) {
	c := Config{LocalDatacentre: "dc1"}
	for driver, hint := range map[string]bool{"all hosts are filtered": true, "connection refused": false} {
		cause := errors.New(driver)
		err := connectError(c, newLogin(c, nil, nil, nil), cause)
		if !errors.Is(err, cause) || strings.Contains(err.Error(), `datacentre "dc1"`) != hint {
			t.Errorf("got error %q", err)
		}
	}
}
