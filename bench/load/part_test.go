package load

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"userinfo/bench/result"
)

// counts puts requests into tallies in turn; with one tally it has all of them.
func counts(tallies int) []*Part {
	var all []*tally
	for range tallies {
		all = append(all, newTally(result.Open, 3))
	}
	for i := range 3000 {
		reason := ""
		if i%100 == 0 {
			reason = timeout
		}
		at := time.Duration(i) * time.Millisecond
		all[i%tallies].add(at, time.Duration(i%7)*time.Microsecond, time.Duration(i*i)*time.Microsecond, reason)
	}
	var parts []*Part
	for i, t := range all {
		s := &t.part.Sample
		s.Began = time.Unix(100-int64(i), 0).UTC()
		s.Connections, s.Rate, s.Sent, s.Received = 12/tallies, 1000/float64(tallies), 1200/int64(tallies), 2400/int64(tallies)
		parts = append(parts, t.part)
	}
	return parts
}

func TestMergedPartsAreTheWhole(t *testing.T) {
	whole, merged := Merge(counts(1)...), Merge(counts(4)...)
	if !merged.Began.Equal(time.Unix(97, 0)) {
		t.Errorf("it began when the first of them did, not at %v", merged.Began)
	}
	merged.Began = whole.Began
	if !reflect.DeepEqual(whole, merged) {
		t.Errorf("the whole is\n%+v\nand merged it is\n%+v", whole, merged)
	}
	if whole.Done != 2970 || whole.Errors[timeout] != 30 || len(whole.Series) != 3 || whole.Series[1].Errors != 10 {
		t.Errorf("%+v", whole)
	}
}

func TestAPartComesThroughJSONAsItWas(t *testing.T) {
	for _, p := range counts(2) {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again Part
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if want, got := Merge(p), Merge(&again); !reflect.DeepEqual(want, got) {
			t.Errorf("%+v became %+v", want, got)
		}
		if len(text) > 100_000 {
			t.Errorf("a part of 3 s takes %d bytes", len(text))
		}
	}
}

func TestBytesThatOneDoesNotKnowNobodyKnows(t *testing.T) {
	parts := counts(2)
	parts[1].Sample.Sent = -1
	if s := Merge(parts...); s.Sent != -1 || s.Received != 2400 {
		t.Errorf("sent %d, received %d", s.Sent, s.Received)
	}
}
