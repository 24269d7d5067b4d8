package scheme

import (
	"bytes"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// testLimits allow the hashes of MediaWiki's tests.
var testLimits = Limits{MemoryKiB: 64 << 10}

// cheap are parameters for tests.
var cheap = Argon2id{MemoryKiB: 64, Time: 1, Threads: 1}

const (
	md5OfPassword = "5f4dcc3b5aa765d61d8327deb882cf99"
	alternating   = "\xaa\x55"
)

// vectors are the vectors of MediaWiki's own tests (tests/phpunit/unit/includes/password), and layered hashes.
var vectors = []struct {
	matches        bool
	hash, password string
}{
	{true, ":A:" + md5OfPassword, "password"},
	{true, ":A:salt:9842afc7cb949c440c51347ed809362f", "password"},
	{false, ":A:d529e941509eb9e9b9cfaeae1fe7ca23", "password"},
	{false, ":A:salt:d529e941509eb9e9b9cfaeae1fe7ca23", "password"},
	{true, ":B:salt:9842afc7cb949c440c51347ed809362f", "password"},
	{false, ":B:salt:d529e941509eb9e9b9cfaeae1fe7ca23", "password"},

	{true, ":pbkdf2:sha1:1:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=", "password"},
	{true, ":pbkdf2:sha1:2:20:c2FsdA==:6mwBTcctb4zNHtkqzh1B8NjeiVc=", "password"},
	{true, ":pbkdf2:sha1:4096:20:c2FsdA==:SwB5AbdlSJq+rUnZJvch0GWkKcE=", "password"},
	{true, ":pbkdf2:sha1:4096:16:c2EAbHQ=:Vvpqp1VICZ3MN9fwNCXgww==", "pass\x00word"},

	{true, ":bcrypt:5$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{true, ":bcrypt:5$CCCCCCCCCCCCCCCCCCCCC.$VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
	{true, ":bcrypt:5$XXXXXXXXXXXXXXXXXXXXXO$AcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
	{true, ":bcrypt:5$abcdefghijklmnopqrstuu$5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"},
	{true, ":bcrypt:5$/OK.fbVrR/bpIqNJ5ianF.$CE5elHaaO4EbggVDjb8P19RukzXSM3e", "\xff\xff\xa3"},
	{true, ":bcrypt:5$/OK.fbVrR/bpIqNJ5ianF.$Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq", "\xa3"},
	{true, ":bcrypt:5$/OK.fbVrR/bpIqNJ5ianF.$o./n25XVfn6oAPaUvHe.Csk4zRfsYPi", "\xff\xa334\xff\xff\xff\xa3345"},
	{true, ":bcrypt:5$/OK.fbVrR/bpIqNJ5ianF.$nRht2l/HRhr6zmCp9vYUvvsqynflf9e", "\xff\xa3345"},
	{true, ":bcrypt:5$/OK.fbVrR/bpIqNJ5ianF.$6IflQkJytoRVc1yuaNtHfiuq.FRlSIS", "\xa3ab"},
	{true, ":bcrypt:5$/OK.fbVrR/bpIqNJ5ianF.$R9xrDjiycxMbQE2bp.vgqlYpW5wx2yy", strings.Repeat(alternating, 36)},
	{true, ":bcrypt:5$CCCCCCCCCCCCCCCCCCCCC.$7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", ""},
	{false, ":bcrypt:5$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "UXU"},
	{false, ":bcrypt:5$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", ""},

	{true, ":argon2:$argon2i$v=19$m=1024,t=2,p=2$RHpGTXJPeFlSV2NDTEswNA$VeW7rumZY4pL8XO4KeQkKD43r5uX3eazVJRtrFN7lNc", "password"},
	{true, ":argon2:$argon2i$v=19$m=2048,t=5,p=3$MHFKSnh6WWZEWkpKa09SUQ$vU92h/8hkByL5VKW1P9amCj054pZILGKznAvKWAivZE", "password"},
	{true, ":argon2:$argon2i$v=19$m=1024,t=2,p=2$bFJ4TzM5RWh2T0VmeFhDTA$AHFUFZRh69aZYBqyxn6tpujpEcf2JP8wgRCPU3nw3W4", "pass\x00word"},
	{false, ":argon2:$argon2i$v=19$m=1024,t=2,p=2$UGZqTWJRUkI1alVNTGRUbA$RcASw9XUWjCDO9WNnuVkGkEylURUW/CcNwSffdFwN74", "password"},
	{true, ":argon2:$argon2id$v=19$m=65536,t=1,p=1$SS51Z0U2bkQ5Mk1GYUNQOQ$jdN3UnHn6MHOaOeWiX+RqRhcwVPLLDlEAKPvDt/qKIY", "password"},

	{true, layered("A", ""), "password"},
	{true, layered("A", "salt"), "password"}, // made of an :A: hash that has a salt
	{true, layered("B", "salt"), "password"},
	{false, layered("A", ""), "Password"},
	{false, layered("B", "salt"), "passwordd"},
}

// layered returns a layered hash of the password "password", computed step by step as MediaWiki's
// LayeredParameterizedPassword does.
func layered(name, salt string) string {
	inner := md5OfPassword
	if salt != "" {
		sum := md5.Sum([]byte(salt + "-" + inner))
		inner = hex.EncodeToString(sum[:])
	}
	key, err := pbkdf2.Key(sha512.New, inner, []byte("another salt"), 100, 64)
	if err != nil {
		panic(err)
	}
	encode := base64.StdEncoding.EncodeToString
	return ":pbkdf2-legacy" + name + ":!sha512:100:64!" + salt + "!" + encode([]byte("another salt")) + "!" + encode(key)
}

func TestHash_VerifiesHashesOfMediaWiki(t *testing.T) {
	for _, v := range vectors {
		h, err := Parse(v.hash, testLimits)
		if err != nil {
			t.Errorf("%s: %v", v.hash, err)
			continue
		}
		if got := h.Verify([]byte(v.password)); got != v.matches {
			t.Errorf("%s: %q matches: %v, want %v", v.hash, v.password, got, v.matches)
		}
		if h.Verify([]byte(v.password+"x")) && len(v.password) < 72 {
			t.Errorf("%s: %q with an x matches", v.hash, v.password)
		}
		if h.Text() != v.hash {
			t.Errorf("%s became %s", v.hash, h.Text())
		}
	}
}

func TestHash_ZeroMatchesNothing(t *testing.T) {
	if (Hash{}).Verify(nil) || (Hash{}).Verify([]byte("password")) {
		t.Error("the zero Hash matches a password")
	}
}

func TestHash_PrintsRedacted(t *testing.T) {
	h, err := Parse(vectors[0].hash, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, h); got != "[redacted]" {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, &h); strings.Contains(got, md5OfPassword) {
			t.Errorf("%s of a pointer prints %s", verb, got)
		}
	}
}

func TestParse_RefusesWhatItCannotBound(t *testing.T) {
	salt, sum := strings.Repeat("A", 22), strings.Repeat("A", 43)
	for name, text := range map[string]string{
		"nothing":                        "",
		"no scheme":                      md5OfPassword,
		"an unknown scheme":              ":C:" + md5OfPassword,
		"only a scheme":                  ":A:",
		"a short MD5":                    ":A:" + md5OfPassword[1:],
		"an MD5 in upper case":           ":A:" + strings.ToUpper(md5OfPassword),
		"B without a salt":               ":B:" + md5OfPassword,
		"a colon in the salt":            ":B:a:b:" + md5OfPassword,
		"a long salt":                    ":B:" + strings.Repeat("s", 200) + ":" + md5OfPassword,
		"a long text":                    ":B:salt:" + strings.Repeat("a", 2000),
		"PBKDF2, unknown algorithm":      ":pbkdf2:md5:1:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, no rounds":              ":pbkdf2:sha1:0:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, negative rounds":        ":pbkdf2:sha1:-1:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, a sign":                 ":pbkdf2:sha1:+1:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, a zero":                 ":pbkdf2:sha1:01:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, too many rounds":        ":pbkdf2:sha1:2000001:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, another length":         ":pbkdf2:sha1:1:21:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, a short key":            ":pbkdf2:sha1:1:1:c2FsdA==:DA==",
		"PBKDF2, no salt":                ":pbkdf2:sha1:1:20::DGDID5YfDnHzqbUkr2ASBi/gN6Y=",
		"PBKDF2, another field":          ":pbkdf2:sha1:1:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=:",
		"PBKDF2, a line end":             ":pbkdf2:sha1:1:20:c2FsdA==:DGDID5YfDnHzqbUkr2ASBi/gN6Y=\n",
		"bcrypt, cost 3":                 ":bcrypt:3$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"bcrypt, cost 15":                ":bcrypt:15$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"bcrypt, a short salt":           ":bcrypt:5$CCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"bcrypt, another alphabet":       ":bcrypt:5$CCCCCCCCCCCCCCCCCCCCC+$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"Argon2, too much memory":        ":argon2:$argon2id$v=19$m=65537,t=1,p=1$" + salt + "$" + sum,
		"Argon2, much more memory":       ":argon2:$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + sum,
		"Argon2, too many passes":        ":argon2:$argon2id$v=19$m=64,t=65,p=1$" + salt + "$" + sum,
		"Argon2, too much work":          ":argon2:$argon2id$v=19$m=65536,t=33,p=1$" + salt + "$" + sum,
		"Argon2, no pass":                ":argon2:$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + sum,
		"Argon2, no thread":              ":argon2:$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + sum,
		"Argon2, 256 threads":            ":argon2:$argon2id$v=19$m=65536,t=1,p=256$" + salt + "$" + sum,
		"Argon2, less than 8 KiB":        ":argon2:$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + sum,
		"Argon2, another version":        ":argon2:$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + sum,
		"Argon2, another variant":        ":argon2:$argon2d$v=19$m=64,t=1,p=1$" + salt + "$" + sum,
		"Argon2, padding":                ":argon2:$argon2id$v=19$m=64,t=1,p=1$" + salt + "==$" + sum,
		"Argon2, a short hash":           ":argon2:$argon2id$v=19$m=64,t=1,p=1$" + salt + "$AAAA",
		"Argon2, another order":          ":argon2:$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + sum,
		"layered, no fields":             ":pbkdf2-legacyA:!",
		"layered, too many rounds":       strings.Replace(layered("A", ""), ":100:", ":9000000:", 1),
		"layered B without a salt":       strings.Replace(layered("A", ""), "legacyA", "legacyB", 1),
		"layered, parameters of the MD5": strings.Replace(layered("A", ""), ":!", ":x!", 1),
	} {
		h, err := Parse(text, testLimits)
		if !errors.Is(err, ErrHash) || h.work != nil {
			t.Errorf("%s: error %v, want %v", name, err, ErrHash)
		} else if len(text) > 20 && strings.Contains(err.Error(), text[8:]) {
			t.Errorf("%s: the error contains the hash: %v", name, err)
		}
	}
}

func TestArgon2id_MakesHashesThatVerify(t *testing.T) {
	h, err := cheap.New([]byte("correct horse"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(h.Text(), testLimits)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []Hash{h, parsed} {
		if !each.Verify([]byte("correct horse")) || each.Verify([]byte("correct hors")) || !cheap.Made(each) {
			t.Errorf("%s does not verify", each.Text())
		}
	}
	again, err := cheap.New([]byte("correct horse"), rand.Reader)
	if err != nil || again.Text() == h.Text() {
		t.Errorf("two hashes of a password are equal (%v)", err)
	}
	if _, err := cheap.New([]byte("correct horse"), bytes.NewReader(nil)); err == nil {
		t.Error("a hash was made without randomness")
	}
}

func TestArgon2id_MadeKnowsItsParameters(t *testing.T) {
	h, err := Parse(vectors[0].hash, testLimits)
	if err != nil || cheap.Made(h) || cheap.Made(Hash{}) {
		t.Errorf("a hash of another scheme counts as made with the parameters (%v)", err)
	}
	for _, other := range []Argon2id{{65, 1, 1}, {64, 2, 1}, {64, 1, 2}} {
		if h, err := other.New([]byte("p"), rand.Reader); err != nil || cheap.Made(h) || !other.Made(h) {
			t.Errorf("%+v: made by the other parameters: %v (%v)", other, cheap.Made(h), err)
		}
	}
}

func TestArgon2id_ValidateBoundsWork(t *testing.T) {
	for _, good := range []Argon2id{cheap, {64 << 10, 3, 1}, {64 << 10, 32, 4}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []Argon2id{{}, {64, 0, 1}, {64, 1, 0}, {7, 1, 1}, {8, 1, 2}, {64, 65, 1}, {64 << 10, 33, 1}, {1 << 31, 2, 1}, {64, 1, 17}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}

func TestHash_CostComparesHashes(t *testing.T) {
	parse := func(text string) time.Duration {
		h, err := Parse(text, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		return h.Cost()
	}
	configured, err := Argon2id{MemoryKiB: 64 << 10, Time: 3, Threads: 1}.New([]byte("p"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const bcryptRest = "$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	for name, text := range map[string]string{"MD5": ":A:" + md5OfPassword, "PBKDF2": vectors[8].hash, "layered": layered("A", ""), "bcrypt": ":bcrypt:5" + bcryptRest} {
		if cost := parse(text); cost <= 0 || cost >= configured.Cost() {
			t.Errorf("%s costs %v, want less than %v", name, cost, configured.Cost())
		}
	}
	if cost := parse(":bcrypt:12" + bcryptRest); cost < configured.Cost() || cost > time.Second {
		t.Errorf("bcrypt with cost 12 costs %v, want more than %v", cost, configured.Cost())
	}
	if cost := (Hash{}).Cost(); cost != 0 {
		t.Errorf("the zero Hash costs %v", cost)
	}
}

func TestParse_BoundsThreads(t *testing.T) {
	text := ":argon2:$argon2id$v=19$m=64,t=1,p=5$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43)
	if _, err := Parse(text, Limits{MemoryKiB: 64, Threads: 4}); !errors.Is(err, ErrHash) {
		t.Errorf("five threads where four are allowed: error %v, want %v", err, ErrHash)
	}
	for _, threads := range []uint8{0, 5} {
		if _, err := Parse(text, Limits{MemoryKiB: 64, Threads: threads}); err != nil {
			t.Errorf("five threads with the limit %d: %v", threads, err)
		}
	}
}

// FuzzParse checks that Parse neither panics nor changes a hash, and that the work of what it accepts is bounded.
func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.hash)
	}
	f.Add("")
	f.Add(":argon2:$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add(":pbkdf2:sha512:9223372036854775807:512:c2FsdA==:AAAA")
	limits := Limits{MemoryKiB: 256}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse(text, limits)
		if err != nil {
			if !errors.Is(err, ErrHash) || h.work != nil {
				t.Fatalf("error %v", err)
			}
			return
		}
		if h.Text() != text {
			t.Fatalf("%q became %q", text, h.Text())
		}
		switch work := h.work.(type) {
		case argon2Hash:
			if work.parameters.MemoryKiB > limits.MemoryKiB || work.parameters.Validate() != nil {
				t.Fatalf("accepts %+v", work.parameters)
			}
		case pbkdf2Hash:
			checkRounds(t, work)
		case layeredHash:
			checkRounds(t, work.outer)
		}
	})
}

func checkRounds(t *testing.T, h pbkdf2Hash) {
	t.Helper()
	size := h.algorithm().Size()
	if blocks := (len(h.key) + size - 1) / size; h.rounds < 1 || blocks < 1 || h.rounds*blocks > maxIterations {
		t.Fatalf("accepts %d rounds of %d blocks", h.rounds, blocks)
	}
}
