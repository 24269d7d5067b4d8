package passwords

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/passwords/scheme"
)

// benchArgon2id are the default parameters of the configuration.
var benchArgon2id = scheme.Argon2id{MemoryKiB: 64 << 10, Time: 3, Threads: 1}

// BenchmarkArgon2id_Verify is what a comparison costs without the service.
func BenchmarkArgon2id_Verify(b *testing.B) {
	h, err := benchArgon2id.New([]byte("correct horse"), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !h.Verify([]byte("correct horse")) {
			b.Fatal("the password does not match")
		}
	}
}

// BenchmarkUsers_Verify is the same with the service: authorization, budgets, a sealed row in memory, and the pool. The
// difference must be at most 5 %.
func BenchmarkUsers_Verify(b *testing.B) {
	u := newTestUsers(b)
	u.config.Argon2id, u.config.MemoryKiB = benchArgon2id, benchArgon2id.MemoryKiB
	u.options.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	if u.decoy, err = benchArgon2id.New([]byte("decoy"), rand.Reader); err != nil {
		b.Fatal(err)
	}
	if err := u.Create(b.Context(), u.as(access.Create, "Known"), "Known", "correct horse"); err != nil {
		b.Fatal(err)
	}
	caller := u.as(access.Verify, "Known")
	guess := Guess{Secret: "correct horse", Address: netip.MustParseAddr("192.0.2.1")}
	for b.Loop() {
		if err := u.Verify(b.Context(), caller, "Known", guess); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUsers_Service is the service's own part of a verify: the hash is as cheap as possible.
func BenchmarkUsers_Service(b *testing.B) {
	u := newTestUsers(b)
	if err := u.Create(b.Context(), u.as(access.Create, "Known"), "Known", "correct horse"); err != nil {
		b.Fatal(err)
	}
	caller := u.as(access.Verify, "Known")
	guess := Guess{Secret: "correct horse", Address: netip.MustParseAddr("192.0.2.1")}
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		if err := u.Verify(b.Context(), caller, "Known", guess); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "verify/s")
}
