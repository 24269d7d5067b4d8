package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/load"
)

func TestTheOpenerReadsWhatTheFormatsVectorsSay(t *testing.T) {
	text, err := os.ReadFile("../store/testdata/sealed.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []map[string]string
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	of := func(v map[string]string, name string) []byte {
		b, err := hex.DecodeString(v[name])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, v := range vectors {
		collection := v["collection"] + v["Collection"]
		o := &opener{collection: collection, index: of(v, "index_key"), seal: of(v, "seal_key")}
		key := string(of(v, "session_key"))
		if got := o.row(key); got != string(of(v, "row_key")) {
			t.Errorf("row key %x", got)
		}
		sealed := of(v, "sealed")
		if got, err := o.open(key, sealed); err != nil || !bytes.Equal(got, of(v, "value")) {
			t.Errorf("opened %x, %v", got, err)
		}
		sealed[len(sealed)-1] ^= 1
		if o.version(key, sealed) != history.Torn {
			t.Error("what was changed is not torn")
		}
	}
	if len(vectors) == 0 {
		t.Error("there are no vectors")
	}
}

func TestEveryMutantIsAnEditOfTheSourceAsItIs(t *testing.T) {
	all := mutants()
	for i := range all {
		overlay, err := writeOverlay(context.Background(), t.TempDir(), &all[i])
		if err != nil {
			t.Errorf("%s: %v", all[i].name, err)
			continue
		}
		text, err := os.ReadFile(overlay)
		if err != nil {
			t.Fatal(err)
		}
		var o struct{ Replace map[string]string }
		if err := json.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
		for file, changed := range o.Replace {
			now, err := os.ReadFile(changed)
			if err != nil {
				t.Fatal(err)
			}
			if before, err := os.ReadFile(file); err == nil && bytes.Equal(before, now) {
				t.Errorf("%s leaves %s as it is", all[i].name, filepath.Base(file))
			}
		}
		if _, ok := faultNamed(all[i].fault); !ok {
			t.Errorf("%s shows under %s, which is no fault", all[i].name, all[i].fault)
		}
	}
}

func TestAnEditThatDoesNotFitTheSourceIsAnError(t *testing.T) {
	for name, e := range map[string]edit{
		"its text is not there":   {"store/collection.go", "no such text in this file", ""},
		"its text is there twice": {"store/collection.go", "func (c *Collection)", ""},
		"there is no such file":   {"store/none.go", "package store", ""},
	} {
		if _, err := writeOverlay(context.Background(), t.TempDir(), &mutant{edits: []edit{e}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFaultsHaveNamesOfTheirOwnAndCanBePlayed(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range append(faults(), mutantFaults()...) {
		if f.name == "" || f.what == "" || f.expect == "" || f.begin == nil || seen[f.name] {
			t.Errorf("fault %q: incomplete, or its name is taken", f.name)
		}
		seen[f.name] = true
	}
}

func TestAMixFollowsFromItsSeed(t *testing.T) {
	one := settings{seed: 7, seconds: 30, minutes: 30}
	other := settings{seed: 8, seconds: 30, minutes: 30}
	names := func(p plan) (all []string) {
		for _, s := range p.faults {
			if s.rare {
				t.Errorf("%s is rare", s.name)
			}
			all = append(all, s.name+s.length.String()+s.pause.String())
		}
		return all
	}
	if !reflect.DeepEqual(names(one.mix()), names(one.mix())) {
		t.Error("one seed, two mixes")
	}
	if reflect.DeepEqual(names(one.mix()), names(other.mix())) {
		t.Error("two seeds, one mix")
	}
}

func TestAConnectionsOtherEndIsReadFromTheKernelsTable(t *testing.T) {
	const rest = " 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 20 4 30 10 -1"
	for name, test := range map[string]struct {
		line    string
		address string
		port    int
	}{
		"IPv4":                      {"   1: 0100007F:0CEA 0B00D50A:2352 01" + rest, "10.213.0.11", 9042},
		"IPv4 in IPv6":              {"   1: 0000000000000000FFFF00000100007F:0CEA 0000000000000000FFFF00000B00D50A:2352 01" + rest, "10.213.0.11", 9042},
		"not established":           {"   1: 0100007F:0CEA 0B00D50A:2352 02" + rest, "", 0},
		"the head of the table":     {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", "", 0},
		"an empty line":             {"", "", 0},
		"something that is no port": {"   1: 0100007F:0CEA 0B00D50A:ZZZZ 01" + rest, "", 0},
	} {
		address, port, _ := remoteEnd(test.line)
		if address != test.address || port != test.port {
			t.Errorf("%s: %s:%d", name, address, port)
		}
	}
}

func TestWatchIsToldWhatWasBrokenAndWhen(t *testing.T) {
	w := &watched{standstill: time.Minute}
	commands := make(chan string)
	go func() {
		for _, line := range []string{"begin link cut", "nonsense", "end", "begin node", "done"} {
			commands <- line
		}
	}()
	var said bytes.Buffer
	faults := w.follow(context.Background(), load.NewRecorder(nil, nil, "", time.Now()), commands, &said)
	if len(faults) != 2 || faults[0].Name != "link cut" || faults[1].Name != "node" || faults[1].End == 0 {
		t.Errorf("%+v", faults)
	}
	if !strings.Contains(said.String(), "begin NAME") {
		t.Errorf("nothing is said of a line that is none: %s", said.String())
	}
}

func TestWatchNeedsWhatItCannotGuess(t *testing.T) {
	for name, test := range map[string]struct {
		args string
		want string
	}{
		"no target":       {"--token-file x", "--target"},
		"one datacentre":  {"--token-file x --target dc1=https://a/s/v1", "two"},
		"no token":        {"--target dc1=https://a/s/v1 --target dc2=https://b/s/v1", "--token-file"},
		"not https":       {"--token-file x --target dc1=http://a/s/v1", "https"},
		"no such file":    {"--token-file /none --target dc1=https://a/s/v1 --target dc2=https://b/s/v1", "/none"},
		"an unknown flag": {"--targets x", "targets"},
	} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), append([]string{"watch"}, strings.Fields(test.args)...), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), test.want) {
			t.Errorf("%s: exit %d, %s", name, code, errs.String())
		}
	}
}

func TestEveryCommandSaysWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "usage",
		"nonsense":            "nonsense",
		"faults nonsense":     "nonsense",
		"mutants nonsense":    "nonsense",
		"report":              "directories",
		"judge":               "histories",
		"judge /none.json.gz": "/none.json.gz",
	} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), strings.Fields(args), &out, &errs); code == exitOK || !strings.Contains(errs.String(), want) {
			t.Errorf("%q: exit %d, %s", args, code, errs.String())
		}
	}
}

