package api

import (
	_ "embed"
	"net/http"
	"strconv"
)

// Description is the OpenAPI description of the API, in YAML. It describes one collection, at /sessions/v1, and the
// resources for operators.
//
//go:embed openapi.yaml
var Description []byte

func serveDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Content-Length", strconv.Itoa(len(Description)))
	_, _ = w.Write(Description) // an error means that the client has left
}
