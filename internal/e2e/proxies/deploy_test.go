package proxies

import (
	"os"
	"regexp"
	"testing"
	"time"

	"userinfo/api"
)

// purgeRounds is the number of pool-purge-delay periods after which haproxy has closed the last of 20,000 idle connections.
// Each purge closes half of the connections above the expected need, and halves the expected need.
const purgeRounds = 20

// TestExamples_KeepIdleConnectionsShorterThanService reads the examples in deploy. A proxy that ends TLS must close an idle
// connection before the service does. A proxy that passes TLS through must let the service close it.
func TestExamples_KeepIdleConnectionsShorterThanService(t *testing.T) {
	for _, test := range []struct {
		file    string
		pattern string // of the setting, with its time as first group
		count   int
		factor  time.Duration
		shorter bool
	}{
		{"nginx.conf", `keepalive 64;\n\s*keepalive_timeout (\w+);`, 2, 1, true},
		{"nginx.conf", `proxy_timeout (\w+);`, 1, 1, false},
		{"haproxy.cfg", `10\.64\.0\.21:8443 ssl .* pool-purge-delay (\w+)\n`, 2, purgeRounds, true},
		{"mediawiki/haproxy.cfg", `default-server ssl .* pool-purge-delay (\w+)\n`, 1, purgeRounds, true},
		{"haproxy.cfg", `timeout client (\w+)\n`, 1, 1, false},
		{"haproxy.cfg", `timeout server (\w+)\n`, 1, 1, false},
		{"envoy.yaml", `\n          common_http_protocol_options: \{idle_timeout: (\w+)\}`, 1, 1, true},
	} {
		text, err := os.ReadFile("../../../deploy/" + test.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(test.pattern).FindAllStringSubmatch(string(text), -1)
		if len(found) != test.count {
			t.Errorf("%s has %d times %s; want %d", test.file, len(found), test.pattern, test.count)
		}
		for _, match := range found {
			idle, err := time.ParseDuration(match[1])
			if err != nil {
				t.Fatal(err)
			}
			if idle *= test.factor; (idle < api.DefaultIdleTimeout) != test.shorter {
				t.Errorf("%s: %q means %v; the service's idle timeout is %v", test.file, match[0], idle, api.DefaultIdleTimeout)
			}
		}
	}
}
