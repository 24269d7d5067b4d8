package config

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access/signature"
	"userinfo/internal/keyfile"
	"userinfo/tlsconf"
)

// ReloadInterval is the time between two looks at the files.
const ReloadInterval = 2 * time.Second

// retryInterval is the time after which a part that failed is tried again although its files stay the same: a certificate may
// have become valid. Trying more often would leave more copies of private keys in memory.
const retryInterval = time.Minute

// Options are what a Reloader needs. All fields are required, except OnSignal.
type Options struct {
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
	// OnSignal is called instead of reload for each signal, and calls reload. nil: reload is called at once.
	OnSignal func(reload func())
}

// Reloader keeps the current Snapshot and replaces it when files change.
//
// It reloads seven parts, in this order: tls, cassandra_tls, audit, clients (includes audiences, authorities, proxies,
// not_before of collections and the names of key files), signature_keys, seal, passwords_seal. A part that cannot be loaded
// keeps its old state, is logged once, and sets userinfo_reload_failed{part} to 1 until its files are usable again. All
// parts that have changed come into force at the same moment: one atomic pointer is swapped.
//
// Settings of the configuration file outside these parts need a restart. If one of them changes, the whole file is refused,
// because the new clients may be meant for the new settings.
type Reloader struct {
	options Options
	current atomic.Pointer[Snapshot]

	// The other fields belong to the goroutine that calls Reload.
	file    *File  // the configuration at the start
	inForce []byte // the text of the configuration file in force
	seen    []byte // the text at the last look, if it was not in force
	parts   parts
	logged  map[string]string    // last logged failure by part
	tried   map[string]time.Time // last time that a part was read
	watch   *keyfile.Watch

	failing atomic.Pointer[[]string] // the parts in logged

	failed   *prometheus.GaugeVec
	reloads  *prometheus.CounterVec
	daysLeft *prometheus.GaugeVec
}

// NewReloader returns a Reloader whose current Snapshot is o.Snapshot. It registers its metrics.
func NewReloader(o *Opened, options Options) *Reloader {
	r := &Reloader{
		options: options,
		file:    o.File,
		inForce: o.Text,
		parts:   o.parts,
		logged:  make(map[string]string),
		tried:   make(map[string]time.Time),
		watch:   keyfile.NewWatch(options.Now),
		failed: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "userinfo_reload_failed",
			Help: "1 while changed files of this part cannot be used, and the old ones are still in force."}, []string{"part"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "userinfo_reloads_total",
			Help: "Changed files put into force, by part."}, []string{"part"}),
		daysLeft: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "userinfo_certificate_days_left",
			Help: "Days until the first certificate of this file in force expires."}, []string{"file"}),
	}
	r.current.Store(o.Snapshot)
	options.Registry.MustRegister(r.failed, r.reloads, r.daysLeft)
	r.measureExpiry()
	return r
}

// Current returns the Snapshot in force. It is safe for concurrent use.
func (r *Reloader) Current() *Snapshot { return r.current.Load() }

// Run calls Reload every ReloadInterval until ctx ends. Whenever the channel force receives, it calls Reload(true) at once.
func (r *Reloader) Run(ctx context.Context, force <-chan os.Signal) {
	tick := time.NewTicker(ReloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-force:
			r.options.Log.Info("SIGHUP: reading files again")
			r.reloadOnSignal()
		case <-tick.C:
			r.Reload(false)
		}
	}
}

func (r *Reloader) reloadOnSignal() {
	reload := func() { r.Reload(true) }
	if r.options.OnSignal == nil {
		reload()
		return
	}
	r.options.OnSignal(reload)
}

// Failing returns the parts that keep an old state because their files cannot be used. It is safe for concurrent use.
func (r *Reloader) Failing() []string {
	if parts := r.failing.Load(); parts != nil {
		return *parts
	}
	return nil
}

