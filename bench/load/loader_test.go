package load

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoader_SetsAllValues(t *testing.T) {
	store, data := &fakeStore{}, Dataset{5000, 100}
	var progress []int
	set, err := Loader{TTL: 77, Progress: func(done, total int) { progress = append(progress, done, total) }}.Load(t.Context(), store, data)
	if err != nil || set != data.Values || len(store.values) != data.Values {
		t.Fatalf("set %d: %v", set, err)
	}
	for i := range data.Values {
		if !bytes.Equal(store.values[data.Key(i)], data.Value(nil, i)) {
			t.Fatalf("value %d is wrong", i)
		}
	}
	for _, r := range store.requests {
		if r.Method == Set && r.TTL != 77 {
			t.Fatalf("a TTL of %d", r.TTL)
		}
	}
	if len(progress) != 4 || progress[2] != data.Values || progress[3] != data.Values {
		t.Errorf("the progress was %v", progress)
	}
	if store.made != store.closed {
		t.Errorf("%d connections opened, %d closed", store.made, store.closed)
	}
}

func TestLoader_SetsNothingTwice(t *testing.T) {
	data := Dataset{5000, 100}
	store := (&fakeStore{}).fill(data)
	if set, err := (Loader{}).Load(t.Context(), store, data); err != nil || set != 0 || len(store.requests) > 14 {
		t.Errorf("set %d, with %d requests: %v", set, len(store.requests), err)
	}
}

func TestLoader_ExtendsSmallerDataSet(t *testing.T) {
	data := Dataset{20_000, 10}
	store := (&fakeStore{}).fill(Dataset{10_000, 10})
	if set, err := (Loader{}).Load(t.Context(), store, data); err != nil || set != 10_000+batchSize || len(store.values) != data.Values {
		t.Errorf("set %d, the store has %d: %v", set, len(store.values), err)
	}
}

func TestLoader_ContinuesAfterInterruption(t *testing.T) {
	data := Dataset{20_000, 10}
	for _, hole := range []int{0, 1, 9_999, 12_345} {
		store := &fakeStore{}
		ctx, stop := context.WithCancelCause(t.Context())
		store.before = func(_ int, r *Request) error {
			if r.Method != Set {
				return nil
			}
			lastOfBatch := min(hole-hole%batchSize+batchSize, data.Values) - 1
			switch r.Key {
			case data.Key(hole):
				<-ctx.Done()
				return errBroken
			case data.Key(lastOfBatch):
				stop(errBroken)
			}
			return nil
		}
		if _, err := (Loader{Connections: 8}).Load(ctx, store, data); !errors.Is(err, errBroken) {
			t.Fatalf("an interrupted load: %v", err)
		}
		store.before = nil
		if _, err := (Loader{Connections: 8}).Load(t.Context(), store, data); err != nil || len(store.values) != data.Values {
			t.Errorf("a hole at %d: the store has %d values: %v", hole, len(store.values), err)
		}
	}
}

func TestLoader_RetriesErrorsThatMayPass(t *testing.T) {
	for failure, want := range map[Failure]int{"404": 1, "403": 1, "429": attempts, "408": attempts, "500": attempts} {
		synctest.Test(t, func(t *testing.T) {
			sets := 0
			store := &fakeStore{before: func(_ int, r *Request) error {
				if r.Method != Set {
					return nil
				}
				sets++
				return failure
			}}
			_, err := (Loader{}).Load(t.Context(), store, Dataset{1, 10})
			if !errors.Is(err, failure) || sets != want || !strings.Contains(err.Error(), "setting value 1 of 1") {
				t.Errorf("%s: %d attempts, want %d; %v", failure, sets, want, err)
			}
		})
	}
}

func TestLoader_SucceedsWhenStoreComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		store := &fakeStore{before: func(_ int, r *Request) error {
			if r.Method == Set && time.Since(began) < 20*time.Second {
				return Failure("503")
			}
			return nil
		}}
		if set, err := (Loader{}).Load(t.Context(), store, Dataset{1, 10}); err != nil || set != 1 {
			t.Errorf("set %d: %v", set, err)
		}
	})
}

// TTLs end first where an earlier load began.
func TestPresent_IsZeroWithoutFirstValue(t *testing.T) {
	data := Dataset{5000, 100}
	store := (&fakeStore{}).fill(data)
	for i := range 1000 {
		delete(store.values, data.Key(i))
	}
	if n, err := Present(t.Context(), store, data); err != nil || n != 0 {
		t.Errorf("%d are present (%v)", n, err)
	}
	if set, err := (Loader{}).Load(t.Context(), store, data); err != nil || set != data.Values || len(store.values) != data.Values {
		t.Errorf("set %d, the store has %d: %v", set, len(store.values), err)
	}
}

func TestPresent_ErrorIsNotAnEmptyStore(t *testing.T) {
	for _, failure := range []Failure{"403", OtherLength} {
		store := &fakeStore{before: func(int, *Request) error { return failure }}
		if set, err := (Loader{}).Load(t.Context(), store, ten); set != 0 || !errors.Is(err, failure) || !strings.Contains(err.Error(), "getting value 1 of 10") {
			t.Errorf("set %d: %v", set, err)
		}
	}
}
