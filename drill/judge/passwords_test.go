package judge_test

import (
	"testing"

	"userinfo/drill/history"
)

// runPasswordCases runs cases whose histories are about passwords. The key "k" is the user.
func runPasswordCases(t *testing.T, all []testCase) {
	t.Helper()
	for i, c := range all {
		all[i].plant = func(r *recording) {
			r.Passwords = true
			c.plant(r)
		}
	}
	runCases(t, all)
}

func TestEvaluate_P1Changes(t *testing.T) {
	runPasswordCases(t, []testCase{
		{"the old password is accepted in the other datacentre", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 2, 2.1, guess(old))
			r.verify("dc2", 2.2, 2.3, guess(old))
		}, "P1"},
		{"the old password is accepted in the same datacentre", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 2, 2.1, guess(old))
			r.verify("dc1", 2.2, 2.3, guess(old))
		}, "P1"},
		{"a verify that started before the answer of the change may accept the old password", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 2, 2.1, guess(old))
			r.verify("dc2", 2.05, 2.3, guess(old))
		}, ""},
		{"the old password is good for a change", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 2, 2.1, guess(old))
			r.change("dc2", 2.2, 2.3, guess(old))
		}, "P1"},
		{"the password of a deleted user is accepted", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.verify("dc2", 2.2, 2.3, guess(old))
		}, "P1"},
		{"a password that was replaced by a reset is accepted", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.redeem("dc1", 3, 3.1, guess(r.token("dc1", 2, 2.1)))
			r.verify("dc2", 3.2, 3.3, guess(old))
		}, "P1"},
		{"the password of a change that was refused is accepted", func(r *recording) {
			r.create("dc1", 1, 1.1)
			refused := r.change("dc1", 2, 2.1, guess(history.WrongGuess), wrong)
			r.verify("dc1", 3, 3.1, guess(refused))
		}, "P1"},
		{"a password that nobody has set is accepted", func(r *recording) {
			r.create("dc1", 1, 1.1)
			r.verify("dc1", 2, 2.1, guess(history.WrongGuess))
		}, "P1"},
		{"the new password is refused in the other datacentre", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			changed := r.change("dc1", 2, 2.1, guess(old))
			r.verify("dc2", 2.2, 2.3, guess(changed), wrong)
		}, "P1"},
		{"the new password may be refused before the answer of the change", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			changed := r.change("dc1", 2, 2.1, guess(old))
			r.verify("dc2", 2.05, 2.3, guess(changed), wrong)
		}, ""},
		{"a password may be refused after a change without an answer", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 2, 5, guess(old), unanswered)
			r.verify("dc2", 6, 6.1, guess(old), wrong)
		}, ""},
		{"both the old and the new password may be accepted after a change without an answer", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			unknown := r.change("dc1", 2, 5, guess(old), unanswered)
			r.verify("dc2", 6, 6.1, guess(old))
			r.verify("dc2", 7, 7.1, guess(unknown))
		}, ""},
		{"a change without an answer that was seen is replaced like any other", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			unknown := r.change("dc1", 2, 5, guess(old), unanswered)
			r.verify("dc2", 6, 6.1, guess(unknown))
			r.change("dc1", 7, 7.1, guess(unknown))
			r.verify("dc2", 8, 8.1, guess(unknown))
		}, "P1"},
		{"a change that failed but was applied holds until the next change", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			applied := r.change("dc1", 2, 2.1, guess(old), unavailable)
			r.change("dc2", 3, 3.1, guess(old))
			r.verify("dc1", 4, 4.1, guess(applied))
		}, "P1"},
		{"a delete without an answer may have been applied, or not", func(r *recording) {
			password := r.create("dc1", 1, 1.1)
			r.delete("dc1", 2, 5, unanswered)
			r.verify("dc1", 6, 6.1, guess(password))
			r.verify("dc2", 6, 6.1, guess(password), wrong)
		}, ""},
		{"of two changes at the same time either may hold", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			one := r.change("dc1", 2, 2.2, guess(old))
			other := r.change("dc2", 2.1, 2.3, guess(old))
			r.verify("dc1", 3, 3.1, guess(one))
			r.verify("dc2", 3, 3.1, guess(other), wrong)
		}, ""},
		{"a final verify accepts the old password", func(r *recording) {
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 2, 2.1, guess(old))
			r.verify("dc2", 200, 200.1, guess(old), final)
		}, "P1"},
	})
}