// Reload compares the files with what is in force and puts changes into force. Without force, it reads only parts
// with a file that may have changed, and parts that failed at least retryInterval ago; and it uses a changed configuration file
// only when the text was the same at two successive calls, because the file may be half written. Reload must not be called
// concurrently.
func (r *Reloader) Reload(force bool) {
	next := r.parts
	var changed []string
	load := func(part string, files []string, reload func(*parts) (bool, error)) {
		if mayHaveChanged := r.watch.Changed(files...); !mayHaveChanged && !force && !r.mustRetry(part) {
			return
		}
		r.tried[part] = r.options.Now()
		before := next
		isChanged, err := reload(&next)
		if err != nil {
			next = before
		}
		r.recordResult(part, err)
		if err == nil && isChanged {
			changed = append(changed, part)
		}
	}
	load("tls", next.server.Files(), r.reloadServer)
	if next.cassandra != nil {
		load("cassandra_tls", next.cassandra.Files(), r.reloadCassandra)
	}
	if file := r.file.Audit.KeyFile; file != "" {
		load("audit", []string{file}, r.reloadAuditKey)
	}
	if r.file.Name != "" {
		load("clients", []string{r.file.Name}, func(p *parts) (bool, error) { return r.reloadClients(p, force) })
	}
	load("signature_keys", signatureKeyFiles(next.clients.config.Clients), reloadSignatureKeys)
	loadKeys := func(part string, sealOf func(*Config) Seal, reload func(*parts) (bool, error)) {
		files := sealOf(next.clients.config).files()
		if !slices.Equal(files, sealOf(r.parts.clients.config).files()) {
			r.watch.Forget(files[0]) // another order or a removed key: no file has changed, but the part has
		}
		load(part, files, reload)
	}
	if next.sealKeys != nil {
		loadKeys("seal", func(c *Config) Seal { return c.Seal }, reloadSealKeys)
	}
	if next.passwordKeys != nil {
		loadKeys("passwords_seal", func(c *Config) Seal { return c.Passwords.Seal }, reloadPasswordKeys)
	}
	failing := slices.Sorted(maps.Keys(r.logged))
	r.failing.Store(&failing)
	r.replace(next, changed)
	r.measureExpiry()
}

// mustRetry reports whether a part failed long enough ago to try it again.
func (r *Reloader) mustRetry(part string) bool {
	return r.logged[part] != "" && r.options.Now().Sub(r.tried[part]) >= retryInterval
}

// replace puts the next parts into force, if any have changed.
func (r *Reloader) replace(next parts, changed []string) {
	if len(changed) == 0 {
		return
	}
	snapshot, err := next.snapshot()
	if err != nil { // cannot happen: the configuration has been checked
		r.options.Log.Error("reload failed; what was in force stays", "part", "all", "error", err.Error())
		return
	}
	sealChanged := next.sealKeys != r.parts.sealKeys || next.passwordKeys != r.parts.passwordKeys
	r.parts = next
	r.current.Store(snapshot)
	for _, part := range changed {
		r.reloads.WithLabelValues(part).Inc()
		r.options.Log.Info("reloaded", "part", part)
	}
	if sealChanged {
		r.LogSealKeys()
	}
}

// LogSealKeys logs the ids of the seal keys in force, so that instances and rows can be compared.
func (r *Reloader) LogSealKeys() {
	if keys := r.Current().SealKeys; keys != nil {
		r.options.Log.Info("seal keys in force; the first encrypts", "ids", keys.IDs())
	}
	if keys := r.Current().PasswordKeys; keys != nil {
		r.options.Log.Info("seal keys of passwords in force; the first encrypts", "ids", keys.IDs())
	}
}

// recordResult updates the metric of a part, and logs a failure once.
func (r *Reloader) recordResult(part string, err error) {
	if err == nil {
		delete(r.logged, part)
		r.failed.WithLabelValues(part).Set(0)
		return
	}
	r.failed.WithLabelValues(part).Set(1)
	if r.logged[part] != err.Error() {
		r.options.Log.Error("reload failed; what was in force stays", "part", part, "error", err.Error())
	}
	r.logged[part] = err.Error()
}

