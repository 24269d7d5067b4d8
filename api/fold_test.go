package api

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"
)

func TestAFoldedLineIsFoundInAnyRequestOfAConnection(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	plain := head("GET", "/sessions/v1/k") + "\r\n"
	folded := head("GET", "/sessions/v1/k", "X: a\r\n b") + "\r\n"
	// A value may look like folded lines, or like a whole request with some.
	value := "a\r\n b\n\tc\r\n\r\n" + folded
	set := head("PUT", "/sessions/v1/k", "Content-Length: "+strconv.Itoa(len(value))) + "\r\n" + value
	post := strings.Replace(set, "PUT", "POST", 1)
	for _, test := range []struct {
		name     string
		sent     []string // each in a write of its own
		statuses []int
	}{
		{"the first", []string{folded}, []int{400}},
		{"the second", []string{plain, folded}, []int{200, 400}},
		{"the second, in the same write", []string{plain + folded}, []int{200, 400}},
		{"after a body", []string{set, folded}, []int{204, 400}},
		{"after a body, in the same write", []string{set + folded}, []int{204, 400}},
		// net/http passes over up to four line ends after a POST.
		{"after a POST and empty lines", []string{post + "\r\n\r\n" + folded}, []int{201, 400}},
		{"after a POST and empty lines, in a write of their own", []string{post, "\n\n\n\n", folded}, []int{201, 400}},
		{"after a POST and empty lines, the next but one", []string{post + "\r\n\r\n" + plain + folded}, []int{201, 200, 400}},
		{"none", []string{set + plain + set, plain, plain + plain}, []int{204, 200, 204, 200, 200, 200}},
		{"none, byte by byte", strings.Split(set+plain, ""), []int{204, 200}},
		{"the second, byte by byte", strings.Split(set+folded, ""), []int{204, 400}},
		{"a large body", []string{head("PUT", "/sessions/v1/k", "Content-Length: 500000") + "\r\n", strings.Repeat("\n \n\t ", 100_000), plain, folded}, []int{204, 200, 400}},
		{"lines that end as Unix has it", []string{strings.ReplaceAll(plain, "\r", ""), strings.ReplaceAll(folded, "\r", "")}, []int{200, 400}},
	} {
		w := s.wire(t)
		go func() {
			for _, text := range test.sent {
				if _, err := io.WriteString(w, text); err != nil {
					return // it has been refused
				}
			}
		}()
		for i, status := range test.statuses {
			got := w.answer(t, "GET")
			if got.status != status {
				t.Errorf("%s: answer %d is %d %s; want %d", test.name, i+1, got.status, got.body, status)
			}
			if status == 400 {
				checkProblem(t, got, 400, "bad-request")
				w.closed(t)
			}
		}
		_ = w.NetConn().Close()
	}
	for _, c := range r.take() {
		if c.action == "set" && !bytes.Equal(c.data, []byte(value)) && len(c.data) != 500_000 {
			t.Errorf("a value was stored as %q", c.data)
		}
	}
}
