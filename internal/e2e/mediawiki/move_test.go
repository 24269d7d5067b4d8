//go:build integration

package mediawiki_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"userinfo/access"
	"userinfo/internal/e2e/mediawiki"
)

// These tests are the steps of "Move in" in docs/mediawiki.md, forth and back, on wikis with open sessions.

// move is what testdata/move.php reads.
type move struct {
	Expiry int                       `json:"expiry"` // of sessions, in seconds
	Order  []string                  `json:"order"`  // of the caches: they are read in this order, and all are written
	Caches map[string]map[string]any `json:"caches"`
}

// journey is a wiki that moves through steps. In each step, people log in and out.
type journey struct {
	*testing.T
	wiki   *wiki
	steps  []move
	expiry int
	in     []*browser // that must be logged in
	out    []*browser // with copies of cookies of sessions that were logged out
	// arrived and leaving are called when all web servers are at a step, and before the first one leaves it.
	arrived, leaving func(from, to int)
	// staleLogout is true for two steps if a logout in one is not seen in the other.
	staleLogout func(from, to int) bool
}

func newJourney(t *testing.T, v mediawiki.Version, steps []move) *journey {
	t.Helper()
	w := startWiki(t, v)
	settings := filepath.Join(w.dir, "LocalSettings.php")
	text, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	j := &journey{T: t, wiki: w, steps: steps, expiry: 1200, arrived: func(int, int) {}, leaving: func(int, int) {}}
	j.staleLogout = func(int, int) bool { return false }
	j.use(0)
	write(t, settings, string(text)+"\nrequire __DIR__ . '/move.php';\n")
	return j
}

// use puts a step into force for the next request, as if another web server got it.
func (j *journey) use(step int) {
	j.Helper()
	j.wiki.settle(j.T)
	m := j.steps[step]
	m.Expiry = j.expiry
	text, err := json.Marshal(m)
	if err != nil {
		j.Fatal(err)
	}
	file := filepath.Join(j.wiki.dir, "move.json")
	write(j.T, file+".new", string(text))
	if err := os.Rename(file+".new", file); err != nil {
		j.Fatal(err)
	}
}

func (j *journey) logIn() *browser {
	j.Helper()
	b := newBrowser(j.T, j.wiki)
	b.logInByAPI()
	j.in = append(j.in, b)
	return b
}

// logOut logs out the browser in[i].
func (j *journey) logOut(i int) {
	j.Helper()
	b := j.in[i]
	j.in = slices.Delete(j.in, i, i+1)
	thief := b.copy()
	thief.expectUser(userName)
	b.logOutByAPI()
	j.out = append(j.out, thief)
}

// check checks that everybody is still logged in, and that nobody is again.
func (j *journey) check(where string) {
	j.Helper()
	for i, b := range j.in {
		if b.user() != userName {
			j.Errorf("%s: session %d of %d was logged out", where, i+1, len(j.in))
		}
	}
	for i, b := range j.out {
		if b.copy().user() != "" {
			j.Errorf("%s: logged-out session %d of %d is logged in again", where, i+1, len(j.out))
		}
	}
}

// renewAll makes MediaWiki write all sessions: with a larger expiry, more than half of their time has passed.
func (j *journey) renewAll(step int) {
	j.Helper()
	j.expiry *= 3
	j.use(step)
	for _, b := range j.in {
		b.get("Main_Page")
	}
	j.wiki.settle(j.T)
}

// mix lets two web servers in neighbouring steps serve the same people.
func (j *journey) mix(from, to int) {
	j.Helper()
	for _, each := range [][2]int{{from, to}, {to, from}} {
		here, there := each[0], each[1]
		j.use(here)
		j.logIn()
		j.use(there)
		j.check(fmt.Sprintf("log in in step %d, read in step %d", here, there))
		if !j.staleLogout(there, here) {
			j.logOut(len(j.in) - 1)
		}
		j.use(here)
		j.check(fmt.Sprintf("log out in step %d, read in step %d", there, here))
	}
}

// walk takes the steps in an order.
func (j *journey) walk(order ...int) {
	j.Helper()
	for i, step := range order {
		j.use(step)
		j.check(fmt.Sprintf("step %d", step))
		j.logIn()
		j.logIn()
		j.logOut(0)
		j.in[0].editByAPI("Page of the move", fmt.Sprintf("in step %d of %d", step, i))
		j.check(fmt.Sprintf("end of step %d", step))
		if i+1 < len(order) {
			next := order[i+1]
			j.leaving(step, next)
			j.mix(step, next)
			j.use(next)
			j.arrived(step, next)
		}
	}
}

// stockCache returns the parameters of MediaWiki's own class for a service. It sends POST, as for Kask.
func stockCache(url, caFile string) map[string]any {
	headers := map[string]string{"Authorization": "Bearer " + string(wikiToken)}
	return map[string]any{
		"class": "RESTBagOStuff", "url": url, "caBundlePath": caFile, "serialization_type": "JSON", "hmac_key": hmacKey,
		"httpParams": map[string]any{"writeMethod": "POST", "readHeaders": headers, "writeHeaders": headers, "deleteHeaders": headers},
	}
}

// userinfo returns the parameters of MediaWiki's own class for an instance of a step.
func (s *stepService) userinfo(step int) map[string]any {
	return stockCache(s.urls[step], s.caFile[step])
}

// ourCache returns the parameters of the extension's class for an instance of a step.
func (s *stepService) ourCache(step int) map[string]any {
	return map[string]any{
		"class": `MediaWiki\Extension\UserInfo\UserInfoBagOStuff`, "url": s.urls[step], "caBundlePath": s.caFile[step],
		"serialization_type": "JSON", "hmac_key": hmacKey, "tokenFile": s.tokenFile,
	}
}

// atKask is the place of Kask itself in the steps of newKaskJourney. It shares its table with the instances of step 0.
const atKask = 4

func newKaskJourney(t *testing.T, v mediawiki.Version, s *stepService) *journey {
	t.Helper()
	var steps []move
	for _, cache := range []map[string]any{s.userinfo(0), s.userinfo(1), s.userinfo(2), s.userinfo(3), s.kaskCache} {
		steps = append(steps, move{Order: []string{"sessions"}, Caches: map[string]map[string]any{"sessions": cache}})
	}
	return newJourney(t, v, steps)
}

func TestMove_FromKask(t *testing.T) {
	for _, v := range mediawiki.Versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			s := newStepService(t)
			j := newKaskJourney(t, v, s)
			j.leaving = func(from, to int) {
				switch {
				case from == 2 && to == 3: // after max_ttl
					j.renewAll(2)
					s.kask.expireAll()
				case from == 1 && to == 0:
					j.renewAll(1)
					s.sealed.expireAll()
				}
			}
			j.walk(atKask, 0, 1, 2, 3, 2, 1, 0, atKask)
			for _, step := range []int{1, 2} {
				if s.foundBeneath(step) == 0 {
					t.Errorf("in step %d, no session was in the table beneath", step)
				}
			}
		})
	}
}

// TestMove_BackToKaskAtOnce goes back from step 2 without the wait in step 1, and moves again. The version of
// MediaWiki does not matter.
func TestMove_BackToKaskAtOnce(t *testing.T) {
	s := newStepService(t)
	j := newKaskJourney(t, "1.43", s)
	j.walk(atKask, 0, 1)
	j.use(2)
	lost := []*browser{j.logIn(), j.logIn()}
	j.in = j.in[:len(j.in)-len(lost)]
	j.logOut(0)
	j.renewAll(2) // so that the sealed table has all sessions
	j.use(atKask)
	j.check("back at Kask")
	for _, b := range lost {
		b.expectUser("")
		b.logInByAPI()
		j.in = append(j.in, b)
	}
	j.logOut(0)
	s.sealed.expireAll() // TRUNCATE
	j.walk(atKask, 0, 1, 2)
}