func (r *Reloader) reloadServer(p *parts) (changed bool, err error) {
	if changed, err = p.server.Changed(); err != nil || !changed {
		return false, err
	}
	if p.server, err = tlsconf.LoadServer(r.file.TLS, r.options.Now); err != nil {
		return false, err
	}
	p.authorities, err = p.clients.config.authorities(p.server)
	return true, err
}

func (r *Reloader) reloadCassandra(p *parts) (changed bool, err error) {
	if changed, err = p.cassandra.Changed(); err != nil || !changed {
		return false, err
	}
	p.cassandra, err = tlsconf.LoadClient(r.file.Cassandra.TLS, r.options.Now)
	return true, err
}

func (r *Reloader) reloadAuditKey(p *parts) (changed bool, err error) {
	former := p.auditKey
	p.auditKey, err = readAuditKey(r.file.Audit)
	return p.auditKey != former, err
}

// reloadClients reads the configuration file. The signature keys of new clients come into force together with the clients.
func (r *Reloader) reloadClients(p *parts, force bool) (changed bool, err error) {
	text, err := keyfile.ReadPublic(r.file.Name)
	if err != nil {
		return false, err
	}
	if bytes.Equal(text, r.inForce) {
		r.seen = nil
		return false, nil
	}
	stable := force || bytes.Equal(text, r.seen)
	r.seen = text
	if !stable {
		r.watch.Forget(r.file.Name)
		return false, nil
	}
	f, err := Parse(r.file.Name, text)
	if err != nil {
		return false, err
	}
	if !sameExceptReloadable(*f.Config, *r.file.Config) {
		return false, errors.New("the configuration changed in other parts than clients, audiences, authorities, proxies, seal.keys and not_before of collections: restart, or undo the other changes")
	}
	if p.clients, err = newClientRules(f.Config, r.options.Now); err != nil {
		return false, f.Locate(err)
	}
	if p.signatureKeys, err = readSignatureKeys(f.Clients); err != nil {
		return false, f.Locate(err)
	}
	if p.authorities, err = f.authorities(p.server); err != nil {
		return false, f.Locate(err)
	}
	r.inForce = text
	return true, nil
}

// sameExceptReloadable reports whether a and b differ at most in settings that can be reloaded.
func sameExceptReloadable(a, b Config) bool {
	for _, c := range []*Config{&a, &b} {
		c.Clients, c.Audiences, c.Authorities, c.Proxies, c.Seal.Keys = nil, nil, nil, Proxies{}, nil
		if c.Passwords != nil {
			withoutKeys := *c.Passwords
			withoutKeys.Seal.Keys = nil
			c.Passwords = &withoutKeys
		}
		c.Collections = slices.Clone(c.Collections)
		for i := range c.Collections {
			c.Collections[i].NotBefore = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

func reloadSignatureKeys(p *parts) (changed bool, err error) {
	former := p.signatureKeys
	if p.signatureKeys, err = readSignatureKeys(p.clients.config.Clients); err != nil {
		return false, err
	}
	return !maps.EqualFunc(p.signatureKeys, former, signature.Key.Equal), nil
}

func reloadSealKeys(p *parts) (changed bool, err error) {
	former := p.sealKeys
	p.sealKeys, err = openSealKeys("seal", p.clients.config.Seal, former)
	return p.sealKeys != former, err
}

func reloadPasswordKeys(p *parts) (changed bool, err error) {
	former := p.passwordKeys
	p.passwordKeys, err = openSealKeys("passwords.seal", p.clients.config.Passwords.Seal, former)
	return p.passwordKeys != former, err
}

// measureExpiry sets the metric of the remaining life of each certificate file.
func (r *Reloader) measureExpiry() {
	all := r.parts.server.Expiries()
	if c := r.parts.cassandra; c != nil {
		all = append(all, c.Expiries()...)
	}
	for _, e := range all {
		r.daysLeft.WithLabelValues(e.File).Set(e.NotAfter.Sub(r.options.Now()).Hours() / 24)
	}
}
