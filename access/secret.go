package access

import (
	"fmt"
	"log/slog"
)

// redacted stands wherever a secret would have been printed.
const redacted = "[redacted]"

// Key is a session key: whoever knows one can act as its user. It prints as [redacted] whatever the verb, in
// logs and in JSON; a conversion to string reveals it. At most api.MaxKeyBytes of any bytes.
//
// Neither fmt nor encoding/json asks a value in two places, so never print one there: in an unexported field of a
// struct without a Format of its own (Caller has one), and as the key of a map in JSON.
type Key string

func (Key) String() string               { return redacted }
func (Key) GoString() string             { return redacted }
func (Key) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (Key) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Token is a bearer token as a client sends it. It prints as [redacted], as a Key does.
type Token string

func (Token) String() string               { return redacted }
func (Token) GoString() string             { return redacted }
func (Token) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (Token) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }
