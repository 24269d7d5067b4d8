package passwords

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"userinfo/internal/panics"
	"userinfo/store"
)

// queuePerWorker is how many hashes may wait for each worker. A hash takes less than a second, so that the last one in the
// queue is still computed within the time of its request.
const queuePerWorker = 4

// Pool computes hashes in a fixed number of goroutines, so that hashing never takes more than its share of CPU and memory.
// The goroutines belong to the Pool: they start in NewPool and end with Close. It is safe for concurrent use.
//
// Clients are served in turn, and each has a queue of its own. One client may use all of the room while no other client
// needs it. If there is no room left, a client with fewer waiting hashes than another takes the place of the newest hash of
// the client that has most. So one client cannot keep another one out, and makes it wait for little more than one hash.
type Pool struct {
	size    int // workers
	most    int // hashes that wait
	workers sync.WaitGroup
	root    context.Context // ends with Close
	cancel  context.CancelFunc
	metrics *Metrics
	panics  *panics.Recorder

	mu      sync.Mutex // guards the fields below, and job.state
	work    *sync.Cond // a job has begun to wait, or the Pool is closed
	waiting int
	queues  map[string][]*job // by client; no queue is empty
	turns   []string          // the clients in queues; the first is next
}

// job is one piece of work. A worker takes it, unless Do has given it up before.
type job struct {
	ctx    context.Context
	client string
	work   func()
	state  jobState      // guarded by Pool.mu
	ended  chan struct{} // closed when work has returned, or the job is refused
	err    error         // must not be read before the end
}

type jobState byte

const (
	jobWaits jobState = iota
	jobTaken          // by a worker
	jobGone           // refused, or given up
)

// NewPool returns a Pool that computes at most workers hashes at the same time. p recovers from panics of hashes.
func NewPool(workers int, m *Metrics, p *panics.Recorder) *Pool {
	pool := &Pool{size: workers, most: workers * queuePerWorker, metrics: m, panics: p, queues: make(map[string][]*job)}
	pool.work = sync.NewCond(&pool.mu)
	pool.root, pool.cancel = context.WithCancel(context.Background())
	for range workers {
		pool.workers.Go(func() {
			defer p.Recover(panics.Passwords, nil)
			pool.run()
		})
	}
	return pool
}

// Close ends the goroutines, and returns when the hashes that they compute are finished. Hashes that wait are not computed.
func (p *Pool) Close() {
	p.mu.Lock()
	p.cancel()
	p.work.Broadcast()
	p.mu.Unlock()
	p.workers.Wait()
}

// run does the work of one goroutine.
func (p *Pool) run() {
	for {
		j := p.take()
		if j == nil {
			return
		}
		p.do(j)
	}
}

// take waits for the next job. It returns nil when the Pool is closed.
func (p *Pool) take() *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.waiting == 0 && p.root.Err() == nil {
		p.work.Wait()
	}
	if p.root.Err() != nil {
		return nil
	}
	client := p.turns[0]
	p.turns = append(p.turns[1:], client)
	j := p.queues[client][0]
	p.remove(j)
	j.state = jobTaken
	return j
}

// remove removes a waiting job from its queue. The caller holds p.mu.
func (p *Pool) remove(j *job) {
	queue := p.queues[j.client]
	queue = slices.Delete(queue, slices.Index(queue, j), slices.Index(queue, j)+1)
	p.waiting--
	if p.queues[j.client] = queue; len(queue) == 0 {
		delete(p.queues, j.client)
		p.turns = slices.DeleteFunc(p.turns, func(c string) bool { return c == j.client })
	}
}

// do does one job, unless its context has ended.
func (p *Pool) do(j *job) {
	defer close(j.ended)
	if err := j.ctx.Err(); err != nil {
		p.metrics.hashesSkipped.Inc()
		j.err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		return
	}
	defer p.panics.Recover(panics.Passwords, &j.err)
	defer p.metrics.timeHash()()
	j.work()
}

// Do calls work in a goroutine of the Pool, and returns when work has returned. It returns ErrBusy if the client has no room
// in the queue, or if the Pool is closed. If ctx ends before work has begun, work is never called, and the error wraps
// store.ErrUnavailable. Once work has begun, Do waits for it.
func (p *Pool) Do(ctx context.Context, client string, work func()) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	j := &job{ctx: ctx, client: client, work: work, ended: make(chan struct{})}
	if !p.add(j) {
		p.metrics.hashesRefused.Inc()
		return ErrBusy
	}
	select {
	case <-j.ended:
		return j.result()
	case <-ctx.Done():
	case <-p.root.Done():
	}
	if !p.giveUp(j) {
		<-j.ended
		return j.result()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: waiting to compute a hash: %w", store.ErrUnavailable, err)
	}
	return ErrBusy
}

// add adds a job to the queue of its client. It returns false if there is no room for it.
func (p *Pool) add(j *job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.root.Err() != nil {
		return false
	}
	if p.waiting >= p.most {
		longest := p.longest()
		if len(p.queues[longest]) <= len(p.queues[j.client])+1 {
			return false
		}
		newest := p.queues[longest][len(p.queues[longest])-1]
		p.remove(newest)
		newest.state, newest.err = jobGone, ErrBusy
		close(newest.ended)
		p.metrics.hashesRefused.Inc()
	}
	if _, ok := p.queues[j.client]; !ok {
		p.turns = append(p.turns, j.client)
	}
	p.queues[j.client] = append(p.queues[j.client], j)
	p.waiting++
	p.work.Signal()
	return true
}

// longest returns the client with the most waiting jobs. The caller holds p.mu.
func (p *Pool) longest() (client string) {
	for _, c := range p.turns {
		if len(p.queues[c]) > len(p.queues[client]) {
			client = c
		}
	}
	return client
}

// giveUp removes a job that nobody waits for any more. It returns false if a worker has taken it, or it was refused.
func (p *Pool) giveUp(j *job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if j.state != jobWaits {
		return false
	}
	j.state = jobGone
	p.remove(j)
	p.metrics.hashesSkipped.Inc()
	return true
}

// full reports, without any work, whether a hash of a client would be refused now.
func (p *Pool) full(client string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting >= p.most && len(p.queues[p.longest()]) <= len(p.queues[client])+1
}

// result returns the error of a job that has ended.
func (j *job) result() error {
	switch {
	case j.err == ErrBusy:
		return ErrBusy
	case j.err != nil:
		return fmt.Errorf("computing a hash: %w", j.err)
	}
	return nil
}

// idle reports whether no hash waits.
func (p *Pool) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting == 0
}