func TestHelpIsNoMistake(t *testing.T) {
	for args, want := range map[string]string{
		"-h": "drill watch", "watch -h": "token-file", "faults --help": "seconds", "judge -h": "DIRECTORY", "report -help": "DIRECTORY",
	} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), strings.Fields(args), &out, &errs); code != exitOK || !strings.Contains(out.String(), want) || errs.Len() > 0 {
			t.Errorf("%q: exit %d, %s%s", args, code, out.String(), errs.String())
		}
	}
}

func TestWatchDoesNotBeginWhereItWouldBeRefused(t *testing.T) {
	answer := func(status int, kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"type":"urn:userinfo:problem:%s"}`, kind)
		}
	}
	good := answer(204, "")
	for name, test := range map[string]struct {
		second http.HandlerFunc
		want   string // "": it may begin
	}{
		"it answers":             {good, ""},
		"another token":          {answer(401, "unauthenticated"), "dc2=https://127.0.0.1.*: set was answered 401 unauthenticated; .*--token-file"},
		"no grant":               {answer(403, "forbidden"), `403 forbidden; .*drill:\*`},
		"a TTL that is too long": {answer(400, "bad-request"), "400 bad-request; .*max_ttl.* 3600s"},
		"no collection":          {answer(404, "no-such-resource"), "404 no-such-resource; the URL"},
		"broken":                 {answer(503, "unavailable"), "503 unavailable; .*whole"},
		"pending": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				answer(503, "not-everywhere")(w, r)
			}
		}, ""},
		"nothing is kept": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				answer(404, "not-found")(w, r)
			}
		}, "get was answered 404 not-found"},
	} {
		t.Run(name, func(t *testing.T) {
			var w watched
			roots := x509.NewCertPool()
			for n, h := range []http.HandlerFunc{good, test.second} {
				s := httptest.NewTLSServer(h)
				defer s.Close()
				roots.AddCert(s.Certificate())
				if err := w.targets.Set(fmt.Sprintf("dc%d=%s/s/v1", n+1, s.URL)); err != nil {
					t.Fatal(err)
				}
			}
			err := w.try(roots, "token")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !regexp.MustCompile(test.want).MatchString(err.Error())) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
