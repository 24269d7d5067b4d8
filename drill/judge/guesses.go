package judge

import (
	"time"

	"userinfo/drill/history"
)

// freeGuesses is how many wrong passwords from one network, for one user and client, the next guess does not wait for.
const freeGuesses = 5

// verifyNotLockedOut checks P4 for a guess from a known network of a user who has strangers.
func (e *evidence) verifyNotLockedOut(u *user, o *history.Operation) {
	if !isGuess(o) || !o.Answered() || !u.isKnown(o) || !u.hasStrangers(o) {
		return
	}
	e.count("P4", 1)
	if !o.IsLimited() {
		return
	}
	if own := e.ownGuesses(u, o); own < freeGuesses {
		e.violation("P4", o.Invoke, ids(o.ID), "%s %d of client %s from %s in %s, started at %s, was answered %s, although this network is known and had only %d wrong guesses of its own",
			o.Method, o.ID, o.Client, o.Address, o.DC, clock(o.Invoke), answer(o), own)
	}
}

func isGuess(o *history.Operation) bool {
	return o.Method == history.Verify || o.Method == history.Change || o.Method == history.Redeem
}

// isRight reports whether a guess was right. Until then, the guess may count as wrong.
func isRight(o *history.Operation) bool {
	return accepted(o) || o.Method == history.Redeem && o.Outcome() == history.OK
}

// sameOrigin reports whether two guesses share their own budget.
func sameOrigin(a, b *history.Operation) bool { return a.Client == b.Client && a.Address == b.Address }

// isKnown reports whether the network of o is known in the datacentre of o: a guess from it was right there.
func (u *user) isKnown(o *history.Operation) bool {
	for _, x := range u.operations {
		if isGuess(x) && isRight(x) && sameOrigin(x, o) && x.DC == o.DC && x.Complete < o.Invoke {
			return true
		}
	}
	return false
}

// hasStrangers reports whether somebody else has guessed wrong before.
func (u *user) hasStrangers(o *history.Operation) bool {
	for _, x := range u.operations {
		if isGuess(x) && x.IsWrong() && !sameOrigin(x, o) && x.Invoke < o.Complete {
			return true
		}
	}
	return false
}

// ownGuesses returns how many guesses of the origin of o may count as wrong.
func (e *evidence) ownGuesses(u *user, o *history.Operation) (n int) {
	for _, x := range u.operations {
		if x != o && isGuess(x) && sameOrigin(x, o) && !isRight(x) && !x.IsLimited() && x.Invoke < o.Complete && !e.forgiven(u, x, o) {
			n++
		}
	}
	return n
}

// forgiven reports whether a right guess has ended the count of the wrong guess x before o.
func (e *evidence) forgiven(u *user, x, o *history.Operation) bool {
	for _, r := range u.operations {
		if !isGuess(r) || !isRight(r) || !sameOrigin(r, o) || r.DC != o.DC || r.Complete >= o.Invoke || !x.Answered() {
			continue
		}
		if x.DC == r.DC && x.Complete < r.Invoke || x.Complete+replicationDelay < r.Invoke && !e.hasFault(x.Invoke, r.Invoke) {
			return true
		}
	}
	return false
}

// hasFault reports whether a fault was active in a period.
func (e *evidence) hasFault(from, to time.Duration) bool {
	for _, f := range e.faults {
		if f.Begin <= to && f.over >= from {
			return true
		}
	}
	return false
}
