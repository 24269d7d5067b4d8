package tracingtest

import (
	"encoding/base64"
	"encoding/hex"
	"testing"
	"time"

	"userinfo/internal/tracing"
)

func TestFind_FindsEveryForm(t *testing.T) {
	const secret = "planted:key/1"
	for name, text := range map[string]string{
		"as it is":                "x" + secret + "y",
		"in capitals":             "PLANTED:KEY/1",
		"a path":                  "/sessions/v1/planted:key%2F1?",
		"every byte":              "%70%6c%61%6e%74%65%64%3a%6b%65%79%2f%31",
		"hexadecimal":             hex.EncodeToString([]byte(secret)),
		"base64":                  base64.StdEncoding.EncodeToString([]byte("x" + secret)),
		"base64, 1 further":       base64.StdEncoding.EncodeToString([]byte("xy" + secret + "z")),
		"base64 for URLs":         base64.RawURLEncoding.EncodeToString([]byte("xyz" + secret + "more")),
		"base64 of a longer text": base64.StdEncoding.EncodeToString([]byte("Authorization: Bearer " + secret + "\r\n")),
	} {
		if Find([]byte("before "+text+" after"), secret) == "" {
			t.Errorf("%s: not found", name)
		}
	}
	for _, other := range []string{"", "planted", "planted:key/2", base64.StdEncoding.EncodeToString([]byte("planted:kex/1"))} {
		if form := Find([]byte(other), secret); form != "" {
			t.Errorf("%q: found %s", other, form)
		}
	}
}

func TestCollector_ShowsWhatIsPlanted(t *testing.T) {
	var c Collector
	tracer := c.New(1)
	s := tracer.StartRequest(tracing.ClientSpan{}, time.Now(), "GET", "/r")
	s.Set(tracing.Client("planted-key"))
	s.End()
	tracer.Close()
	if Find(c.Raw(), "planted-key") == "" || len(c.Spans(t)) != 1 {
		t.Error("the collector does not show an attribute")
	}
}
