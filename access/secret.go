package access

import (
	"fmt"
	"log/slog"
)

// redacted is what a secret prints as.
const redacted = "[redacted]"

// Key is a session key. A client that knows it can act as the user of that session, so it prints as [redacted] with every
// fmt verb, in slog and in JSON. string(key) reveals it. It may contain any bytes; package api limits its length.
//
// Two places bypass this protection, so never print a Key there: an unexported field of a struct without its own Format
// method (Caller has one), and the key of a map in JSON.
type Key string

func (Key) String() string               { return redacted }
func (Key) GoString() string             { return redacted }
func (Key) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (Key) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Token is a bearer token as a client sends it. It prints as [redacted], like a Key.
type Token string

func (Token) String() string               { return redacted }
func (Token) GoString() string             { return redacted }
func (Token) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (Token) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }
