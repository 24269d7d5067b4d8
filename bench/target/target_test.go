package target

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

func TestParseURL_ReadsAndChecks(t *testing.T) {
	header := filepath.Join(t.TempDir(), "token.header")
	if err := os.WriteFile(header, []byte("Authorization: Bearer secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(os.Getpid())
	target, err := ParseURL("ours=https://h:8443/sessions/v1/,header=" + header + ",set=POST,pid=" + pid)
	if err != nil {
		t.Fatal(err)
	}
	want := load.HTTPConfig{URL: "https://h:8443/sessions/v1/", Header: header, Set: "POST"}
	if *target.http != want || target.Name != "ours" || !slices.Equal(target.Processes, []Process{{result.KindService, os.Getpid()}}) {
		t.Errorf("%+v, %+v", target, target.http)
	}
	if _, err := target.WithToken(); err != nil {
		t.Error(err)
	}
	if err := target.CheckCertificate(); err == nil || !strings.Contains(err.Error(), "certificate=FILE") {
		t.Errorf("a client without certificate: %v", err)
	}
	for text, want := range map[string]string{
		"https://h/":                    "is not NAME=URL",
		"a b=https://h/":                "is not NAME=URL",
		"a=h":                           "must begin with https://",
		"redis=https://h/":              "choose another name",
		"a=https://h/,colour=red":       `"colour" is not one of ca`,
		"a=https://h/,ca=":              "give ca= once",
		"a=https://h/,ca=x,ca=y":        "give ca= once",
		"a=https://h/,ca=absent":        "absent",
		"a=https://h/,pid=4194305":      "process that runs on this machine",
		"a=https://h/,pid=x":            "process that runs on this machine",
		"a=http://h/,header=" + header:  "use https://",
		"a=https://h/,certificate=x":    "both certificate= and key=",
		"a=https://h/,set=PATCH":        "PUT or POST",
		"a=https://h/x":                 "must end in a slash",
		"userinfo:x=https://h/sessions": "is not NAME=URL",
	} {
		if _, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q in it", text, err, want)
		}
	}
}

func TestParseName_ReadsAndChecks(t *testing.T) {
	for name, want := range map[string]Instance{
		"userinfo":                              {Kind: "userinfo"},
		"userinfo:GOGC=200":                     {Kind: "userinfo", Env: []string{"GOGC=200"}},
		"userinfo:BINARY=/old/userinfo":         {Kind: "userinfo", Binary: "/old/userinfo"},
		"userinfo-memory:A=1+BINARY=x+B=":       {Kind: "userinfo-memory", Binary: "x", Env: []string{"A=1", "B="}},
		"userinfo:GODEBUG=a=1,b=2+GOMAXPROCS=1": {Kind: "userinfo", Env: []string{"GODEBUG=a=1,b=2", "GOMAXPROCS=1"}},
	} {
		got, err := ParseName(name)
		if err != nil || got.Kind != want.Kind || got.Binary != want.Binary || !slices.Equal(got.Env, want.Env) {
			t.Errorf("%s: %+v (%v)", name, got, err)
		}
	}
	for name, want := range map[string]string{
		"kask": "there is no target", "redis:A=1": "have settings", "userinfo:": "is not NAME=VALUE", "userinfo:A": "is not NAME=VALUE", "userinfo:BINARY=": "path of an executable",
	} {
		if _, err := ParseName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", name, err, want)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"userinfo", "userinfo:GOGC=200+BINARY=/x", "userinfo:", "redis:+", "userinfo-memory:=+="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		i, err := ParseName(name)
		if err == nil && (!slices.Contains(result.Targets, i.Kind) || slices.ContainsFunc(i.Env, func(e string) bool { return !strings.Contains(e, "=") })) {
			t.Errorf("%q: %+v", name, i)
		}
	})
}

func TestTarget_WithLeavesOriginalUnchanged(t *testing.T) {
	target, err := ParseURL("a=https://h/")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := target.With(func(c *load.HTTPConfig) { c.Fresh = true })
	if err != nil || !fresh.http.Fresh || target.http.Fresh {
		t.Errorf("%+v, %+v (%v)", fresh.http, target.http, err)
	}
	if _, err := (&Target{Name: result.Redis}).With(func(*load.HTTPConfig) {}); err == nil {
		t.Error("redis has fresh HTTP connections")
	}
	if _, err := target.WithToken(); err == nil || !strings.Contains(err.Error(), "header=FILE") {
		t.Errorf("a client without token: %v", err)
	}
}
