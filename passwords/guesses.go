package passwords

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
)

// budget describes how many wrong passwords are free, and how long the next guess has to wait after that.
//
//	budget    counts the wrong passwords of          free            then a wait of              forgotten after
//	own       one user, client and network           5               1 s, doubled up to 15 min   24 h, or a right password
//	site      one user, client and site              10              1 s, doubled up to 15 min   24 h
//	user      one user and client, everywhere        50              1 s, doubled up to 1 min    24 h
//	stranger  one client and site, all users         configured/20   the rest of the minute      the end of the minute
//	client    one client, all users, everywhere      configured      the rest of the minute      the end of the minute
//
// A network is an IPv4 address, or an IPv6 network of 64 bits. A site is an IPv4 address, or an IPv6 network of 48 bits, which
// is the largest that one subscriber usually gets. For IPv4, the own budget is the site's too.
//
// A guess must be within all budgets; otherwise it counts in none. A network from which the user's password was right within
// the last 90 days is known: for it, only the own budget counts. Therefore strangers cannot lock a user out of a known
// network, and nobody is locked out for ever. From a network that is not known, strangers can delay a user by up to a minute
// at a time, if they attack the same user from 15 sites, or use up the client's budget from 20 sites. One site cannot.
//
// The budgets of two clients are independent: an attacker with the credentials of ten clients has ten times the guesses.
//
// # How budgets are counted
//
// Each instance counts the wrong passwords that it has seen, and writes its count under its own name, so that counts of
// instances and datacentres add up and a repeated write changes nothing. Before a hash is compared, the instance reads the
// counts of the others. A count is written before the client gets its answer. So a count is known
//
//   - in the same instance: before the comparison, because a guess counts as wrong from its beginning;
//   - in the same datacentre: after the answer;
//   - in the other datacentres: after Cassandra has replicated it, usually within a second. While datacentres are cut off
//     from each other, each counts for itself.
//
// Therefore an attacker who asks n instances at the same moment has at most n times the free guesses once, and after that n
// guesses for each wait.
//
// Reset tokens are counted like passwords.
type budget struct {
	kind  string
	free  int
	first time.Duration // wait after the last free guess; doubled after each further one
	most  time.Duration
	life  time.Duration // counts are forgotten this long after the last wrong password
}

var (
	ownBudget  = budget{kind: "own", free: 5, first: time.Second, most: 15 * time.Minute, life: 24 * time.Hour}
	siteBudget = budget{kind: "site", free: 10, first: time.Second, most: 15 * time.Minute, life: 24 * time.Hour}
	userBudget = budget{kind: "user", free: 50, first: time.Second, most: time.Minute, life: 24 * time.Hour}
)

const (
	clientKind   = "client"
	strangerKind = "stranger"
	// strangerShare is the share of a client's guesses that one site has. leastOfStranger is the least that a site has.
	strangerShare, leastOfStranger = 20, 5
	// knownFor is how long a network is known after a right password.
	knownFor = 90 * 24 * time.Hour
	// knownAgain is the age after which a right password renews knownFor.
	knownAgain = 24 * time.Hour
	// maxBudgets is how many budgets an instance keeps in memory. Beyond it, it forgets any, and reads its own counts again.
	maxBudgets = 100_000
)

// wait returns how long the next guess has to wait after the last of this many wrong passwords.
func (b budget) wait(failures int) time.Duration {
	if failures < b.free {
		return 0
	}
	doublings := failures - b.free
	if doublings > 62 || b.first > b.most>>doublings { // b.first<<doublings may overflow
		return b.most
	}
	return b.first << doublings
}

// guessCounter counts wrong passwords. It is safe for concurrent use.
type guessCounter struct {
	rows      Rows
	hash      func(access.Key) access.Key // of the text of a budget
	now       func() time.Time
	instance  string
	perMinute int // of a client; 0: no limit
	log       *slog.Logger
	metrics   *Metrics
	panics    *panics.Recorder

	mu  sync.Mutex // guards own and the counts in it
	own map[access.Key]*ownCount
}

// ownCount is what this instance knows about one budget.
type ownCount struct {
	running  int // guesses that are being compared
	failures int
	last     int64 // µs

	// A time of a wrong password that is too far ahead of the clock, and when it was first seen.
	ahead, aheadSeen int64
}

