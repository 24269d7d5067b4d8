//go:build integration

package mediawiki_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// kaskServer answers like Kask, on the table that it shares with UserInfo:
//
//   - it writes rows with INSERT. If UserInfo deletes such a row, the row stays without a value, and Kask answers 200
//     with an empty body;
//   - it has no logout fence, and ignores UserInfo's.
type kaskServer struct {
	table *agingTable

	mu       sync.Mutex
	inserted map[access.Key]bool // rows that were written with INSERT and that Kask has not deleted
}

func (k *kaskServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/sessions/v1/"))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	status, body := k.answer(r, access.Key(name))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// answer returns the status and the body.
func (k *kaskServer) answer(r *http.Request, key access.Key) (int, []byte) {
	ctx, now := r.Context(), time.Now().UnixMicro()
	switch r.Method {
	case http.MethodGet:
		row, err := k.table.Read(ctx, key)
		switch {
		case err != nil:
			return http.StatusInternalServerError, nil
		case row.Data == nil && !row.Deleted && !k.inserted[key]:
			return http.StatusNotFound, nil
		}
		return http.StatusOK, row.Data
	case http.MethodPost:
		data, err := io.ReadAll(r.Body)
		if err != nil || k.table.Write(ctx, key, data, now, stepTTL) != nil {
			return http.StatusInternalServerError, nil
		}
		k.inserted[key] = true
		return http.StatusCreated, nil
	case http.MethodDelete:
		if k.table.Delete(ctx, key, store.Deletion{Tombstone: now}, store.EachQuorum) != nil {
			return http.StatusInternalServerError, nil
		}
		delete(k.inserted, key)
		return http.StatusNoContent, nil
	}
	return http.StatusBadRequest, nil
}
