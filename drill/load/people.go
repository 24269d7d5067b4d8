package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"userinfo/drill/history"
)

// People is a load of people who create, use, change and lose their passwords, in all datacentres, and of strangers who
// guess them. What a person does next depends on the answers, so this load is a closed loop: with the same seed and the same
// answers, each person does the same.
type People struct {
	Seed     uint64
	Rate     float64 // operations per second that people and strangers send, about
	Prefix   string  // of all names of users
	Targets  [][]Target
	Clients  []string // the clients through which people and strangers come
	Observer string   // the client that tries old passwords
}

const (
	peopleCount     = 12
	famousCount     = 2 // people whom strangers attack
	strangersOfEach = 4
	opsPerStep      = 5                      // about
	strangerWait    = 300 * time.Millisecond // after each guess, on average
	// strangerSites is how many addresses a stranger uses in turn. Each has few free guesses for a user.
	strangerSites = 40
	mostGuesses   = 3 // passwords that a person tries before giving up
)

// The first bytes of the addresses of the load.
const (
	homeNetwork     = 10 + iota // of people, one each
	observerNetwork             // a new one for each guess
	strangerNetwork
	finalNetwork // a new one for each guess
)

// ipv4 returns an IPv4 address.
func ipv4(network, a, b int) string { return fmt.Sprintf("%d.%d.%d.%d", network, a, b>>8&255, b&255) }

// RunPeople runs the load until ctx is done. It returns when every operation is complete.
func (r *Recorder) RunPeople(ctx context.Context, p People) {
	var running sync.WaitGroup
	for n := range peopleCount {
		x := newPerson(r, p, n)
		running.Go(func() { x.live(ctx) })
		if n < famousCount {
			for stranger := range strangersOfEach {
				running.Go(func() { r.attack(ctx, p, x, peopleCount+n*strangersOfEach+stranger) })
			}
		}
	}
	running.Wait()
}

// person is somebody with one user at a time. One goroutine owns it, except for name.
type person struct {
	*rand.Rand
	recorder *Recorder
	load     People
	number   int
	client   string
	lives    int
	steps    int // until the user is left alone
	guesses  int // of the observer

	mu   sync.Mutex
	user string

	// current are the passwords that may be right, the most likely first.
	current []int64
	// replaced is the newest password that was replaced, or 0.
	replaced int64
}

func newPerson(r *Recorder, load People, n int) *person {
	return &person{
		Rand: rand.New(rand.NewPCG(load.Seed, uint64(n))), recorder: r, load: load, number: n, client: load.Clients[n%len(load.Clients)],
	}
}

// live lets the person do one thing after another.
func (p *person) live(ctx context.Context) {
	interval := time.Duration(opsPerStep * peopleCount / p.load.Rate * float64(time.Second))
	for pause(ctx, time.Duration(p.Int64N(int64(2*interval)))) {
		if p.steps == 0 || len(p.current) == 0 {
			p.begin()
			continue
		}
		p.steps--
		p.act()
	}
}

// pause waits, and reports whether ctx is not done.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// name returns the name of the person's user; empty before the first one.
func (p *person) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.user
}

// begin makes a new user for the person. While no user can be made, the person goes on with the old one.
func (p *person) begin() {
	user, current, replaced := p.user, p.current, p.replaced
	p.lives++
	p.steps = 12 + p.IntN(20)
	if p.number < famousCount {
		p.steps += 20
	}
	p.setUser(fmt.Sprintf("%s%d.%d", p.load.Prefix, p.number, p.lives))
	p.replaced = 0
	p.create()
	if len(p.current) == 0 && len(current) > 0 {
		p.setUser(user)
		p.current, p.replaced, p.steps = current, replaced, 5
	}
}

func (p *person) setUser(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user = name
}

// act lets the person do something. The numbers are shares in hundredths.
func (p *person) act() {
	switch n := p.IntN(100); {
	case n < 35:
		p.logIn(p.datacentre())
	case n < 45:
		p.do(p.datacentre(), p.verify(history.WrongGuess))
		p.logIn(p.datacentre())
	case n < 52:
		p.do(p.datacentre(), p.verify(p.replaced))
	case n < 80:
		p.change()
	case n < 85:
		p.changeTwice()
	case n < 96:
		p.reset()
	default:
		p.delete()
	}
}

func (p *person) datacentre() int { return p.IntN(len(p.load.Targets)) }

// call is an operation that is ready to be sent.
type call func() history.Operation

// prepare makes an operation ready to be sent to a datacentre.
func (p *person) prepare(dc int, o history.Operation) call {
	local := p.load.Targets[dc]
	t := local[p.IntN(len(local))]
	o.Key = p.user
	if o.Client == "" {
		o.Client = p.client
	}
	return func() history.Operation {
		o.Due = p.recorder.Now()
		return p.recorder.Do(t, o)
	}
}

func (p *person) do(dc int, o history.Operation) history.Operation { return p.prepare(dc, o)() }

// together sends operations at the same time and returns them in their order.
func together(calls ...call) []history.Operation {
	all := make([]history.Operation, len(calls))
	var running sync.WaitGroup
	for i, c := range calls {
		running.Go(func() { all[i] = c() })
	}
	running.Wait()
	return all
}

// guess returns an operation that the person sends from home.
func (p *person) guess(m history.Method, version int64) history.Operation {
	return history.Operation{Method: m, Guess: version, Address: ipv4(homeNetwork, 0, p.number)}
}