// maxAhead is how far the time of a wrong password may be ahead of this instance's clock, in µs.
const maxAhead = 1_000_000

// notAhead returns the time of the last wrong password. If that is ahead of the clock, because the clock was set back or
// another instance has a wrong clock, notAhead returns when this instance has first seen it. So a wait ends in any case.
func (o *ownCount) notAhead(last, now int64) int64 {
	if last <= now+maxAhead {
		return last
	}
	if o.ahead != last || o.aheadSeen > now+maxAhead {
		o.ahead, o.aheadSeen = last, now
	}
	return o.aheadSeen
}

// guess is one guess from its beginning to its end.
type guess struct {
	counter *guessCounter
	budgets []*openBudget // own first
	known   int64         // when the password was right last from this network, in µs; 0: never
}

// openBudget is a budget that a guess counts in.
type openBudget struct {
	budget
	key    access.Key
	others int       // wrong passwords that other instances have seen
	last   int64     // of others, in µs
	mine   Count     // of this instance, as read
	own    *ownCount // what this instance knows; set by enter
}

// The lengths of the prefixes of IPv6 networks and sites, in bits.
const (
	networkBits = 64
	siteBits    = 48
)

// network returns the network of an address: the IPv4 address itself, or the IPv6 network with a prefix of bits.
func network(a netip.Addr, bits int) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(bits); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// key returns the key of a budget. Its parts are joined with their lengths, so that two budgets never have the same text.
func (c *guessCounter) key(kind string, parts ...string) access.Key {
	text := kind
	for _, p := range parts {
		text += ":" + strconv.Itoa(len(p)) + ":" + p
	}
	return c.hash(access.Key(text))
}

// budgets returns the budgets of a guess, own first.
func (c *guessCounter) budgets(now time.Time, user access.Key, client string, address netip.Addr) []*openBudget {
	home, site := network(address, networkBits), network(address, siteBits)
	all := []*openBudget{
		{budget: ownBudget, key: c.key(ownBudget.kind, string(user), client, home)},
		{budget: userBudget, key: c.key(userBudget.kind, string(user), client)},
	}
	if site != home {
		all = append(all, &openBudget{budget: siteBudget, key: c.key(siteBudget.kind, string(user), client, site)})
	}
	if c.perMinute > 0 {
		minute := now.Truncate(time.Minute)
		rest, name := minute.Add(time.Minute).Sub(now), strconv.FormatInt(minute.Unix(), 10)
		perMinute := budget{kind: clientKind, free: c.perMinute, first: rest, most: rest, life: 2 * time.Minute}
		all = append(all, &openBudget{budget: perMinute, key: c.key(clientKind, client, name)})
		perMinute.kind, perMinute.free = strangerKind, max(c.perMinute/strangerShare, leastOfStranger)
		all = append(all, &openBudget{budget: perMinute, key: c.key(strangerKind, client, site, name)})
	}
	return all
}

// begin counts a guess as begun. It returns a GuessError if a budget does not allow the guess. The caller must call end,
// unless begin returns an error.
func (c *guessCounter) begin(ctx context.Context, user access.Key, client string, address netip.Addr) (*guess, error) {
	now := c.now()
	g := &guess{counter: c, budgets: c.budgets(now, user, client, address)}
	if err := g.read(ctx); err != nil {
		return nil, err
	}
	if g.known > 0 && now.Sub(time.UnixMicro(g.known)) < knownFor {
		g.budgets = g.budgets[:1]
	}
	if wait := g.enter(now); wait > 0 {
		return nil, &GuessError{RetryAfter: wait}
	}
	return g, nil
}

// read reads the counts of all budgets at the same time.
func (g *guess) read(ctx context.Context) error {
	all, errs := make([][]Count, len(g.budgets)), make([]error, len(g.budgets))
	var reads sync.WaitGroup
	for i, b := range g.budgets {
		reads.Go(func() {
			defer g.counter.panics.Recover(panics.Passwords, &errs[i])
			all[i], errs[i] = g.counter.rows.ReadGuesses(ctx, b.key)
		})
	}
	reads.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reading counts of wrong passwords: %w", err)
	}
	for i, b := range g.budgets {
		var right int64 // when a right password has ended the counts before it
		for _, c := range all[i] {
			if c.Instance == "" {
				right = c.Last
			}
		}
		if i == 0 {
			g.known = right
		}
		for _, c := range all[i] {
			switch {
			case c.Instance == "" || c.Last <= right:
			case c.Instance == g.counter.instance:
				b.mine = c
			default:
				b.others += c.Failures
				b.last = max(b.last, c.Last)
			}
		}
	}
	return nil
}

