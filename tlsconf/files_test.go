package tlsconf_test

import (
	"os"
	"testing"
)

func TestFiles_ChangedSeesContentsMovedBetweenFiles(t *testing.T) {
	w := newTwoCAs(t)
	w.write("a.crt", w.a.PEM(), w.b.PEM())
	w.write("b.crt")
	if changed, err := w.server.current.Load().Changed(); !changed || err != nil {
		t.Errorf("Changed() = %v, %v; want true, nil", changed, err)
	}
}

func TestFiles_ChangedNamesUnreadableFile(t *testing.T) {
	w := newTwoCAs(t)
	if err := os.Remove(w.path("b.crt")); err != nil {
		t.Fatal(err)
	}
	changed, err := w.server.current.Load().Changed()
	if changed {
		t.Error("a missing file counts as changed")
	}
	wantFieldError(t, err, "client_cas[1].file", "b.crt", "no such file")
}
