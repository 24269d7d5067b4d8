package passwords

import (
	"net/netip"
	"strconv"
	"time"

	"userinfo/access"
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
// A network is an IPv4 address, or an IPv6 network of 64 bits. A site is an IPv4 address, or an IPv6 network of 48 bits,
// which is the largest that one subscriber usually gets. For IPv4, the own budget is the site's too.
//
// A guess must be within all budgets; otherwise it counts in none. A network from which the user's password was right
// within the last 90 days is known: for it, only the own budget counts. Therefore strangers cannot lock a user out of a
// known network, and nobody is locked out for ever. From a network that is not known, strangers can delay a user by up to
// a minute at a time, if they attack the same user from 15 sites, or use up the client's budget from 20 sites. One site
// cannot.
//
// The budgets of two clients are independent: an attacker with the credentials of ten clients has ten times the guesses.
//
// # How budgets are counted
//
// Each instance counts the wrong passwords that it has seen, and writes its count under its own name, so that counts of
// instances and datacentres add up and a repeated write changes nothing. Before a hash is compared, the instance reads the
// counts of the others. A count is written before the client gets its answer. So a count is known
//
//   - in the same instance: before the comparison, because a guess counts as wrong from its beginning. A guess for which
//     there is room only if one of those is right waits for it, so that right passwords at the same moment do not refuse
//     each other;
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
	// maxWaiting is how many guesses may wait until guesses of the same budget are compared. More are refused for a second.
	maxWaiting = 20
	// maxBudgets is how many budgets an instance keeps in memory. Beyond it, it forgets any, and reads its own counts
	// again.
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