func TestEvaluate_P2ChangesNotEverywhere(t *testing.T) {
	runPasswordCases(t, []testCase{
		{"the old password is accepted in the datacentre of the change", func(r *recording) {
			r.fault(partition)
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 12, 14, guess(old), notEverywhere)
			r.verify("dc1", 14.1, 14.2, guess(old))
		}, "P2"},
		{"the new password is refused in the datacentre of the change", func(r *recording) {
			r.fault(partition)
			changed := r.change("dc1", 12, 14, guess(r.create("dc1", 1, 1.1)), notEverywhere)
			r.verify("dc1", 14.1, 14.2, guess(changed), wrong)
		}, "P2"},
		{"either may be accepted elsewhere during the partition and for a minute after it", func(r *recording) {
			r.fault(partition)
			old := r.create("dc1", 1, 1.1)
			changed := r.change("dc1", 12, 14, guess(old), notEverywhere)
			r.verify("dc2", 14.1, 14.2, guess(old))
			r.verify("dc2", 109, 109.1, guess(changed), wrong)
			r.verify("dc2", 112, 112.1, guess(changed))
		}, ""},
		{"the old password is accepted elsewhere a minute after the recovery", func(r *recording) {
			r.fault(partition)
			old := r.create("dc1", 1, 1.1)
			r.change("dc1", 12, 14, guess(old), notEverywhere)
			r.verify("dc2", 111, 111.1, guess(old))
		}, "P2"},
		{"at the end the new password is refused elsewhere", func(r *recording) {
			r.fault(partition)
			changed := r.change("dc1", 12, 14, guess(r.create("dc1", 1, 1.1)), notEverywhere)
			r.verify("dc2", 60, 60.1, guess(changed), wrong, final)
		}, "P2"},
		{"at the end the password of a deleted user is accepted elsewhere", func(r *recording) {
			r.fault(partition)
			old := r.create("dc1", 1, 1.1)
			r.delete("dc1", 12, 14, notEverywhere)
			r.verify("dc2", 60, 60.1, guess(old), final)
		}, "P2"},
		{"the later of two changes in two datacentres wins", func(r *recording) {
			r.fault(partition)
			old := r.create("dc1", 1, 1.1)
			first := r.change("dc1", 12, 14, guess(old), notEverywhere)
			second := r.change("dc2", 15, 16, guess(old), notEverywhere)
			r.verify("dc1", 17, 17.1, guess(first))
			r.verify("dc1", 200, 200.1, guess(second), final)
			r.verify("dc2", 200, 200.1, guess(first), wrong, final)
		}, ""},
		{"the earlier of two changes in two datacentres wins", func(r *recording) {
			r.fault(partition)
			old := r.create("dc1", 1, 1.1)
			first := r.change("dc1", 12, 14, guess(old), notEverywhere)
			r.change("dc2", 15, 16, guess(old), notEverywhere)
			r.verify("dc2", 200, 200.1, guess(first), final)
		}, "P2"},
	})
}