// otherSteps are the steps from another cache of MediaWiki to UserInfo.
func otherSteps(userinfo map[string]any, other string, params map[string]any) (steps []move) {
	caches := map[string]map[string]any{"userinfo": userinfo}
	if params != nil {
		caches[other] = params
	}
	for _, order := range [][]string{{other}, {other, "userinfo"}, {"userinfo", other}, {"userinfo"}} {
		steps = append(steps, move{Order: order, Caches: caches})
	}
	return steps
}

// letRead is what an operator changes in the service when all web servers have arrived at step 1, or before the first one
// leaves it for step 0: the wiki may read UserInfo while all web servers write to it.
func (s *stepService) letRead(from, to int) {
	switch {
	case from == 0 && to == 1:
		s.endOlder()
		s.allow(access.Get, access.Set, access.Touch, access.Delete)
	case from == 1 && to == 0:
		s.allow(access.Set, access.Touch, access.Delete)
	}
}

// TestMove_FromRedis uses the extension's class, and TestMove_FromDatabase MediaWiki's own class.
func TestMove_FromRedis(t *testing.T) {
	for _, v := range mediawiki.Versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			s := newStepService(t)
			s.allow(access.Set, access.Touch, access.Delete)
			address := freeAddress(t)
			stop := startRedis(t, address)
			j := newJourney(t, v, otherSteps(s.ourCache(3), "redis", map[string]any{"class": "RedisBagOStuff", "servers": []string{address}}))
			j.leaving = func(from, to int) {
				switch {
				case from == 2 && to == 3: // after the lifetime of a session
					j.renewAll(2)
					stop()
				case from == 2 && to == 1:
					j.renewAll(2)
				case from == 1 && to == 0:
					j.renewAll(1)
					s.letRead(from, to)
				}
			}
			j.arrived = func(from, to int) {
				switch from {
				case 0:
					s.letRead(from, to)
				case 3:
					stop = startRedis(t, address) // empty
				}
			}
			j.walk(0, 1, 2, 3, 2, 1, 0)
		})
	}
}

// startRedis starts a Redis that keeps nothing on disk. It stops at the end of the test.
func startRedis(t *testing.T, address string) (stop func()) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	waitListening(t, address)
	return stop
}

func TestMove_FromDatabase(t *testing.T) {
	for _, v := range mediawiki.Versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			s := newStepService(t)
			s.allow(access.Set, access.Touch, access.Delete)
			j := newJourney(t, v, otherSteps(s.userinfo(3), "database", nil))
			// A web server in step 2 finds what another one in step 3 has deleted in UserInfo only.
			j.staleLogout = func(loggedOut, read int) bool { return loggedOut == 3 && read == 2 }
			j.leaving = func(from, to int) {
				switch {
				case from == 2:
					j.renewAll(2)
				case from == 3:
					j.deleteFromDatabase()
				case from == 1 && to == 0:
					j.renewAll(1)
					s.letRead(from, to)
				}
			}
			j.arrived = func(from, to int) {
				switch from {
				case 0:
					s.letRead(from, to)
				case 3:
					j.deleteFromDatabase() // what web servers of step 2 have written, and those of step 3 could not delete
				}
			}
			j.walk(0, 1, 2, 3, 2, 1, 0)
		})
	}
}

// deleteFromDatabase deletes all sessions in the database cache.
func (j *journey) deleteFromDatabase() {
	j.Helper()
	const script = `$d = new PDO( 'sqlite:' . $argv[1] );
		$d->setAttribute( PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION );
		echo $d->exec( "DELETE FROM objectcache WHERE keyname LIKE '%:MWSession:%'" );`
	j.wiki.settle(j.T)
	out, err := mediawiki.PHP(j.Context(), nil, "-r", script, filepath.Join(j.wiki.dir, "data", "wikicache.sqlite")).CombinedOutput()
	if err != nil || string(out) == "0" {
		j.Fatalf("deleting the sessions in the database: %v, deleted: %s", err, out)
	}
}
