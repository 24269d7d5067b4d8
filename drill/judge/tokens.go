package judge

import "userinfo/drill/history"

// verifyTokensUsedOnce checks the part of P5 about tokens that are used several times.
func (e *evidence) verifyTokensUsedOnce(u *user) {
	used := make(map[int64]*write) // the first redeem that worked, by token
	for _, o := range u.operations {
		w := u.sets[o.ID]
		if o.Method != history.Redeem || !w.acknowledged() && (w.outcome == history.Failed || w.firstRead == forever) {
			continue
		}
		if first := used[o.Guess]; first != nil {
			e.violation("P5", o.Invoke, ids(o.Guess, first.ID, o.ID), "reset token %d worked twice: redeem %d in %s was answered %s, and redeem %d in %s %s",
				o.Guess, first.ID, first.DC, answer(first.Operation), o.ID, o.DC, answer(o))
			continue
		}
		used[o.Guess] = w
	}
}

// verifyRedeem checks the part of P5 about one use of a token.
func (e *evidence) verifyRedeem(u *user, o *history.Operation) {
	t, ok := largest(u.tokens, func(t *write) bool { return o.Method == history.Redeem && t.ID == o.Guess && t.acknowledged() }, invoked)
	if !ok || !o.IsWrong() && o.Outcome() != history.OK {
		return
	}
	e.count("P5", 1)
	if o.IsWrong() {
		if e.tokenMustWork(u, t, o) {
			e.violation("P5", o.Invoke, ids(t.ID, o.ID), "redeem %d in %s, started at %s, was answered %s, although token %d of %s was unused and the newest", o.ID, o.DC, clock(o.Invoke), answer(o), t.ID, clock(t.Complete))
		}
		return
	}
	for _, w := range append(u.tokens[:len(u.tokens):len(u.tokens)], u.writes...) {
		sameToken := w.Method == history.Redeem && w.Guess == t.ID // see verifyTokensUsedOnce
		if w.promises() && !sameToken && t.Complete < w.Invoke && w.Complete < o.Invoke {
			e.violation("P5", o.Invoke, ids(t.ID, w.ID, o.ID), "redeem %d in %s, started at %s, used token %d of %s, although %s %d in %s had been answered %s at %s",
				o.ID, o.DC, clock(o.Invoke), t.ID, clock(t.Complete), w.Method, w.ID, w.DC, answer(w.Operation), clock(w.Complete))
			return
		}
	}
}

// tokenMustWork reports whether nothing that may have happened before o has completed can have made the token useless.
func (e *evidence) tokenMustWork(u *user, t *write, o *history.Operation) bool {
	for _, w := range append(u.tokens[:len(u.tokens):len(u.tokens)], u.writes...) {
		if w != t && w.Operation != o && w.Invoke < o.Complete && !e.precedes(w, t) {
			return false
		}
	}
	return t.Complete < o.Invoke
}