func TestEvaluate_P3Creations(t *testing.T) {
	runPasswordCases(t, []testCase{
		{"two creations at the same time succeed", func(r *recording) {
			r.create("dc1", 1, 1.2)
			r.create("dc2", 1.1, 1.3)
		}, "P3"},
		{"the second of two creations succeeds", func(r *recording) {
			r.create("dc1", 1, 1.2)
			r.create("dc2", 2, 2.2)
		}, "P3"},
		{"a creation replaces a password that was reset", func(r *recording) {
			r.redeem("dc1", 2, 2.1, guess(r.token("dc1", 1, 1.1)))
			r.create("dc2", 3, 3.1)
		}, "P3"},
		{"one of two creations succeeds", func(r *recording) {
			won := r.create("dc1", 1, 1.2)
			r.create("dc2", 1.1, 1.3, exists)
			r.verify("dc2", 2, 2.1, guess(won))
		}, ""},
		{"the password of the refused creation is accepted", func(r *recording) {
			r.create("dc1", 1, 1.2)
			lost := r.create("dc2", 1.1, 1.3, exists)
			r.verify("dc2", 2, 2.1, guess(lost))
		}, "P3"},
		{"both creations are refused", func(r *recording) {
			r.create("dc1", 1, 1.2, exists)
			r.create("dc2", 1.1, 1.3, exists)
		}, "P3"},
		{"a creation is refused because one without an answer has won", func(r *recording) {
			r.create("dc1", 1, 4, unanswered)
			r.create("dc2", 5, 5.1, exists)
		}, ""},
		{"a user is created again after a delete", func(r *recording) {
			r.create("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.create("dc2", 3, 3.1)
		}, ""},
		{"a user is created again, perhaps after a delete without an answer", func(r *recording) {
			r.create("dc1", 1, 1.1)
			r.delete("dc1", 2, 5, unanswered)
			r.create("dc2", 6, 6.1)
		}, ""},
		{"a creation after a delete is refused", func(r *recording) {
			r.create("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.create("dc2", 3, 3.1, exists)
		}, "P3"},
	})
}

func TestEvaluate_P4Lockout(t *testing.T) {
	home := func(o *history.Operation) { o.Client, o.Address = "wiki", "192.0.2.1" }
	begin := func(r *recording) int64 {
		password := r.create("dc1", 1, 1.1)
		r.verify("dc1", 2, 2.1, guess(password), home)
		for i := range 9 {
			r.verify("dc1", 3+float64(i), 3.1+float64(i), guess(history.WrongGuess), wrong, by("wiki"), from("203.0.113.1"))
		}
		return password
	}
	typo := func(r *recording, dc string, at float64) {
		r.verify(dc, at, at+0.1, guess(history.WrongGuess), wrong, home)
	}
	runPasswordCases(t, []testCase{
		{"strangers lock a user out", func(r *recording) {
			r.verify("dc1", 20, 20.1, guess(begin(r)), home, limited)
		}, "P4"},
		{"strangers keep a user from a change", func(r *recording) {
			r.change("dc1", 20, 20.1, guess(begin(r)), home, limited)
		}, "P4"},
		{"strangers do not matter", func(r *recording) {
			r.verify("dc1", 20, 20.1, guess(begin(r)), home)
		}, ""},
		{"the network is not known in the other datacentre", func(r *recording) {
			r.verify("dc2", 20, 20.1, guess(begin(r)), home, limited)
		}, ""},
		{"the network is known for another client only", func(r *recording) {
			r.verify("dc1", 20, 20.1, guess(begin(r)), by("other"), from("192.0.2.1"), limited)
		}, ""},
		{"five wrong passwords of the user's own lock the user out", func(r *recording) {
			password := begin(r)
			for i := range 5 {
				typo(r, []string{"dc1", "dc2"}[i%2], 20+float64(i))
			}
			r.verify("dc1", 30, 30.1, guess(password), home, limited)
		}, ""},
		{"a right password ends the count", func(r *recording) {
			password := begin(r)
			for i := range 4 {
				typo(r, "dc1", 20+float64(i))
			}
			r.verify("dc1", 25, 25.1, guess(password), home)
			typo(r, "dc1", 26)
			r.verify("dc1", 30, 30.1, guess(password), home, limited)
		}, "P4"},
		{"a right password does not end counts that a partition keeps away", func(r *recording) {
			r.fault(partition)
			password := begin(r)
			for i := range 5 {
				typo(r, "dc2", 20+float64(i))
			}
			r.verify("dc1", 26, 26.1, guess(password), home)
			r.verify("dc1", 30, 30.1, guess(password), home, limited)
		}, ""},
	})
}

func TestEvaluate_P5ResetTokens(t *testing.T) {
	runPasswordCases(t, []testCase{
		{"a token works twice at the same time", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			r.redeem("dc1", 2, 2.2, guess(token))
			r.redeem("dc2", 2.1, 2.3, guess(token))
		}, "P5"},
		{"a token works twice, one after the other", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			r.redeem("dc1", 2, 2.2, guess(token))
			r.redeem("dc2", 3, 3.1, guess(token))
		}, "P5"},
		{"a token works once", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			set := r.redeem("dc1", 2, 2.2, guess(token))
			r.redeem("dc2", 2.1, 2.3, guess(token), wrong)
			r.verify("dc2", 3, 3.1, guess(set))
		}, ""},
		{"a use without an answer may count as none", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			r.redeem("dc1", 2, 5, guess(token), unanswered)
			r.redeem("dc2", 6, 6.1, guess(token))
		}, ""},
		{"a use without an answer may count as one", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			r.redeem("dc1", 2, 5, guess(token), unanswered)
			r.redeem("dc2", 6, 6.1, guess(token), wrong)
		}, ""},
		{"a use without an answer has worked, and another one works", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			set := r.redeem("dc1", 2, 5, guess(token), unanswered)
			r.verify("dc1", 5.5, 5.6, guess(set))
			r.redeem("dc2", 6, 6.1, guess(token))
		}, "P5"},
		{"the password of a refused use is accepted", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			r.redeem("dc1", 2, 2.2, guess(token))
			refused := r.redeem("dc2", 2.1, 2.3, guess(token), wrong)
			r.verify("dc2", 3, 3.1, guess(refused))
		}, "P5"},
		{"a token works after a later change", func(r *recording) {
			old := r.create("dc1", 0.5, 0.6)
			token := r.token("dc1", 1, 1.1)
			r.change("dc2", 2, 2.1, guess(old))
			r.redeem("dc1", 3, 3.1, guess(token))
		}, "P5"},
		{"a token works after a newer token was made", func(r *recording) {
			token := r.token("dc1", 1, 1.1)
			r.token("dc2", 2, 2.1)
			r.redeem("dc1", 3, 3.1, guess(token))
		}, "P5"},
		{"a token is refused after a later change", func(r *recording) {
			old := r.create("dc1", 0.5, 0.6)
			token := r.token("dc1", 1, 1.1)
			r.change("dc2", 2, 2.1, guess(old))
			r.redeem("dc1", 3, 3.1, guess(token), wrong)
		}, ""},
		{"an unused token is refused", func(r *recording) {
			r.create("dc1", 0.5, 0.6)
			r.redeem("dc2", 3, 3.1, guess(r.token("dc1", 1, 1.1)), wrong)
		}, "P5"},
	})
}
