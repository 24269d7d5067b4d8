package fleet

import (
	"maps"
	"strings"
	"testing"
)

func TestProcess_CountsRequestsAndKeepsOtherLines(t *testing.T) {
	var address string
	p := newProcess(nil, func(a string) error { address = a; return nil })
	lines := []string{
		`{"msg":"listening; not ready yet","address":"127.0.0.1:8443"}`,
		`{"msg":"serving","address":"127.0.0.1:8443"}`,
		`{"msg":"request","method":"GET","route":"/sessions/v1/:key","status":200}`,
		`{"msg":"request","method":"GET","route":"/sessions/v1/:key","status":200}`,
		`{"msg":"request","method":"PUT","route":"/sessions/v1/:key","status":204}`,
		`{"msg":"request","method":"GET","route":"/metrics","status":200}`,
		`{"msg":"driver","text":"noise"}`,
		`panic: not JSON`,
	}
	for _, line := range lines {
		p.addLine([]byte(line + "\n"))
	}
	for name, known := range map[string]chan struct{}{"listen": p.listening, "serve": p.serving} {
		select {
		case <-known:
		default:
			t.Errorf("the process is not known to %s", name)
		}
	}
	if address != "127.0.0.1:8443" {
		t.Errorf("the address is %q", address)
	}
	want := map[LoggedRequest]int{{"GET", 200}: 2, {"PUT", 204}: 1}
	if got := p.requestCounts(); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if got, want := p.log(), strings.Join([]string{lines[0], lines[1], lines[5], lines[7], ""}, "\n"); got != want {
		t.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
}

func TestProcess_LimitsTheLog(t *testing.T) {
	p := newProcess(nil, nil)
	line := []byte(strings.Repeat("x", 1<<20) + "\n")
	for range 6 {
		p.addLine(line)
	}
	if got := len(p.log()); got > maxLogBytes+len(line) {
		t.Errorf("%d bytes are kept", got)
	}
}
