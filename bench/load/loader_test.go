package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoadSetsAllValues(t *testing.T) {
	store, data := &fakeStore{}, Dataset{5000, 100}
	set, err := Load(t.Context(), store, data, Loading{TTL: 77})
	if err != nil || set != data.Values || len(store.values) != data.Values {
		t.Fatalf("set %d: %v", set, err)
	}
	for i := range data.Values {
		if !bytes.Equal(store.values[data.Key(i)], data.Value(nil, i)) {
			t.Fatalf("value %d is another", i)
		}
	}
	for _, op := range store.asked {
		if op.Method == Set && op.TTL != 77 {
			t.Fatalf("a TTL of %d", op.TTL)
		}
	}
	if store.made != store.closed {
		t.Errorf("%d connections made, %d closed", store.made, store.closed)
	}
}

func TestLoadAgainSetsNothing(t *testing.T) {
	data := Dataset{5000, 100}
	store := (&fakeStore{}).fill(data)
	if set, err := Load(t.Context(), store, data, Loading{}); err != nil || set != 0 || len(store.asked) > 14 {
		t.Errorf("set %d, after %d requests: %v", set, len(store.asked), err)
	}
}

func TestLoadExtendsASmallerDataSet(t *testing.T) {
	data := Dataset{20_000, 100}
	store := (&fakeStore{}).fill(Dataset{10_000, 100})
	if set, err := Load(t.Context(), store, data, Loading{}); err != nil || set != 10_000+window || len(store.values) != data.Values {
		t.Errorf("set %d, there are %d: %v", set, len(store.values), err)
	}
}

// A load is cut short while one value cannot be set, and others are. Called again, it leaves no hole.
func TestLoadGoesOnWhereItWasCutShort(t *testing.T) {
	data := Dataset{20_000, 10}
	for _, hole := range []int{0, 1, 9_999, 12_345} {
		store := &fakeStore{}
		ctx, stop := context.WithCancelCause(t.Context())
		stuck := data.Key(hole)
		store.takes = func(n int, op *Op) error {
			if op.Method != Set {
				return nil
			}
			if op.Key == stuck {
				<-ctx.Done()
				return errBroken
			}
			if op.Key == data.Key(min(hole+window-1, data.Values-1)) { // the last that may be ahead of the hole
				stop(errBroken)
			}
			return nil
		}
		if _, err := Load(ctx, store, data, Loading{Concurrency: 8}); !errors.Is(err, errBroken) {
			t.Fatalf("a load that was cut short: %v", err)
		}
		if len(store.values) > hole+window-1 {
			t.Errorf("%d values are there, with a hole at %d", len(store.values), hole)
		}
		store.takes = nil
		if _, err := Load(t.Context(), store, data, Loading{Concurrency: 8}); err != nil || len(store.values) != data.Values {
			t.Errorf("a hole at %d: there are %d values: %v", hole, len(store.values), err)
		}
	}
}

func TestLoadTriesForAWhileAndThenSaysWhatWasWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		refused := 0
		store.takes = func(_ int, op *Op) error {
			if op.Method == Set && refused < tries-1 {
				refused++
				return Failure("503")
			}
			return nil
		}
		if set, err := Load(t.Context(), store, Dataset{1, 10}, Loading{}); err != nil || set != 1 {
			t.Errorf("a store that is back after half a minute: set %d, %v", set, err)
		}
		store = &fakeStore{takes: func(_ int, op *Op) error {
			if op.Method == Set {
				return Failure("507")
			}
			return nil
		}}
		began := time.Now()
		_, err := Load(t.Context(), store, Dataset{1, 10}, Loading{})
		if err == nil || !strings.Contains(err.Error(), "setting value 1 of 1, 30 times: 507") || time.Since(began) != (tries-1)*time.Second {
			t.Errorf("a store that is full, after %v: %v", time.Since(began), err)
		}
	})
}

func TestLoadDoesNotRepeatWhatIsRefused(t *testing.T) {
	for failure, want := range map[Failure]int{"404": 1, "403": 1, "429": tries, "408": tries, "500": tries} {
		synctest.Test(t, func(t *testing.T) {
			sets := 0
			store := &fakeStore{takes: func(_ int, op *Op) error {
				if op.Method != Set {
					return nil
				}
				sets++
				return failure
			}}
			if _, err := Load(t.Context(), store, Dataset{1, 10}, Loading{}); !errors.Is(err, failure) || sets != want {
				t.Errorf("%s: set %d times, want %d; %v", failure, sets, want, err)
			}
		})
	}
}

