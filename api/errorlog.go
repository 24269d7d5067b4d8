package api

import (
	"bytes"
	"log/slog"

	"userinfo/internal/panics"
)

// errorLog is the writer behind http.Server.ErrorLog. net/http writes one message at a time.
//
// It passes on failed handshakes and broken connections at level debug, because unauthenticated peers can cause as many as
// they like. The messages contain addresses, and may quote names in a certificate that was not verified, but nothing of a
// request.
//
// A panic that net/http has recovered is counted, and logged as an error without its value. net/http recovers from panics in
// the TLS handshake with all its callbacks, in reading a request, and in what API.serve does not recover from. It then closes
// the connection (HTTP/1.1, and every handshake) or resets the stream (HTTP/2).
type errorLog struct {
	log    *slog.Logger
	panics *panics.Recorder
}

// Write implements io.Writer.
func (l errorLog) Write(message []byte) (int, error) {
	if bytes.HasPrefix(message, []byte("http: panic serving ")) || bytes.HasPrefix(message, []byte("http2: panic serving ")) {
		l.panics.RecordText(panics.Connection, string(message))
	} else {
		l.log.Debug(string(bytes.TrimSuffix(message, []byte("\n"))))
	}
	return len(message), nil
}
