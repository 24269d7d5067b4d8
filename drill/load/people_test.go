package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// passwordModel is a service that keeps passwords in one map. The zero value of its bugs is a correct service.
type passwordModel struct {
	keepsOld  bool // an old password stays right
	overwrite bool // a creation replaces a user
	locksOut  bool // wrong passwords of anybody lock a user out
	tokenStay bool // a token is not used up

	mu     sync.Mutex
	users  map[string]string
	old    map[string]string // users and old passwords
	tokens map[string]string
	wrong  map[string]int
	made   int // tokens
}

func newPasswordModel() *passwordModel {
	return &passwordModel{users: make(map[string]string), old: make(map[string]string), tokens: make(map[string]string), wrong: make(map[string]int)}
}

// answer returns the status of a request, and the name of the problem or the token.
func (m *passwordModel) answer(q *http.Request) (status int, text string) {
	var body struct{ Password, Current, Token, Address string }
	if q.ContentLength > 0 {
		if err := json.NewDecoder(q.Body).Decode(&body); err != nil {
			return http.StatusBadRequest, "bad-request"
		}
	}
	user, action, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/s/v1/"), "/")
	m.mu.Lock()
	defer m.mu.Unlock()
	isRight := func(p string) bool {
		return m.users[user] == p || m.keepsOld && strings.Contains(m.old[user], p)
	}
	set := func(status int) (int, string) {
		m.old[user] += m.users[user] + "\n"
		m.users[user] = body.Password
		if !m.tokenStay {
			delete(m.tokens, user)
		}
		return status, ""
	}
	wrong := func() (int, string) {
		m.wrong[user]++
		return http.StatusForbidden, "wrong-password"
	}
	switch {
	case q.Method == http.MethodDelete:
		delete(m.users, user)
		delete(m.tokens, user)
		return http.StatusNoContent, ""
	case action == "reset-token":
		m.made++
		m.tokens[user] = fmt.Sprint("token", m.made)
		return http.StatusCreated, m.tokens[user]
	case q.Header.Get("If-None-Match") == "*":
		if m.users[user] != "" && !m.overwrite {
			return http.StatusPreconditionFailed, "user-exists"
		}
		return set(http.StatusCreated)
	case m.locksOut && m.wrong[user] >= 5:
		return http.StatusTooManyRequests, "too-many-guesses"
	case action == "verify":
		if isRight(body.Password) {
			return http.StatusNoContent, ""
		}
		return wrong()
	case body.Token != "" && m.tokens[user] == body.Token, body.Current != "" && isRight(body.Current):
		return set(http.StatusNoContent)
	}
	return wrong()
}

func (m *passwordModel) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	status, text := m.answer(q)
	w.WriteHeader(status)
	switch {
	case status >= 400:
		fmt.Fprintf(w, `{"type":"urn:userinfo:problem:%s"}`, text)
	case text != "":
		fmt.Fprintf(w, `{"token":%q}`, text)
	}
}

// live runs people on a model until enough says so, or for a minute. It returns the verdicts by invariant, and the history.
func live(t *testing.T, m *passwordModel, enough func([]history.Operation) bool) (map[string]judge.Verdict, []history.Operation) {
	t.Helper()
	r, one := newTestRecorder(t, m.ServeHTTP)
	two := one
	two.Name, two.DC = one.Name, "dc2"
	r.UseTokens(map[string]string{"wiki": "secret", "observer": "secret", "final": "secret"})
	targets := [][]Target{{one}, {two}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		r.RunPeople(ctx, People{Seed: 1, Rate: 1000, Prefix: "u:", Targets: targets, Clients: []string{"wiki"}, Observer: "observer"})
	})
	for ctx.Err() == nil && !enough(r.Operations()) {
		pause(ctx, 50*time.Millisecond)
	}
	cancel()
	running.Wait()
	r.VerifyAll(targets, "final")
	h := &history.History{Passwords: true, Datacentres: []string{"dc1", "dc2"}, Operations: r.Operations()}
	verdicts := make(map[string]judge.Verdict)
	for _, v := range judge.Evaluate(h) {
		verdicts[v.Invariant] = v
	}
	return verdicts, h.Operations
}

func TestPeople_UsePasswordsInEveryWay(t *testing.T) {
	kinds := []string{"create 201 ", "create 412 user-exists", "verify 204 ", "verify 403 wrong-password", "change 204 ", "change 403 wrong-password",
		"token 201 ", "redeem 204 ", "redeem 403 wrong-password", "delete 204 "}
	count := func(all []history.Operation) map[string]int {
		seen := make(map[string]int)
		for _, o := range all {
			seen[fmt.Sprint(o.Method, " ", o.Status, " ", o.Problem)]++
		}
		return seen
	}
	verdicts, all := live(t, newPasswordModel(), func(all []history.Operation) bool {
		seen := count(all)
		for _, k := range kinds {
			if seen[k] < 5 {
				return false
			}
		}
		return true
	})
	if seen := count(all); len(seen) != len(kinds) {
		t.Errorf("answers %v, want %q", seen, kinds)
	}
	for _, name := range []string{"P1", "P3", "P4", "P5"} {
		if v := verdicts[name]; v.Checked == 0 || v.Violated() {
			t.Errorf("%s: %+v", name, v)
		}
	}
	final := 0
	for _, o := range all {
		if o.Final {
			final++
		}
	}
	if final == 0 {
		t.Error("no final verifies")
	}
}

func TestPeople_ShowEveryPlantedBug(t *testing.T) {
	for invariant, plant := range map[string]func(*passwordModel){
		"P1": func(m *passwordModel) { m.keepsOld = true },
		"P3": func(m *passwordModel) { m.overwrite = true },
		"P4": func(m *passwordModel) { m.locksOut = true },
		"P5": func(m *passwordModel) { m.tokenStay = true },
	} {
		t.Run(invariant, func(t *testing.T) {
			t.Parallel()
			m := newPasswordModel()
			plant(m)
			verdicts, _ := live(t, m, func(all []history.Operation) bool {
				v := judge.Evaluate(&history.History{Passwords: true, Datacentres: []string{"dc1", "dc2"}, Operations: all})
				for _, v := range v {
					if v.Invariant == invariant && v.Violated() {
						return true
					}
				}
				return false
			})
			if !verdicts[invariant].Violated() {
				t.Error("not caught")
			}
		})
	}
}
