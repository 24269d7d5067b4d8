package api

import (
	"encoding/json"
	"net/http"
	"time"
)

// rewrittenKeysPath is the path of the most rewritten keys. A collection cannot have a path below /operators: see
// internal/config.
const rewrittenKeysPath = "/operators/v1/rewritten-keys"

// rewrittenCollection is one collection in the response of rewrittenKeysPath.
type rewrittenCollection struct {
	Collection string         `json:"collection"`
	Since      time.Time      `json:"since"`
	Writes     uint64         `json:"writes"`
	Keys       []rewrittenKey `json:"keys"`
}

// rewrittenKey is one key in the response of rewrittenKeysPath. It never contains the session key.
type rewrittenKey struct {
	Hash      string `json:"hash"`
	Writes    uint64 `json:"writes"`
	AtMost    uint64 `json:"at_most"`
	Unchanged uint64 `json:"unchanged"`
}

// serveRewrittenKeys sends the most rewritten keys of every collection as JSON.
func (a *API) serveRewrittenKeys(w http.ResponseWriter, _ *http.Request) {
	collections := []rewrittenCollection{}
	if a.config.RewrittenKeys != nil {
		for _, c := range a.config.RewrittenKeys() {
			one := rewrittenCollection{Collection: c.Collection, Since: c.Since.UTC().Truncate(time.Second), Writes: c.Writes, Keys: []rewrittenKey{}}
			for _, k := range c.Keys {
				one.Keys = append(one.Keys, rewrittenKey(k))
			}
			collections = append(collections, one)
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"collections": collections}) // an error means that the client has left
}