// enter counts the guess as running in each budget. If a budget does not allow it, it returns how long to wait, and counts
// nothing.
func (g *guess) enter(now time.Time) (wait time.Duration) {
	c := g.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range g.budgets {
		b.own = c.own[b.key]
		if b.own == nil || now.Sub(time.UnixMicro(b.own.last)) > b.life && b.own.running == 0 {
			b.own = new(ownCount)
		}
		if i == 0 && g.known >= b.own.last { // another instance has seen the right password
			b.own.failures = 0
		}
		if b.mine.Last > b.own.last { // forgotten, and read again
			b.own.failures, b.own.last = max(b.own.failures, b.mine.Failures), b.mine.Last
		}
		wait = max(wait, b.until(now))
		if b.own.ahead != 0 {
			c.keep(b.key, b.own)
		}
	}
	if wait > 0 {
		return wait
	}
	for _, b := range g.budgets {
		c.keep(b.key, b.own)
		b.own.running++
	}
	return 0
}

// until returns how long the budget lets the guess wait; 0 means that it may begin. Guesses that are running count as wrong.
func (b *openBudget) until(now time.Time) time.Duration {
	wait := b.wait(b.others + b.own.failures + b.own.running)
	if wait == 0 {
		return 0
	}
	if b.kind == clientKind || b.kind == strangerKind || b.own.running > 0 { // the wait ends with the minute, or begins when the running guesses have ended
		return wait
	}
	return time.UnixMicro(b.own.notAhead(max(b.last, b.own.last), now.UnixMicro())).Add(wait).Sub(now)
}

// keep keeps a count in memory. The caller holds c.mu. If there are too many, keep forgets one that no guess uses. Go's maps
// begin to iterate at a random place.
func (c *guessCounter) keep(key access.Key, o *ownCount) {
	if _, kept := c.own[key]; !kept && len(c.own) >= maxBudgets {
		for other, each := range c.own {
			if each.running == 0 {
				delete(c.own, other)
				break
			}
		}
	}
	c.own[key] = o
}

// end ends a guess. right reports whether the password was right, and wrong whether it was wrong; neither, if it was not
// compared. end returns after the new counts are written, or cannot be written.
func (g *guess) end(ctx context.Context, right, wrong bool) {
	now := g.counter.now().UnixMicro()
	writes := g.leave(right, wrong, now)
	var all sync.WaitGroup
	for _, w := range writes {
		all.Go(func() {
			defer g.counter.panics.Recover(panics.Passwords, nil)
			if err := g.counter.rows.WriteGuesses(ctx, w.budget, w.count, w.ttl); err != nil {
				g.counter.metrics.uncounted.Inc()
				g.counter.log.WarnContext(ctx, "a count of wrong passwords could not be written", "error", err.Error())
			}
		})
	}
	all.Wait()
}

// countWrite is a count that must be written.
type countWrite struct {
	budget access.Key
	count  Count
	ttl    time.Duration
}

// leave ends what enter began, and returns the counts that must be written.
func (g *guess) leave(right, wrong bool, now int64) (writes []countWrite) {
	c := g.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range g.budgets {
		o := b.own
		o.running--
		switch {
		case wrong:
			o.failures++
			o.last = max(now, o.last+1, g.known+1)
			writes = append(writes, countWrite{b.key, Count{c.instance, o.failures, o.last}, b.life})
		case right && i == 0:
			counted := b.others+o.failures > 0
			o.failures = 0
			if counted || now-g.known > knownAgain.Microseconds() {
				o.last = max(now, o.last+1, b.last+1, g.known+1) // younger than all counts that it ends
				writes = append(writes, countWrite{b.key, Count{Last: o.last}, knownFor})
			}
		}
		if o.running == 0 && o.failures == 0 {
			delete(c.own, b.key)
		}
	}
	return writes
}
