package target

import (
	"errors"
	"testing"

	"userinfo/bench/load"
)

func TestAGetIsAnsweredOnlyByAValueOfTheLengthThatWasSet(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		op   load.Op
		n    int
		err  error
		want error
	}{
		"the value":                  {load.Op{Length: 5}, 5, nil, nil},
		"half of it":                 {load.Op{Length: 5}, 2, nil, load.OtherLength},
		"nothing":                    {load.Op{Length: 5}, 0, nil, load.OtherLength},
		"whatever there is":          {load.Op{}, 2, nil, nil},
		"what is not to be there":    {load.Op{Absent: true}, 5, nil, load.Found},
		"no answer, whatever it had": {load.Op{Length: 5}, 2, broken, broken},
	} {
		if got := found(&c.op, c.n, c.err); !errors.Is(got, c.want) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}
