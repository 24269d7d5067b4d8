package tlsconf

import (
	"crypto/sha256"
	"crypto/tls"
	"sync"
	"sync/atomic"
)

// state is what one set of files says. It is never changed once it is in force.
type state struct {
	config   *tls.Config
	old      *tls.Config  // of a server, for TLS 1.2
	tickets  tickets      // of a server's config
	trust    *clientTrust // nil where no client certificate is believed
	expiries []Expiry
	digest   [sha256.Size]byte // of the files
}

// live is the state in force, and how to come to the next one.
type live struct {
	files files                       // without contents
	build func(files) (*state, error) // checks contents and makes a state of them

	reload  sync.Mutex // held by load, so that an older reading never replaces a newer one
	current atomic.Pointer[state]
}

// load puts what the files hold now in force, unless that is in force already. On an error nothing changes.
func (l *live) load() (changed bool, err error) {
	l.reload.Lock()
	defer l.reload.Unlock()
	contents, err := l.files.read()
	if err != nil {
		return false, err
	}
	digest := contents.digest()
	if old := l.current.Load(); old != nil && old.digest == digest {
		return false, nil
	}
	next, err := l.build(contents)
	if err != nil {
		return false, err
	}
	next.digest = digest
	l.current.Store(next)
	return true, nil
}
