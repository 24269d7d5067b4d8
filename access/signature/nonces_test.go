package signature

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestNonces_RemembersWhileSignatureIsValid(t *testing.T) {
	n := newNonces(10, 60)
	use := func(now int64, key, nonce string, until int64, want error) {
		t.Helper()
		if err := n.use(now, key, nonce, until); !errors.Is(err, want) {
			t.Errorf("at %d, %s %s until %d: %v, want %v", now, key, nonce, until, err, want)
		}
	}
	use(100, "a", "1", 160, nil)
	use(100, "a", "1", 160, ErrReplayed)
	use(100, "a", "1", 150, ErrReplayed) // the same nonce, signed at another time
	use(100, "a", "2", 220, nil)
	use(100, "b", "1", 160, nil) // keys do not share nonces
	use(160, "a", "1", 160, ErrReplayed)
	use(161, "a", "1", 221, nil) // the first signature is stale
	use(161, "a", "2", 220, ErrReplayed)
	use(161, "a", "3", 281, nil)
	use(161, "a", "4", 282, ErrFuture) // beyond both windows
	// The clock is set back. Nonces that may be forgotten are rejected.
	use(100, "b", "1", 160, ErrStale)
	use(100, "c", "1", 160, ErrStale) // also of a key that was not used before
	use(100, "b", "3", 161, nil)
	use(221, "a", "2", 281, nil)
	use(221, "a", "1", 221, ErrReplayed)
	use(1000, "a", "5", 1060, nil)
	for key, want := range map[string]int{"a": 1, "b": 0, "c": 0} {
		if got := len(n.byKey[key].next); got != want {
			t.Errorf("key %s has %d nonces, want %d", key, got, want)
		}
	}
}

// TestNonces_RemembersWhatANaiveMemoryRemembers compares with a memory that forgets nothing, while the clock advances.
func TestNonces_RemembersWhatANaiveMemoryRemembers(t *testing.T) {
	const window = 3
	n := newNonces(1000, window)
	until := make(map[string]int64)
	for i := range 5000 {
		now := int64(100 + i/7)
		nonce, end := strconv.Itoa(i*i%911), now+int64(i%(2*window+1))
		want := error(nil)
		if last, used := until[nonce]; used && last >= now {
			want = ErrReplayed
		}
		err := n.use(now, "a", nonce, end)
		if want == nil && errors.Is(err, ErrReplayed) && until[nonce] > 0 {
			continue // expired, and not yet forgotten
		}
		if !errors.Is(err, want) {
			t.Fatalf("step %d, second %d: %v, want %v", i, now, err, want)
		}
		if err == nil {
			until[nonce] = end
		}
		if got := len(n.byKey["a"].next); got > 7*(2*window+2) {
			t.Fatalf("step %d: %d nonces are remembered", i, got)
		}
	}
}

func TestNonces_FullKeyDoesNotAffectOthers(t *testing.T) {
	n := newNonces(3, 60)
	for i := range 3 {
		if err := n.use(100, "a", fmt.Sprint(i), 160); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		if err := n.use(100, "a", fmt.Sprint("more", i), 160); !errors.Is(err, ErrNoncesFull) {
			t.Errorf("beyond the limit: %v", err)
		}
	}
	if err := n.use(100, "a", "0", 160); !errors.Is(err, ErrReplayed) {
		t.Errorf("replay at the limit: %v", err)
	}
	if err := n.use(100, "b", "0", 160); err != nil {
		t.Errorf("another key: %v", err)
	}
	if err := n.use(161, "a", "new", 221); err != nil {
		t.Errorf("after the nonces are forgotten: %v", err)
	}
	if got := len(n.byKey["a"].next); got != 1 {
		t.Errorf("%d nonces are remembered", got)
	}
	if errors.Is(ErrNoncesFull, ErrRefused) || errors.Is(ErrNoncesFull, ErrMalformed) {
		t.Error("ErrNoncesFull is an ErrRefused or ErrMalformed")
	}
}

