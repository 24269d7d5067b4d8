package seal

import (
	"crypto/rand"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// The benchmarks read and write a session of MediaWiki. A get of a sealed collection costs one BenchmarkLocate and one
// BenchmarkOpen; compare them with the service's CPU time per get in docs/performance.md.
const (
	benchKey   = access.Key("enwiki:MWSession:0123456789abcdef0123456789abcdef")
	benchBytes = 2048
)

func BenchmarkLocate(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	keys := mustKeys(b, index, seals...)
	b.ReportAllocs()
	for b.Loop() {
		keys.locate("sessions", benchKey)
	}
}

func BenchmarkSeal(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	keys := mustKeys(b, index, seals...)
	l := keys.locate("sessions", benchKey)
	value := make([]byte, benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.seal(rand.Reader, l, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	keys := mustKeys(b, index, seals...)
	l := keys.locate("sessions", benchKey)
	sealed := mustSeal(b, keys, l, make([]byte, benchBytes))
	again := make([]byte, len(sealed))
	b.ReportAllocs()
	for b.Loop() {
		copy(again, sealed)
		if _, _, err := keys.open(l, again); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet reads a sealed value from memory.
func BenchmarkGet(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	i := newInstance(b, "sessions", store.NewMemory(1<<20, time.Now), mustKeys(b, index, seals...))
	if err := i.set(benchKey, string(make([]byte, benchBytes))); err != nil {
		b.Fatal(err)
	}
	caller := i.caller(access.Get, benchKey)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Get(b.Context(), caller, benchKey); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet_NotFound reads a value that does not exist from memory.
func BenchmarkGet_NotFound(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	i := newInstance(b, "sessions", store.NewMemory(1<<20, time.Now), mustKeys(b, index, seals...))
	caller := i.caller(access.Get, "nobody")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Get(b.Context(), caller, "nobody"); err == nil {
			b.Fatal("there is a value")
		}
	}
}
