package top

import "testing"

func TestRatesBetween_CountersThatBeginAgain(t *testing.T) {
	first := parse(t, 0, "# TYPE userinfo_http_shed_total counter\nuserinfo_http_shed_total 100\n", "")
	second := parse(t, 10, "# TYPE userinfo_http_shed_total counter\nuserinfo_http_shed_total 20\n", "")
	if r := ratesBetween(first, second); r.shed != 2 {
		t.Errorf("%v per second; want 2", r.shed)
	}
	if ratesBetween(nil, second) != nil || ratesBetween(second, second) != nil {
		t.Error("rates without two scrapes")
	}
}
