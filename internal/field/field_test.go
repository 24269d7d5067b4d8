package field_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"userinfo/internal/field"
)

func TestErrorf_ReturnsPathAndReason(t *testing.T) {
	err := field.Errorf("a[0].b", "reading: %w", io.ErrUnexpectedEOF)
	if got := err.Error(); got != "a[0].b: reading: unexpected EOF" {
		t.Errorf("got %q", got)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("errors.Is does not find the reason")
	}
}

func TestAll_ReturnsEveryErrorInOrder(t *testing.T) {
	a, b, c := field.Errorf("a", "1"), field.Errorf("b", "2"), field.Errorf("c", "3")
	for _, test := range []struct {
		name string
		err  error
		want []string
	}{
		{"no error", nil, nil},
		{"one", a, []string{"a"}},
		{"an empty join", errors.Join(nil, nil), nil},
		{"a join", errors.Join(a, nil, b), []string{"a", "b"}},
		{"a tree of joins", errors.Join(errors.Join(a, b), errors.Join(errors.Join(c))), []string{"a", "b", "c"}},
		{"two wrapped by one format", fmt.Errorf("%w and %w", a, b), []string{"a", "b"}},
		{"a wrapped error", fmt.Errorf("while checking: %w", a), []string{"a"}},
		{"an error without a field", io.EOF, []string{""}},
		{"a join with an error without a field", errors.Join(a, io.EOF), []string{"a", ""}},
	} {
		var got []string
		for _, e := range field.All(test.err) {
			got = append(got, e.Path)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", test.name, got, test.want)
		}
	}
}

func TestAll_KeepsErrorWithoutField(t *testing.T) {
	all := field.All(errors.Join(io.EOF))
	if len(all) != 1 || !errors.Is(all[0], io.EOF) {
		t.Errorf("All = %v", all)
	}
}
