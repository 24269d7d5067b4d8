package passwords

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"userinfo/internal/panics"
	"userinfo/store"
)

// queuePerWorker is how many hashes may wait for each worker. A hash takes less than a second, so that the last one in the
// queue is still computed within the time of its request.
const queuePerWorker = 4

// Pool computes hashes in a fixed number of goroutines, so that hashing never takes more than its share of CPU and memory.
// The goroutines belong to the Pool: they start in NewPool and end with Close. It is safe for concurrent use.
type Pool struct {
	jobs    chan *job
	workers sync.WaitGroup
	root    context.Context // ends with Close
	cancel  context.CancelFunc
	metrics *Metrics
	panics  *panics.Recorder
}

// job is one piece of work. A worker takes it, unless Do has given it up before.
type job struct {
	ctx   context.Context
	work  func()
	taken atomic.Bool
	ended chan struct{} // closed when work has returned
	err   error         // panics.ErrPanic if work panicked; must not be read before the end
}

// NewPool returns a Pool that computes at most workers hashes at the same time. p recovers from panics of hashes.
func NewPool(workers int, m *Metrics, p *panics.Recorder) *Pool {
	pool := &Pool{jobs: make(chan *job, workers*queuePerWorker), metrics: m, panics: p}
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
	p.cancel()
	p.workers.Wait()
}

// run does the work of one goroutine.
func (p *Pool) run() {
	for {
		select {
		case <-p.root.Done():
			return
		case j := <-p.jobs:
			p.do(j)
		}
	}
}

// do does one job, unless its context has ended or nobody waits for it any more.
func (p *Pool) do(j *job) {
	if j.ctx.Err() != nil || j.taken.Swap(true) {
		p.metrics.hashesSkipped.Inc()
		return
	}
	defer close(j.ended)
	defer p.panics.Recover(panics.Passwords, &j.err)
	defer p.metrics.timeHash()()
	j.work()
}

// Do calls work in a goroutine of the Pool, and returns when work has returned. It returns ErrBusy at once if the queue is
// full, or if the Pool is closed. If ctx ends before work has begun, work is never called, and the error wraps
// store.ErrUnavailable. Once work has begun, Do waits for it.
func (p *Pool) Do(ctx context.Context, work func()) error {
	j := &job{ctx: ctx, work: work, ended: make(chan struct{})}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if p.root.Err() != nil {
		return ErrBusy
	}
	select {
	case p.jobs <- j:
	default:
		p.metrics.hashesRefused.Inc()
		return ErrBusy
	}
	select {
	case <-j.ended:
		return j.result()
	case <-ctx.Done():
	case <-p.root.Done():
	}
	if j.taken.Swap(true) {
		<-j.ended
		return j.result()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: waiting to compute a hash: %w", store.ErrUnavailable, err)
	}
	return ErrBusy
}

// result returns the error of a job that has ended.
func (j *job) result() error {
	if j.err != nil {
		return fmt.Errorf("computing a hash: %w", j.err)
	}
	return nil
}

// idle reports whether no hash waits.
func (p *Pool) idle() bool { return len(p.jobs) == 0 }
