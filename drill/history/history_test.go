package history

import "testing"

func TestOperation_OutcomeFollowsFromTheStatus(t *testing.T) {
	for _, test := range []struct {
		name    string
		o       Operation
		want    Outcome
		errored bool
	}{
		{"a get with a value", Operation{Method: Get, Status: 200}, OK, false},
		{"a get without a value", Operation{Method: Get, Status: 404}, OK, false},
		{"a get that failed has no effect", Operation{Method: Get, Status: 503}, Failed, true},
		{"a get without an answer has no effect", Operation{Method: Get}, Failed, true},
		{"a touch without a value", Operation{Method: Touch, Status: 404}, OK, false},
		{"a set", Operation{Method: Set, Status: 204}, OK, false},
		{"a set that the fence refused", Operation{Method: Set, Status: 409, Problem: "deleted"}, Failed, false},
		{"a set that was rejected", Operation{Method: Set, Status: 503, Problem: "overloaded"}, Failed, true},
		{"a set that may have been applied", Operation{Method: Set, Status: 503, Problem: "unavailable"}, Unknown, true},
		{"a set without an answer", Operation{Method: Set}, Unknown, true},
		{"a delete that is pending elsewhere", Operation{Method: Delete, Status: 503, Problem: "not-everywhere"}, Local, true},
		{"a delete that failed", Operation{Method: Delete, Status: 503, Problem: "unavailable"}, Unknown, true},
		{"a right password", Operation{Method: Verify, Status: 204}, OK, false},
		{"a wrong password", Operation{Method: Verify, Status: 403, Problem: "wrong-password"}, Failed, false},
		{"a verify that failed has no effect", Operation{Method: Verify, Status: 503, Problem: "unavailable"}, Failed, true},
		{"a client without the grant", Operation{Method: Verify, Status: 403, Problem: "forbidden"}, Failed, true},
		{"too many guesses", Operation{Method: Change, Status: 429, Problem: "too-many-guesses"}, Failed, false},
		{"a user who exists", Operation{Method: Create, Status: 412, Problem: "user-exists"}, Failed, false},
		{"a change that is pending elsewhere", Operation{Method: Change, Status: 503, Problem: "not-everywhere"}, Local, true},
		{"a change that may have been applied", Operation{Method: Change, Status: 503, Problem: "unavailable"}, Unknown, true},
		{"a token that may be used up", Operation{Method: Redeem}, Unknown, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.o.Outcome(); got != test.want {
				t.Errorf("outcome %s, want %s", got, test.want)
			}
			if got := test.o.Errored(); got != test.errored {
				t.Errorf("errored %t, want %t", got, test.errored)
			}
		})
	}
}
