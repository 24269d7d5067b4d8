package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/sync/errgroup"

	"userinfo/drill/history"
)

// password returns the password of a user that has a version. Every version has another password.
func password(user string, version int64) string {
	return fmt.Sprintf("drill password %d of %s", version, user)
}

// passwordRequest is a request on the password of a user.
type passwordRequest struct {
	method string
	path   string // after the user
	body   map[string]string
	create bool // with If-None-Match: *
}

// newPasswordRequest returns the request of an operation on a password. The recorder knows the reset tokens.
func (r *Recorder) newPasswordRequest(o *history.Operation) passwordRequest {
	guess, replacement := password(o.Key, o.Guess), password(o.Key, o.Version)
	switch o.Method {
	case history.Verify:
		return passwordRequest{http.MethodPost, "/verify", map[string]string{"password": guess, "address": o.Address}, false}
	case history.Create:
		return passwordRequest{http.MethodPut, "", map[string]string{"password": replacement}, true}
	case history.Change:
		return passwordRequest{http.MethodPut, "", map[string]string{"password": replacement, "current": guess, "address": o.Address}, false}
	case history.Redeem:
		return passwordRequest{http.MethodPut, "", map[string]string{"password": replacement, "token": r.resetToken(o.Guess), "address": o.Address}, false}
	case history.Token:
		return passwordRequest{http.MethodPost, "/reset-token", nil, false}
	}
	return passwordRequest{http.MethodDelete, "", nil, false}
}

// newRequest returns the HTTP request of a passwordRequest.
func (p passwordRequest) newRequest(t Target, user string) (*http.Request, error) {
	var body []byte
	if p.body != nil {
		var err error
		if body, err = json.Marshal(p.body); err != nil {
			return nil, err
		}
	}
	request, err := newRequest(p.method, t.URL()+url.PathEscape(user)+p.path, string(body))
	if err == nil && p.create {
		request.Header.Set("If-None-Match", "*")
	}
	return request, err
}

// resetToken returns the token that an operation made, or a token that none has made.
func (r *Recorder) resetToken(operation int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cmp.Or(r.resetTokens[operation], "no token")
}

// keepResetToken keeps the token in the answer to an operation. The history does not contain it.
func (r *Recorder) keepResetToken(operation int64, answer []byte) error {
	var a struct{ Token string }
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resetTokens[operation] = a.Token
	return nil
}

// newestVersions is how many of the newest passwords of each user VerifyAll tries.
const newestVersions = 3

// VerifyAll tries the newest passwords of each user in each datacentre, as a client that nobody else uses. The operations
// are recorded as final.
func (r *Recorder) VerifyAll(targets [][]Target, client string) {
	versions := make(map[string][]int64)
	for _, o := range r.Operations() {
		if o.Version != history.NoVersion && o.Outcome() != history.Failed {
			versions[o.Key] = append(versions[o.Key], o.Version)
		}
	}
	var verifiers errgroup.Group
	verifiers.SetLimit(readWorkers)
	for user, all := range versions {
		slices.Sort(all)
		for _, version := range all[max(0, len(all)-newestVersions):] {
			verifiers.Go(func() error {
				for n, local := range targets {
					r.Do(local[int(version)%len(local)], history.Operation{
						Due: r.Now(), Method: history.Verify, Key: user, Guess: version, Client: client, Address: ipv4(finalNetwork, n, int(version)), Final: true,
					})
				}
				return nil
			})
		}
	}
	_ = verifiers.Wait()
}
