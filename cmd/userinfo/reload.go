package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/internal/config"
	"userinfo/tlsconf"
)

// reloadInterval is how often files are compared with what is in force. SIGHUP does it at once.
const reloadInterval = 2 * time.Second

// reloader puts changed files into force: certificates, CAs, revocations, the audit key, and the clients, audiences and seal keys of the
// configuration. Each
// is read and checked as a whole; what cannot be used changes nothing, is logged once, and shows in a metric until it
// is mended.
type reloader struct {
	service *service
	config  *config.File      // nil where the configuration came from no file
	seal    config.Seal       // the key files of the configuration in force
	signing []access.Client   // whose signature keys are in force
	seen    []byte            // the configuration when it was last looked at, if that is not what is in force
	told    map[string]string // by part, the last failure that was logged
	failed  *prometheus.GaugeVec
	reloads *prometheus.CounterVec
	days    *prometheus.GaugeVec
}

func newReloader(s *service) *reloader {
	r := &reloader{
		service: s,
		told:    make(map[string]string),
		failed: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "userinfo_reload_failed",
			Help: "1 while changed files of this part cannot be used, and the old ones are still in force."}, []string{"part"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "userinfo_reloads_total",
			Help: "Changed files put into force, by part."}, []string{"part"}),
		days: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "userinfo_certificate_days_left",
			Help: "Days until the first certificate of this file in force expires."}, []string{"file"}),
	}
	s.registry.MustRegister(r.failed, r.reloads, r.days)
	r.measure()
	return r
}

// follow has parts of a configuration read again when its file changes. It is called before start.
func (r *reloader) follow(c *config.File) { r.config, r.seal, r.signing = c, c.Seal, c.Clients }

// start compares until ctx ends or stop is called; stop returns when it has ended. From the return of start on, SIGHUP
// does not end the program.
func (r *reloader) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer signal.Stop(hangup)
		r.run(ctx, hangup)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r.service.log.Info("SIGHUP: reading files again")
			r.all(true)
		case <-tick.C:
			r.all(false)
		}
	}
}

// all looks at every file. With now, none is taken for half written.
func (r *reloader) all(now bool) {
	f := r.service.files
	r.part("tls", func() (bool, error) { return f.reloadServer(r.service.config.TLS) })
	if f.cassandra.Load() != nil {
		r.part("cassandra_tls", func() (bool, error) { return f.reloadCassandra(r.service.config.Cassandra.TLS) })
	}
	if file := r.service.config.Audit; file.KeyFile != "" {
		r.part("audit", func() (bool, error) { return f.openAudit(file) })
	}
	if r.config != nil {
		r.part("clients", func() (bool, error) { return r.clients(now) }) // and which files the keys are in
		r.part("signature_keys", r.signers)
		if f.keys.Load() != nil {
			r.part("seal", r.keys)
		}
	}
	r.measure()
}

// part does one reload and says how it went.
func (r *reloader) part(name string, reload func() (changed bool, err error)) {
	changed, err := reload()
	switch {
	case err != nil:
		r.failed.WithLabelValues(name).Set(1)
		if r.told[name] != err.Error() {
			r.service.log.Error("reload failed; what was in force stays", "part", name, "error", err.Error())
		}
		r.told[name] = err.Error()
		return
	case changed:
		r.reloads.WithLabelValues(name).Inc()
		r.service.log.Info("reloaded", "part", name)
	}
	delete(r.told, name)
	r.failed.WithLabelValues(name).Set(0)
}

// keys reads the key files again and puts the keys into force.
func (r *reloader) keys() (changed bool, err error) {
	index, seals, err := readSealKeys(r.seal)
	if err != nil {
		return false, err
	}
	former := r.service.files.keys.Load()
	next, err := former.Replace(index, seals)
	if err != nil || next == former {
		return false, err
	}
	r.service.files.keys.Store(next)
	r.service.sayKeys()
	return true, nil
}

// clients reads the configuration again and puts its clients, audiences and proxies into force.
// A file that changed is believed once it has been the same twice, or, with now, at once.
func (r *reloader) clients(now bool) (changed bool, err error) {
	text, err := os.ReadFile(r.config.Name)
	if err != nil {
		return false, err
	}
	if bytes.Equal(text, r.config.Text) {
		r.seen = nil
		return false, nil
	}
	half := !now && !bytes.Equal(text, r.seen) // written, perhaps
	r.seen = text
	if half {
		return false, nil
	}
	c, err := config.Parse(r.config.Name, text)
	if err != nil {
		return false, err
	}
	if !sameButReloaded(*c.Config, *r.config.Config) {
		// The new clients may be meant for the new collections, which are not the ones being served.
		return false, errors.New("the configuration changed in other parts than clients, audiences, proxies and seal.keys: restart, or undo the other changes")
	}
	keys, err := readSigners(c.Clients)
	if err != nil {
		return false, c.Locate(err)
	}
	if err := r.service.set(c.Config, keys, r.service.now); err != nil {
		return false, err
	}
	r.seal, r.signing = c.Seal, c.Clients
	r.config.Text = text
	return true, nil
}

// signers reads the files of signature keys again and puts the keys into force.
func (r *reloader) signers() (changed bool, err error) {
	keys, err := readSigners(r.signing)
	if err != nil {
		return false, err
	}
	return r.service.setSigners(keys), nil
}

func sameButReloaded(a, b config.Config) bool {
	a.Clients, b.Clients = nil, nil
	a.Audiences, b.Audiences = nil, nil
	a.Proxies, b.Proxies = config.Proxies{}, config.Proxies{}
	a.Seal.Keys, b.Seal.Keys = nil, nil
	return reflect.DeepEqual(a, b)
}

// measure says how long each certificate in force has yet to live.
func (r *reloader) measure() {
	all := r.service.files.server.Load().Expiries()
	if c := r.service.files.cassandra.Load(); c != nil {
		all = append(all, c.Expiries()...)
	}
	for _, e := range all {
		r.days.WithLabelValues(e.File).Set(daysLeft(e))
	}
}

func daysLeft(e tlsconf.Expiry) float64 { return time.Until(e.NotAfter).Hours() / 24 }
