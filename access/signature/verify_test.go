package signature

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

var body = []byte("who=alice")

// flipped returns a Signature header with one bit changed.
func flipped(header string) string {
	name, encoded, _ := strings.Cut(header, "=:")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(encoded, ":"))
	if err != nil {
		panic(err)
	}
	raw[0] ^= 1
	return name + "=:" + encode(raw) + ":"
}

func TestVerifier_RejectsWhenNoncesAreFull(t *testing.T) {
	v := NewVerifier(Config{Now: at(noon), Nonces: 1})
	for _, c := range []struct {
		key  SigningKey
		want error
	}{{hmacKey, nil}, {hmacKey, ErrNoncesFull}, {edKey, nil}, {edKey, ErrNoncesFull}} {
		if _, err := v.Verify(signed(t, c.key, body), find); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.key, err, c.want)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	const batch = 1024 // requests, each used once with each Verifier
	for _, key := range []SigningKey{hmacKey, edKey} {
		for _, c := range []struct {
			name string
			body []byte
		}{{"get", nil}, {"set", bytes.Repeat([]byte("v"), 700)}} {
			b.Run(string(key.Algorithm())+"/"+c.name, func(b *testing.B) {
				requests := make([]Request, batch)
				for i := range requests {
					requests[i] = signed(b, key, c.body)
				}
				b.ReportAllocs()
				v := NewVerifier(Config{Now: at(noon)})
				for i := 0; b.Loop(); i++ {
					if i%batch == 0 {
						v = NewVerifier(Config{Now: at(noon)})
					}
					got, err := v.Verify(requests[i%batch], find)
					if err == nil {
						err = got.CheckBody(c.body)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestVerifier_AcceptsRequestOnce(t *testing.T) {
	for _, key := range []SigningKey{hmacKey, edKey} {
		t.Run(string(key.Algorithm()), func(t *testing.T) {
			v := NewVerifier(Config{Now: at(noon)})
			r := signed(t, key, body)
			got, err := v.Verify(r, find)
			if err != nil || got.KeyID() != key.ID() || !got.Created().Equal(noon) {
				t.Fatalf("%q %v %v", got.KeyID(), got.Created(), err)
			}
			if err := got.CheckBody(body); err != nil {
				t.Error(err)
			}
			if got, err := v.Verify(r, find); !errors.Is(err, ErrReplayed) || got.KeyID() != "" {
				t.Errorf("again: %q %v", got.KeyID(), err)
			}
		})
	}
}

func TestVerified_CheckBody(t *testing.T) {
	v := NewVerifier(Config{Now: at(noon)})
	with, err := v.Verify(signed(t, hmacKey, body), find)
	if err != nil {
		t.Fatal(err)
	}
	without, err := v.Verify(signed(t, hmacKey, nil), find)
	if err != nil {
		t.Fatal(err)
	}
	sum512 := "sha-512=:" + encode(bytes.Repeat([]byte{1}, 64)) + ":"
	for _, c := range []struct {
		name string
		v    Verified
		body []byte
		want error
	}{
		{"the body", with, body, nil},
		{"another body", with, []byte("who=mallo"), ErrBody},
		{"a shorter body", with, body[:8], ErrBody},
		{"a longer body", with, append(bytes.Clone(body), 0), ErrBody},
		{"no body", with, nil, ErrBody},
		{"no body, signed without", without, nil, nil},
		{"a body, signed without", without, body, ErrBody},
		{"a body, zero Verified", Verified{}, body, ErrBody},
		{"no body, zero Verified", Verified{}, nil, ErrBody},
	} {
		if err := c.v.CheckBody(c.body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// Every digest of a known algorithm must match. Other algorithms are ignored.
	all := []string{"@method", "@authority", "@target-uri", "ttl", "content-digest"}
	params := fmt.Sprintf(`;created=%d;nonce="%%s";keyid="wiki-1"`, noon.Unix())
	for digest, want := range map[string]error{
		contentDigest(body) + ", " + sum512:  ErrBody,
		"md5=:AAAA:, " + contentDigest(body): nil,
	} {
		r := signed(t, hmacKey, body)
		r.Header.Set("Content-Digest", digest)
		got, err := v.Verify(bySpec(t, r, all, fmt.Sprintf(params, encode([]byte(digest))[:40])), find)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.CheckBody(body); !errors.Is(err, want) {
			t.Errorf("%s: %v", digest, err)
		}
	}
	// Without a body, the digest must be the digest of an empty body.
	for digest, want := range map[string]error{contentDigest(nil): nil, contentDigest(body): ErrBody} {
		r := signed(t, hmacKey, nil)
		r.Header.Set("Content-Digest", digest)
		if _, err := v.Verify(bySpec(t, r, all, fmt.Sprintf(params, encode([]byte(digest))[:40])), find); !errors.Is(err, want) {
			t.Errorf("no body, %s: %v", digest, err)
		}
	}
}

// TestVerifier_RequiresProfile verifies requests that each miss one part of the profile. All signatures are valid.
func TestVerifier_RequiresProfile(t *testing.T) {
	good := fmt.Sprintf(`;created=%d;nonce="n";keyid="wiki-1"`, noon.Unix())
	all := []string{"@method", "@authority", "@target-uri", "ttl", "content-digest"}
	without := func(name string, more ...string) []string {
		var left []string
		for _, c := range all {
			if c != name {
				left = append(left, c)
			}
		}
		return append(left, more...)
	}
	for _, c := range []struct {
		name       string
		components []string
		params     string
		want       error
		says       string
	}{
		{"the whole profile", all, good, nil, ""},
		{"path and query in place of the URI", without("@target-uri", "@path", "@query"), good, nil, ""},
		{"another header field", append(all[:5:5], "content-length"), good, nil, ""},
		{"alg", all, good + `;alg="hmac-sha256"`, nil, ""},
		{"a later expires", all, good + fmt.Sprintf(`;expires=%d`, noon.Unix()+1), nil, ""},
		{"nothing covered", nil, good, ErrMalformed, "@method is not covered"},
		{"no method", without("@method"), good, ErrMalformed, "@method is not covered"},
		{"no authority", without("@authority"), good, ErrMalformed, "@authority is not covered"},
		{"no URI", without("@target-uri"), good, ErrMalformed, "neither @target-uri nor both"},
		{"the path alone", without("@target-uri", "@path"), good, ErrMalformed, "neither @target-uri nor both"},
		{"the query alone", without("@target-uri", "@query"), good, ErrMalformed, "neither @target-uri nor both"},
		{"no TTL", without("ttl"), good, ErrMalformed, "ttl is not covered"},
		{"no digest", without("content-digest"), good, ErrMalformed, "content-digest is not covered"},
		{"no created", all, `;nonce="n";keyid="wiki-1"`, ErrMalformed, "created is missing"},
		{"created at 0", all, `;created=0;nonce="n";keyid="wiki-1"`, ErrMalformed, "created is missing"},
		{"created before 1970", all, `;created=-5;nonce="n";keyid="wiki-1"`, ErrMalformed, "created is missing"},
		{"created as a string", all, `;created="1700000000";nonce="n";keyid="wiki-1"`, ErrMalformed, "created has the wrong type"},
		{"created with parts of a second", all, `;created=1700000000.5;nonce="n";keyid="wiki-1"`, ErrMalformed, "created has the wrong type"},
		{"created as a date", all, `;created=@1700000000;nonce="n";keyid="wiki-1"`, ErrMalformed, "created has the wrong type"},
		{"no nonce", all, fmt.Sprintf(`;created=%d;keyid="wiki-1"`, noon.Unix()), ErrMalformed, "nonce is missing"},
		{"an empty nonce", all, fmt.Sprintf(`;created=%d;nonce="";keyid="wiki-1"`, noon.Unix()), ErrMalformed, "nonce is missing"},
		{"a long nonce", all, fmt.Sprintf(`;created=%d;nonce="%s";keyid="wiki-1"`, noon.Unix(), strings.Repeat("n", 129)), ErrMalformed, "longer than 128"},
		{"a nonce as a token", all, fmt.Sprintf(`;created=%d;nonce=n;keyid="wiki-1"`, noon.Unix()), ErrMalformed, "nonce has the wrong type"},
		{"no keyid", all, fmt.Sprintf(`;created=%d;nonce="n"`, noon.Unix()), ErrMalformed, "keyid is missing"},
		{"a long keyid", all, fmt.Sprintf(`;created=%d;nonce="n";keyid="%s"`, noon.Unix(), strings.Repeat("k", 129)), ErrMalformed, "keyid is missing or longer"},
		{"an empty alg", all, good + `;alg=""`, ErrMalformed, "alg has the wrong type"},
		{"expires as a string", all, good + `;expires="never"`, ErrMalformed, "expires has the wrong type"},
		{"expires before created", all, good + fmt.Sprintf(`;expires=%d`, noon.Unix()), ErrMalformed, "expires before it was created"},
		{"a tag", all, good + `;tag="app"`, ErrMalformed, `"tag" is not supported`},
		{"another parameter", all, good + `;x`, ErrMalformed, `"x" is not supported`},
		{"keyid of another key", all, fmt.Sprintf(`;created=%d;nonce="n";keyid="wiki-2"`, noon.Unix()), ErrInvalid, ""},
		{"unknown keyid", all, fmt.Sprintf(`;created=%d;nonce="n";keyid="unknown"`, noon.Unix()), ErrUnknownKey, ""},
		{"an empty keyid", all, fmt.Sprintf(`;created=%d;nonce="n";keyid=""`, noon.Unix()), ErrMalformed, "keyid is missing"},
		{"the other alg", all, good + `;alg="ed25519"`, ErrAlgorithm, ""},
		{"an unsupported alg", all, good + `;alg="rsa-pss-sha512"`, ErrAlgorithm, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := signed(t, hmacKey, body)
			r.Header.Set("Content-Length", "9")
			r = bySpec(t, r, c.components, c.params)
			got, err := NewVerifier(Config{Now: at(noon)}).Verify(r, find)
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %v saying %q", err, c.want, c.says)
			}
			if err != nil && got.CheckBody(body) == nil {
				t.Error("Verify returned a proof and an error")
			}
		})
	}
}

func TestVerifier_TimeWindow(t *testing.T) {
	all := []string{"@method", "@authority", "@target-uri"}
	plain := signed(t, hmacKey, nil)
	delete(plain.Header, "Ttl")
	for _, c := range []struct {
		ahead  time.Duration // how far the service's clock is ahead
		params string
		want   error
	}{
		{0, "", nil},
		{60 * time.Second, "", nil},
		{60*time.Second + 999*time.Millisecond, "", nil},
		{61 * time.Second, "", ErrStale},
		{24 * time.Hour, "", ErrStale},
		{-60 * time.Second, "", nil},
		{-60*time.Second - time.Millisecond, "", ErrFuture},
		{-24 * time.Hour, "", ErrFuture},
		{9 * time.Second, fmt.Sprintf(";expires=%d", noon.Unix()+10), nil},
		{10 * time.Second, fmt.Sprintf(";expires=%d", noon.Unix()+10), ErrExpired},
		{61 * time.Second, fmt.Sprintf(";expires=%d", noon.Unix()+3600), ErrStale},
	} {
		r := bySpec(t, plain, all, fmt.Sprintf(`;created=%d;nonce="n";keyid="wiki-1"`, noon.Unix())+c.params)
		if _, err := NewVerifier(Config{Now: at(noon.Add(c.ahead))}).Verify(r, find); !errors.Is(err, c.want) {
			t.Errorf("clock ahead by %v, %s: %v, want %v", c.ahead, c.params, err, c.want)
		}
	}
	for _, edge := range []int64{1, 999_999_999_999_999} {
		r := bySpec(t, plain, all, fmt.Sprintf(`;created=%d;nonce="n";keyid="wiki-1"`, edge))
		if _, err := NewVerifier(Config{Now: at(noon)}).Verify(r, find); !errors.Is(err, ErrRefused) {
			t.Errorf("created at %d: %v", edge, err)
		}
	}
}

// TestVerifier_RejectsAnyChange changes each request after it was signed.
func TestVerifier_RejectsAnyChange(t *testing.T) {
	set := func(name, value string) func(*Request) { return func(r *Request) { r.Header.Set(name, value) } }
	edit := func(name, from, to string) func(*Request) {
		return func(r *Request) {
			was := r.Header.Get(name)
			if now := strings.Replace(was, from, to, 1); now != was {
				r.Header.Set(name, now)
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Request)
		want   error
	}{
		{"nothing", func(*Request) {}, nil},
		{"a header that is not covered", set("Accept", "*/*"), nil},
		{"the authority's case and port", func(r *Request) { r.Authority = "USERINFO.example:8443" }, nil},
		{"the method", func(r *Request) { r.Method = "DELETE" }, ErrInvalid},
		{"the method's case", func(r *Request) { r.Method = "put" }, ErrInvalid},
		{"the host", func(r *Request) { r.Authority = "other.example:8443" }, ErrInvalid},
		{"the port", func(r *Request) { r.Authority = "userinfo.example" }, ErrInvalid},
		{"the path", func(r *Request) { r.Path += "x" }, ErrInvalid},
		{"an escape's case", func(r *Request) { r.Path = strings.Replace(r.Path, "%3A", "%3a", 1) }, ErrInvalid},
		{"an escape undone", func(r *Request) { r.Path = strings.Replace(r.Path, "%3A", ":", 1) }, ErrInvalid},
		{"a query", func(r *Request) { r.Query, r.HasQuery = "a", true }, ErrInvalid},
		{"an empty query", func(r *Request) { r.HasQuery = true }, ErrInvalid},
		{"the TTL", set("Ttl", "3601"), ErrInvalid},
		{"a second TTL", func(r *Request) { r.Header.Add("Ttl", "1") }, ErrInvalid},
		{"no TTL", func(r *Request) { r.Header.Del("Ttl") }, ErrMalformed},
		{"the digest", set("Content-Digest", contentDigest([]byte("x"))), ErrInvalid},
		{"no digest", func(r *Request) { r.Header.Del("Content-Digest") }, ErrMalformed},
		{"two digests", func(r *Request) { r.Header.Add("Content-Digest", contentDigest(nil)) }, ErrMalformed},
		{"no body", func(r *Request) { r.HasBody = false }, ErrBody},
		{"created", edit("Signature-Input", "created=1700000000", "created=1700000001"), ErrInvalid},
		{"the nonce", edit("Signature-Input", `nonce="`, `nonce="x`), ErrInvalid},
		{"keyid of another key", edit("Signature-Input", `keyid="wiki-1"`, `keyid="wiki-2"`), ErrAlgorithm},
		{"keyid and alg of another key", func(r *Request) {
			edit("Signature-Input", `keyid="wiki-1"`, `keyid="wiki-2"`)(r)
			edit("Signature-Input", `alg="hmac-sha256"`, `alg="ed25519"`)(r)
		}, ErrInvalid},
		{"unknown keyid", edit("Signature-Input", `keyid="wiki-1"`, `keyid="wiki-9"`), ErrUnknownKey},
		{"alg left out", edit("Signature-Input", `;alg="hmac-sha256"`, ""), ErrInvalid},
		{"a component left out", edit("Signature-Input", `"@target-uri"`, `"@path" "@query"`), ErrInvalid},
		{"the order of components", edit("Signature-Input", `"@method" "@authority"`, `"@authority" "@method"`), ErrInvalid},
		{"a bit of the signature", func(r *Request) {
			r.Header.Set("Signature", flipped(r.Header.Get("Signature")))
		}, ErrInvalid},
		{"an empty signature", set("Signature", "userinfo=::"), ErrInvalid},
		{"a short signature", set("Signature", "userinfo=:AAAA:"), ErrInvalid},
		{"no signature", func(r *Request) { r.Header.Del("Signature") }, ErrMalformed},
		{"no input", func(r *Request) { r.Header.Del("Signature-Input") }, ErrMalformed},
		{"neither", func(r *Request) { r.Header.Del("Signature-Input"); r.Header.Del("Signature") }, ErrMalformed},
		{"two inputs", func(r *Request) { r.Header.Add("Signature-Input", r.Header.Get("Signature-Input")) }, ErrMalformed},
		{"two signatures", func(r *Request) { r.Header.Add("Signature", r.Header.Get("Signature")) }, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := signed(t, hmacKey, body)
			c.change(&r)
			v := NewVerifier(Config{Now: at(noon)})
			got, err := v.Verify(r, find)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err == nil {
				return
			}
			if got.CheckBody(body) == nil {
				t.Error("Verify returned a proof and an error")
			}
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRefused) {
				t.Error("the error is neither ErrMalformed nor ErrRefused")
			}
			if len(v.nonces.keys) > 0 {
				t.Error("the nonce of a rejected request is remembered")
			}
		})
	}
}

func TestVerifier_RejectsWrongKey(t *testing.T) {
	other := must(HMACKey("wiki-1", must(ParseSecret([]byte(secretText(strings.Repeat("o", 32)))))))
	renamed := must(HMACKey("wiki-3", markedSecret))
	for name, k := range map[string]Key{
		"another secret": other, "the zero Key": {}, "the correct secret with another id": renamed, "a key with an id only": {id: "wiki-1"},
		"a public key": {id: "wiki-1", public: edKey.public},
	} {
		r := signed(t, hmacKey, body)
		r = bySpec(t, r, []string{"@method", "@authority", "@target-uri", "ttl", "content-digest"}, fmt.Sprintf(`;created=%d;nonce="n";keyid="wiki-1"`, noon.Unix()))
		if _, err := NewVerifier(Config{Now: at(noon)}).Verify(r, func(string) (Key, bool) { return k, true }); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := signed(t, hmacKey, nil)
	if _, err := NewVerifier(Config{Now: at(noon)}).Verify(r, func(string) (Key, bool) { return hmacKey.Key, false }); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key that was not found: %v", err)
	}
}

func TestVerifier_AcceptsOneOfConcurrentReplays(t *testing.T) {
	v := NewVerifier(Config{Now: at(noon)})
	r := signed(t, edKey, body)
	var accepted, replayed atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			switch _, err := v.Verify(r, find); {
			case err == nil:
				accepted.Add(1)
			case errors.Is(err, ErrReplayed):
				replayed.Add(1)
			}
		})
	}
	all.Wait()
	if accepted.Load() != 1 || replayed.Load() != 31 {
		t.Errorf("%d accepted, %d replayed; want 1 and 31", accepted.Load(), replayed.Load())
	}
}
