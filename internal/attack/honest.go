package attack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Honest is a client that uses the service as MediaWiki does, one request after another.
type Honest struct {
	Name      string // its keys begin with it
	Client    *http.Client
	Authorize func(r *http.Request, body []byte) // adds the credentials; nil for none
	// Patient clients try again when the service closed the connection, or gave up a body, at one of its own deadlines. On a
	// machine that is busy with something else, a client may need longer than that.
	Patient bool

	base   string            // of the collection
	kept   map[string][]byte // values that must be there at the end
	number int
	Sent   int      // requests
	Late   int      // requests that a patient client sent again
	Errors []string // responses other than the expected one, and requests without a response
}

// pace is the pause between two rounds of requests.
const pace = 20 * time.Millisecond

// Deadlines of the service, as docs/api.md lists them: for the first request of a connection, and for a body that does not
// arrive.
const (
	requestDeadline = 4 * time.Second
	bodyDeadline    = time.Second
)

// Use sends rounds of requests until ctx ends, and ends after a complete round. It returns after at least one.
func (h *Honest) Use(ctx context.Context, t *Target) {
	h.base, h.kept = "https://"+t.Address+t.Path+"/", make(map[string][]byte)
	for {
		h.round()
		if !pause(ctx, pace) {
			return
		}
	}
}

// round sets, reads, touches and reads a value. It deletes every second one.
func (h *Honest) round() {
	h.number++
	key := fmt.Sprintf("%s%%3A%d", h.Name, h.number%500)
	value := bytes.Repeat([]byte(fmt.Sprintf("%s %d.", h.Name, h.number)), 50)
	if h.number >= 500 && (h.number%500)%2 == 1 {
		return // was deleted, and may not be set again for a while
	}
	h.send(http.MethodPut, key, value, http.StatusNoContent, nil)
	h.send(http.MethodGet, key, nil, http.StatusOK, value)
	h.send(http.MethodPatch, key, nil, http.StatusNoContent, nil)
	h.send(http.MethodGet, key, nil, http.StatusOK, value)
	if h.number%2 == 1 {
		h.send(http.MethodDelete, key, nil, http.StatusNoContent, nil)
	} else {
		h.kept[key] = value
	}
}

// CheckKept reads every value that was set and not deleted.
func (h *Honest) CheckKept() {
	for key, value := range h.kept {
		h.send(http.MethodGet, key, nil, http.StatusOK, value)
	}
}

// send sends a request without a deadline of its own: the service must answer. It records every response that is not the
// wanted one.
func (h *Honest) send(method, key string, body []byte, status int, want []byte) {
	for {
		h.Sent++
		began := time.Now()
		res, got, err := h.do(method, key, body)
		took := time.Since(began)
		switch {
		case h.Patient && (err != nil && took >= requestDeadline || err == nil && res.StatusCode == http.StatusRequestTimeout && took >= bodyDeadline):
			h.Late++
			continue
		case err != nil:
			h.Errors = append(h.Errors, fmt.Sprintf("%s after %v: %v", method, took, err))
		case res.StatusCode != status || want != nil && !bytes.Equal(got, want):
			h.Errors = append(h.Errors, fmt.Sprintf("%s after %v: %d %.300s", method, took, res.StatusCode, got))
		}
		return
	}
}

// do sends a request and reads the whole response.
func (h *Honest) do(method, key string, body []byte) (res *http.Response, got []byte, err error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequest(method, h.base+key, reader)
	if err != nil {
		panic(err) // keys are made here
	}
	if method == http.MethodPut || method == http.MethodPatch {
		r.Header.Set("TTL", "600")
	}
	if h.Authorize != nil {
		h.Authorize(r, body)
	}
	if res, err = h.Client.Do(r); err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	got, err = io.ReadAll(res.Body)
	return res, got, err
}