// TestNonces_BoundsWorkOfOneRequest lets many nonces expire in one second, and counts what each of the next requests forgets.
func TestNonces_BoundsWorkOfOneRequest(t *testing.T) {
	const many = 10_000
	n := newNonces(many+1, 60)
	for i := range many {
		if err := n.use(100, "a", strconv.Itoa(i), 160); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.use(100, "a", "later", 220); err != nil { // so that the key is never idle
		t.Fatal(err)
	}
	k := n.byKey["a"]
	for i := range 2000 {
		before := len(k.next)
		// The memory is full until the first nonces are forgotten. A request must not be refused because of expired ones.
		if err := n.use(161, "a", fmt.Sprint("new", i), 221); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if gone := before + 1 - len(k.next); gone != forgetsPerUse {
			t.Fatalf("request %d forgot %d nonces, want %d", i, gone, forgetsPerUse)
		}
	}
	for i := range 2000 {
		if err := n.use(161, "a", fmt.Sprint("new", i), 221); !errors.Is(err, ErrReplayed) {
			t.Fatalf("a replay while nonces are forgotten: %v", err)
		}
	}
}

// TestNonces_KeysDoNotWaitForEachOther uses a key while the lock of another key is held.
func TestNonces_KeysDoNotWaitForEachOther(t *testing.T) {
	n := newNonces(10, 60)
	for _, key := range []string{"a", "b"} {
		if err := n.use(100, key, "1", 160); err != nil {
			t.Fatal(err)
		}
	}
	n.byKey["a"].mu.Lock()
	defer n.byKey["a"].mu.Unlock()
	done := make(chan error, 1)
	go func() {
		for i := range 5 { // each looks whether another key is idle
			if err := n.use(300, "b", fmt.Sprint("new", i), 360); err != nil {
				done <- err
				return
			}
		}
		done <- n.use(300, "c", "1", 360)
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("keys b and c wait for the lock of key a")
	}
}

func TestNonces_FreesIdleKey(t *testing.T) {
	n := newNonces(1000, 60)
	for i := range 1000 {
		if err := n.use(100, "flood", strconv.Itoa(i), 220); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		if err := n.use(220, "other", fmt.Sprint("early", i), 280); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(n.byKey["flood"].next); got != 1000 {
		t.Errorf("%d nonces are remembered while their signatures are valid, want 1000", got)
	}
	for i := range 2 {
		if err := n.use(221, "other", fmt.Sprint("late", i), 281); err != nil {
			t.Fatal(err)
		}
	}
	if n.byKey["flood"].next != nil {
		t.Error("the nonces of an idle key use memory after they have expired")
	}
}

func TestNonces_Concurrent(t *testing.T) {
	n := newNonces(1<<20, 2)
	accepted := make([]map[string]int, 8)
	var all sync.WaitGroup
	for g := range accepted {
		accepted[g] = make(map[string]int)
		all.Go(func() {
			for i := range 2000 {
				now := int64(100 + i/100)
				nonce := fmt.Sprint(now, i)
				if n.use(now, strconv.Itoa(i%3), nonce, now+4) == nil {
					accepted[g][nonce]++
				}
			}
		})
	}
	all.Wait()
	total := make(map[string]int)
	for _, a := range accepted {
		for nonce, times := range a {
			total[nonce] += times
		}
	}
	for nonce, times := range total {
		if times != 1 {
			t.Errorf("nonce %s was accepted %d times", nonce, times)
		}
	}
}

// BenchmarkNonces_WorstRequest measures the slowest of the requests after a second in which 1,048,576 nonces expire.
func BenchmarkNonces_WorstRequest(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		n := newNonces(1<<20+100, 60)
		for i := range 1 << 20 {
			if err := n.use(100, "flood", strconv.Itoa(i), 160); err != nil {
				b.Fatal(err)
			}
		}
		if err := n.use(100, "flood", "later", 220); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		worst := make(map[string]time.Duration)
		for i := range 1000 {
			for _, key := range []string{"other", "flood"} {
				start := time.Now()
				if err := n.use(161, key, fmt.Sprint("new", i), 221); err != nil {
					b.Fatal(err)
				}
				worst[key] = max(worst[key], time.Since(start))
			}
		}
		b.ReportMetric(float64(worst["flood"].Microseconds()), "µs-worst-own")
		b.ReportMetric(float64(worst["other"].Microseconds()), "µs-worst-other")
	}
}
