package access_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"userinfo/access"
)

const marked = "MARKED-SECRET"

// holder has secrets in all kinds of fields.
type holder struct {
	Key     access.Key
	Token   access.Token
	Pointer *access.Key
	Any     any
	List    []access.Key
}

func newHolder() holder {
	k := access.Key(marked)
	return holder{Key: k, Token: marked, Pointer: &k, Any: k, List: []access.Key{k}}
}

func wantRedacted(t *testing.T, how, got string) {
	t.Helper()
	for _, form := range []string{marked, strings.ToLower(marked), fmt.Sprintf("%x", marked), fmt.Sprintf("%X", marked), fmt.Sprint([]byte(marked))} {
		if strings.Contains(got, form) {
			t.Errorf("%s shows the secret: %s", how, got)
		}
	}
	if !strings.Contains(got, "[redacted]") {
		t.Errorf("%s does not print [redacted]: %s", how, got)
	}
}

func TestSecret_PrintsRedactedWithEveryVerb(t *testing.T) {
	h := newHolder()
	for _, verb := range "vtbcdoOqxXUeEfFgGs" { // %T and %p print no value, and vet rejects %w
		for _, flags := range []string{"", "+", "#", "-20", "020", " ", ".3", "5.2"} {
			format := "%" + flags + string(verb)
			wantRedacted(t, format+" of a key", fmt.Sprintf(format, h.Key))
			wantRedacted(t, format+" of a token", fmt.Sprintf(format, h.Token))
		}
	}
}

func TestSecret_PrintsRedactedInsideOtherValues(t *testing.T) {
	h := newHolder()
	for _, v := range []any{h, &h, h.List, map[access.Key]access.Token{h.Key: h.Token}, []any{h.Key}, struct{ K access.Key }{h.Key}, fmt.Errorf("about %v", h.Key)} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			wantRedacted(t, fmt.Sprintf("%s of a %T", format, v), fmt.Sprintf(format, v))
		}
	}
	wantRedacted(t, "String", h.Key.String()+h.Token.String())
	wantRedacted(t, "GoString", h.Key.GoString()+h.Token.GoString())
	wantRedacted(t, "Sprint", fmt.Sprint(h.Key, h.Token))
}

func TestSecret_IsRedactedInJSON(t *testing.T) {
	h := newHolder()
	for _, v := range []any{h, h.Key, h.Token, h.List} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		wantRedacted(t, fmt.Sprintf("JSON of %T", v), string(text))
	}
}

func TestSecret_IsRedactedInLogs(t *testing.T) {
	h := newHolder()
	var out bytes.Buffer
	for name, handler := range map[string]slog.Handler{"text": slog.NewTextHandler(&out, nil), "JSON": slog.NewJSONHandler(&out, nil)} {
		log := slog.New(handler)
		for _, attr := range []slog.Attr{
			slog.Any("a", h), slog.Any("a", &h), slog.Any("a", h.Key), slog.Any("a", h.Token), slog.Any("a", h.List),
			slog.Group("a", "key", h.Key), slog.Any("a", fmt.Errorf("%w: %v", access.ErrDenied, h.Token)),
		} {
			out.Reset()
			log.Info("message", attr)
			wantRedacted(t, name+" log", out.String())
		}
	}
}

func TestSecret_ConversionRevealsIt(t *testing.T) {
	if string(access.Key(marked)) != marked || string(access.Token(marked)) != marked {
		t.Error("the conversion does not reveal the secret")
	}
}
