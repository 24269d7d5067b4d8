package api

import (
	_ "embed"
	"net/http"
)

// Description is the OpenAPI description of a collection at /sessions/v1 and of the operators' routes.
//
//go:embed openapi.yaml
var Description []byte

func serveDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(Description) // a client that has left cannot be told
}
