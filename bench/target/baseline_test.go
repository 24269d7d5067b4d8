package target

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

var baselines = []string{result.Handler, result.Loop}

func TestBaseline_AnswersWith2KBAndIsMeasured(t *testing.T) {
	b := newTestbed(t)
	for _, kind := range baselines {
		target := start(t, b, kind)
		c := dial(t, target)
		if used := costs(t, target, c); len(used) != 1 || used[result.KindBaseline].CPU == 0 {
			t.Errorf("%s: 300 gets cost %+v", kind, used)
		}
		if err := c.Do(t.Context(), &load.Request{Method: load.Get, Key: "k", Length: answerBytes}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestBaseline_AcceptsTokenAndFreshConnections(t *testing.T) {
	b := newTestbed(t)
	for _, kind := range baselines {
		withToken, err := start(t, b, kind).WithToken()
		if err != nil {
			t.Fatal(err)
		}
		for _, resume := range []bool{false, true} {
			fresh, err := withToken.With(func(c *load.HTTPConfig) { c.Fresh, c.Resume = true, resume })
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, fresh)
			for range 3 {
				if err := c.Do(t.Context(), get); err != nil {
					t.Errorf("%s, resume %t: %v", kind, resume, err)
				}
			}
		}
	}
}

// A baseline with less TLS than the service would make the service look worse than it is.
func TestBaseline_HasTheServicesTLS(t *testing.T) {
	b, other := newTestbed(t), newTestbed(t)
	pair, err := tls.LoadX509KeyPair(other.file("client.crt"), other.file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := b.client("").TLS()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range baselines {
		url := start(t, b, kind).http.URL
		for what, config := range map[string]*tls.Config{
			"a certificate of another CA": {RootCAs: ca.RootCAs, Certificates: []tls.Certificate{pair}},
			"TLS 1.2":                     {RootCAs: ca.RootCAs, MaxVersion: tls.VersionTLS12},
		} {
			client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			answer, err := client.Get(url)
			if err == nil {
				t.Errorf("%s accepts %s: %s", kind, what, answer.Status)
				_ = answer.Body.Close()
			}
		}
	}
}

func TestRunBaseline_ExplainsItsArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"handler"}, {"ceiling", t.TempDir()}} {
		if err := RunBaseline(t.Context(), args, t.Output()); err == nil || !strings.Contains(err.Error(), "handler|loop") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
