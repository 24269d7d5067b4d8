//go:build integration

package passwords

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"userinfo/access"
)

// timingKinds are the kinds of users whose wrong passwords must take the same time.
var timingKinds = []string{"wrong", "old", "costly", "unknown", "disabled"}

const (
	timingUsers    = 100 // of each kind
	timingRequests = 10_000
	timingWorkers  = 40
	// timingStep is 50 times as long as the costliest hash takes on a quiet machine, so that a busy one finishes it in
	// time, too.
	timingStep = 100 * time.Millisecond
)

// TestUsers_TimeTellsNothing compares the distributions of the times of 10,000 wrong passwords: of users with a hash of the
// configured scheme, with a hash of an old scheme, with a hash that costs more, of users who do not exist, and of users
// without a password. The requests are mixed, so everything else that the machine does concerns all kinds alike. The
// largest difference of two distributions (Kolmogorov and Smirnov) is then below 0.1: by chance it is larger in one of
// 10^7 runs.
func TestUsers_TimeTellsNothing(t *testing.T) {
	u := newTestUsers(t)
	u.guesses.perMinute = 0
	ctx := t.Context()
	for n := range timingUsers {
		wrong, old, costly, disabled := timingUser("wrong", n), timingUser("old", n), timingUser("costly", n), timingUser("disabled", n)
		if err := errors.Join(
			u.Create(ctx, u.as(access.Create, wrong), wrong, "correct horse"),
			u.Import(ctx, u.as(access.Import, old), old, ":B:salt:9842afc7cb949c440c51347ed809362f"),
			u.Import(ctx, u.as(access.Import, costly), costly, ":bcrypt:5$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
			u.Import(ctx, u.as(access.Import, disabled), disabled, ""),
		); err != nil {
			t.Fatal(err)
		}
	}
	u.options.FailureStep = timingStep
	u.options.Pool.most = timingWorkers // so that no request is refused
	order := make([]int, timingRequests)
	for i := range order {
		order[i] = i
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	times := u.measure(order)
	for i, a := range timingKinds {
		for _, b := range timingKinds[:i] {
			d := distance(times[a], times[b])
			t.Logf("%s and %s: %.3f (medians %v and %v)", a, b, d, median(times[a]), median(times[b]))
			if d > 0.1 {
				t.Errorf("the times of %s and %s differ: %.3f, want at most 0.1", a, b, d)
			}
		}
	}
}

func timingUser(kind string, n int) access.Key { return access.Key(fmt.Sprintf("%s user %d", kind, n)) }

// measure sends the requests in order, a few at a time, and returns how long each took, by kind.
func (u *testUsers) measure(order []int) map[string][]time.Duration {
	var mu sync.Mutex
	times := make(map[string][]time.Duration)
	next := make(chan int)
	var workers sync.WaitGroup
	for range timingWorkers {
		workers.Go(func() {
			for i := range next {
				kind, n := timingKinds[i%len(timingKinds)], i/len(timingKinds)
				user := timingUser(kind, n%timingUsers)
				caller := u.as(access.Verify, user)
				address := netip.AddrFrom4([4]byte{10, 0, byte(n / timingUsers), 1})
				start := time.Now()
				err := u.Verify(u.Context(), caller, user, Guess{Secret: "not the password", Address: address})
				took := time.Since(start)
				if !errors.Is(err, ErrWrong) {
					u.Errorf("%s: %v", kind, err)
				}
				mu.Lock()
				times[kind] = append(times[kind], took)
				mu.Unlock()
			}
		})
	}
	pace := time.NewTicker(timingStep / timingWorkers) // otherwise requests wait for each other, which hides the times of hashes
	defer pace.Stop()
	for _, i := range order {
		<-pace.C
		next <- i
	}
	close(next)
	workers.Wait()
	return times
}

// distance returns the largest difference of the distribution functions of a and b.
func distance(a, b []time.Duration) float64 {
	slices.Sort(a)
	slices.Sort(b)
	largest, i, j := 0.0, 0, 0
	for i < len(a) && j < len(b) {
		at := min(a[i], b[j])
		for i < len(a) && a[i] == at {
			i++
		}
		for j < len(b) && b[j] == at {
			j++
		}
		largest = max(largest, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return largest
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

// TestUsers_TimeComparisonFindsDifference checks that the test above finds users whose answers come later.
func TestUsers_TimeComparisonFindsDifference(t *testing.T) {
	var a, b []time.Duration
	for n := range 1000 {
		a, b = append(a, time.Duration(n)), append(b, time.Duration(n+200))
	}
	if d := distance(a, b); math.Abs(d-0.2) > 0.001 {
		t.Errorf("the distance is %v, want 0.2", d)
	}
	if d := distance(a, slices.Clone(a)); d != 0 {
		t.Errorf("the distance of equal times is %v, want 0", d)
	}
}