// TTLs have ended where an earlier load began.
func TestLoadSetsABeginningThatIsGone(t *testing.T) {
	data := Dataset{5000, 100}
	for _, gone := range []int{1, 1000} {
		store := (&fakeStore{}).fill(data)
		for i := range gone {
			delete(store.values, data.Key(i))
		}
		if there, err := Present(t.Context(), store, data); err != nil || there != 0 {
			t.Errorf("without the first %d, %d are there: %v", gone, there, err)
		}
		if set, err := Load(t.Context(), store, data, Loading{}); err != nil || set != data.Values || len(store.values) != data.Values {
			t.Errorf("set %d, there are %d: %v", set, len(store.values), err)
		}
	}
}

func TestAPageInPlaceOfAllValuesIsNoDataSet(t *testing.T) {
	address, ca := cannedServer(t) // 2,048 bytes, whatever is asked
	d, err := NewHTTPS(HTTPSConfig{URL: "https://" + address + "/", TLS: &tls.Config{RootCAs: ca.Pool()}})
	if err != nil {
		t.Fatal(err)
	}
	if set, err := Load(t.Context(), d, Dataset{10, 100}, Loading{}); set != 0 || !errors.Is(err, OtherLength) {
		t.Errorf("values of 100 bytes: set %d, %v", set, err)
	}
	if there, err := Present(t.Context(), d, ten); there != ten.Values || err != nil { // a floor is such a server
		t.Errorf("values of that length: %d are there, %v", there, err)
	}
}

func TestLoadDoesNotTakeAnErrorForAnEmptyStore(t *testing.T) {
	store := &fakeStore{takes: func(int, *Op) error { return Failure("403") }}
	if set, err := Load(t.Context(), store, ten, Loading{}); set != 0 || !errors.Is(err, Failure("403")) || !strings.Contains(err.Error(), "is there") {
		t.Errorf("set %d: %v", set, err)
	}
}

func TestALoadOfWhatIsThereSaysSo(t *testing.T) {
	store, out := &fakeStore{}, bytes.Buffer{}
	for range 2 {
		out.Reset()
		if _, err := Load(t.Context(), store, ten, Loading{Progress: &out}); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasPrefix(out.String(), "all of ") {
		t.Errorf("it said %q", out.String())
	}
}

func TestProgressTellsShareSpeedAndTimeLeft(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	for _, terminal := range []bool{false, true} {
		out.Reset()
		p := newProgress(Loading{Progress: &out, Terminal: terminal}, Dataset{1000, 1_000_000}, 500)
		p.now = func() time.Time { return now }
		p.began, p.told = now, now
		for range 500 {
			now = now.Add(100 * time.Millisecond)
			p.add()
		}
		p.end()
		lines, want := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), 6 // one each 10 s, and the last
		if terminal {
			lines, want = strings.Split(strings.Trim(out.String(), "\r\n"), "\r"), 251
		}
		first := slices.IndexFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "[##############          ]  60.0 %  600.0 of 1000.0 MB  10 values/s  40s left")
		})
		last := strings.TrimSpace(lines[len(lines)-1])
		if len(lines) != want || first < 0 || last != "["+strings.Repeat("#", 24)+"] 100.0 %  1000.0 of 1000.0 MB  10 values/s  0s left" {
			t.Errorf("terminal %t: %d lines, want %d; the last is %q", terminal, len(lines), want, last)
		}
	}
}

func TestIdleConnectionsAreKeptUntilTheyAreClosed(t *testing.T) {
	s := newSite(t, nil)
	d, err := NewHTTPS(s.config())
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []*Op{nil, {Method: Get, Key: "k", Absent: true}} {
		conns, err := Idle(t.Context(), d, 100, first)
		if err != nil {
			t.Fatal(err)
		}
		s.await(t, 100)
		if first != nil {
			if err := conns.Ask(t.Context()); err != nil {
				t.Error(err)
			}
			if err := conns[50].conn.(*httpConn).conn.Close(); err != nil {
				t.Error(err)
			}
			if err := conns.Ask(t.Context()); err == nil || !strings.Contains(err.Error(), "connection 51 of 100") {
				t.Errorf("one of them is gone, and asking says %v", err)
			}
		}
		if err := conns.Close(); err != nil {
			t.Error(err)
		}
		s.await(t, 0)
	}
	if n := len(s.asked()); n < 200 || n >= 300 {
		t.Errorf("%d requests, want two of each of 100 connections, and a third of those before the one that is gone", n)
	}
	if _, err := Idle(t.Context(), d, 10, &Op{Method: Get, Key: "k"}); !errors.Is(err, NotFound) {
		t.Errorf("a first request that fails: %v", err)
	}
	s.await(t, 0)
}
