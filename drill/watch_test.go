package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"userinfo/drill/load"
)

func TestWatch_RecordsTheFaultsThatOperatorsAnnounce(t *testing.T) {
	w := &watchSettings{settleTime: time.Minute}
	commands := make(chan string)
	go func() {
		for _, line := range []string{"begin link cut", "nonsense", "end", "begin node", "done"} {
			commands <- line
		}
	}()
	var output bytes.Buffer
	faults := w.follow(context.Background(), load.NewRecorder(nil, nil, "", time.Now()), commands, &output)
	if len(faults) != 2 || faults[0].Name != "link cut" || faults[1].Name != "node" || faults[1].End == 0 {
		t.Errorf("%+v", faults)
	}
	if !strings.Contains(output.String(), "begin NAME") {
		t.Errorf("no help for an unknown command: %s", output.String())
	}
}

func TestWatch_ReportsMissingFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args string
		want string
	}{
		"no target":       {"--token-file x", "--target"},
		"one datacentre":  {"--token-file x --target dc1=https://a/s/v1", "two"},
		"no token":        {"--target dc1=https://a/s/v1 --target dc2=https://b/s/v1", "--token-file"},
		"not https":       {"--token-file x --target dc1=http://a/s/v1", "https"},
		"no such file":    {"--token-file /none --target dc1=https://a/s/v1 --target dc2=https://b/s/v1", "cannot be opened"},
		"an unknown flag": {"--targets x", "targets"},
	} {
		var out, errs bytes.Buffer
		if code := execute(context.Background(), append([]string{"watch"}, strings.Fields(test.args)...), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), test.want) {
			t.Errorf("%s: exit code %d, %s", name, code, errs.String())
		}
	}
}

func TestWatch_RefusesAnInstallationThatRejectsTheLoad(t *testing.T) {
	answer := func(status int, kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"type":"urn:userinfo:problem:%s"}`, kind)
		}
	}
	good := answer(204, "")
	for name, test := range map[string]struct {
		second http.HandlerFunc
		want   string // "" means that the load may start
	}{
		"it works":            {good, ""},
		"wrong token":         {answer(401, "unauthenticated"), "dc2=https://127.0.0.1.*: set was answered 401 unauthenticated; .*--token-file"},
		"no grant":            {answer(403, "forbidden"), `403 forbidden; .*drill:\*`},
		"the TTL is too long": {answer(400, "bad-request"), "400 bad-request; .*max_ttl.* 3600s"},
		"no collection":       {answer(404, "no-such-resource"), "404 no-such-resource; the URL"},
		"unavailable":         {answer(503, "unavailable"), "503 unavailable; .*works"},
		"a delete is pending elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				answer(503, "not-everywhere")(w, r)
			}
		}, ""},
		"values are not stored": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				answer(404, "not-found")(w, r)
			}
		}, "get was answered 404 not-found"},
	} {
		t.Run(name, func(t *testing.T) {
			var w watchSettings
			roots := x509.NewCertPool()
			for n, h := range []http.HandlerFunc{good, test.second} {
				s := httptest.NewTLSServer(h)
				defer s.Close()
				roots.AddCert(s.Certificate())
				if err := w.targets.Set(fmt.Sprintf("dc%d=%s/s/v1", n+1, s.URL)); err != nil {
					t.Fatal(err)
				}
			}
			err := w.tryTargets(roots, "token")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !regexp.MustCompile(test.want).MatchString(err.Error())) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