func (p *person) verify(version int64) history.Operation { return p.guess(history.Verify, version) }

// observe returns a verify that does not come from the person.
func (p *person) observe(version int64) history.Operation {
	p.guesses++
	return history.Operation{Method: history.Verify, Guess: version, Client: p.load.Observer, Address: ipv4(observerNetwork, p.number, p.guesses)}
}

// everywhere makes operations ready to be sent to every datacentre.
func (p *person) everywhere(new func() history.Operation) (calls []call) {
	for dc := range p.load.Targets {
		calls = append(calls, p.prepare(dc, new()))
	}
	return calls
}

// logIn tries the passwords that may be right, and returns the one that is right in a datacentre, or 0. Somebody who cannot
// log in takes a new user.
func (p *person) logIn(dc int) int64 {
	for _, version := range p.current[:min(mostGuesses, len(p.current))] {
		switch o := p.do(dc, p.verify(version)); {
		case o.Outcome() == history.OK:
			return version
		case !o.IsWrong(): // an error
			return 0
		}
	}
	p.steps = 0
	return 0
}

// adopt takes note of operations that may have set a password.
func (p *person) adopt(operations ...history.Operation) {
	var done, perhaps []int64
	for _, o := range operations {
		switch o.Outcome() {
		case history.OK:
			done = append(done, o.Version)
		case history.Local, history.Unknown:
			perhaps = append(perhaps, o.Version)
		}
	}
	if len(done)+len(perhaps) == 0 {
		return
	}
	if len(p.current) > 0 {
		p.replaced = p.current[0]
	}
	if len(done) > 0 {
		p.current = append(done, perhaps...)
		return
	}
	p.current = append(perhaps, p.current...)
}

// look tries the newest and the replaced password in every datacentre.
func (p *person) look() {
	calls := p.everywhere(func() history.Operation { return p.observe(p.replaced) })
	if len(p.current) > 0 {
		calls = append(calls, p.everywhere(func() history.Operation { return p.verify(p.current[0]) })...)
	}
	together(calls...)
}

// create makes the user, sometimes twice at the same time, and logs in from home in every datacentre.
func (p *person) create() {
	p.current = nil
	calls := []call{p.prepare(p.datacentre(), history.Operation{Method: history.Create})}
	if p.IntN(5) < 2 {
		calls = p.everywhere(func() history.Operation { return history.Operation{Method: history.Create} })
	}
	p.adopt(together(calls...)...)
	if len(p.current) > 0 {
		together(p.everywhere(func() history.Operation { return p.verify(p.current[0]) })...)
	}
}

// change changes the password while others try the old one.
func (p *person) change() {
	dc := p.datacentre()
	current := p.logIn(dc)
	if current == 0 {
		return
	}
	calls := append([]call{p.prepare(dc, p.guess(history.Change, current))}, p.everywhere(func() history.Operation { return p.observe(current) })...)
	p.adopt(together(calls...)[0])
	p.look()
}

// changeTwice changes the password in every datacentre at the same time.
func (p *person) changeTwice() {
	current := p.logIn(p.datacentre())
	if current == 0 {
		return
	}
	p.adopt(together(p.everywhere(func() history.Operation { return p.guess(history.Change, current) })...)...)
	p.look()
}

// reset makes a reset token and uses it: once, twice at the same time, twice in turn, or after it has become useless.
func (p *person) reset() {
	token := p.do(p.datacentre(), history.Operation{Method: history.Token})
	if token.Outcome() != history.OK {
		return
	}
	redeem := func() history.Operation { return p.guess(history.Redeem, token.ID) }
	switch p.IntN(5) {
	case 0, 1:
		p.adopt(p.do(p.datacentre(), redeem()))
	case 2:
		p.adopt(together(p.everywhere(redeem)...)...)
	case 3:
		p.adopt(p.do(p.datacentre(), redeem()))
		p.adopt(p.do(p.datacentre(), redeem()))
	default:
		p.do(p.datacentre(), history.Operation{Method: history.Token})
		p.adopt(p.do(p.datacentre(), redeem()))
	}
	p.look()
}

// delete deletes the user. Sometimes it is made again.
func (p *person) delete() {
	o := p.do(p.datacentre(), history.Operation{Method: history.Delete})
	if len(p.current) > 0 {
		p.replaced = p.current[0]
	}
	p.current = slices.DeleteFunc(p.current, func(int64) bool { return o.Outcome() != history.Failed })
	p.look()
	if len(p.current) == 0 && p.IntN(2) == 0 {
		p.create()
	}
}

// attack guesses wrong passwords of a person's user, through the client of that person, until ctx is done.
func (r *Recorder) attack(ctx context.Context, load People, victim *person, stranger int) {
	random := rand.New(rand.NewPCG(load.Seed, uint64(stranger)))
	for n := 0; pause(ctx, strangerWait/2+time.Duration(random.Int64N(int64(strangerWait)))); n++ {
		local := load.Targets[random.IntN(len(load.Targets))]
		o := history.Operation{
			Due: r.Now(), Method: history.Verify, Key: victim.name(), Guess: history.WrongGuess,
			Client: victim.client, Address: ipv4(strangerNetwork, stranger, n%strangerSites),
		}
		switch random.IntN(10) {
		case 0:
			o.Method = history.Change
		case 1:
			o.Method = history.Redeem
		}
		if o.Key != "" {
			r.Do(local[random.IntN(len(local))], o)
		}
	}
}
