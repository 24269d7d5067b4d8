package keyfile

import (
	"crypto/subtle"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"weak"

	"golang.org/x/sys/unix"
)

// maxSecretBytes is the largest size of a Secret in bytes, and the size of each slot of a vault.
const maxSecretBytes = 128

// secrets is the vault of this process.
var secrets vault

// vault holds secrets in pages of memory that are not in Go's heap: the kernel never writes them to swap or into a core dump.
// Its zero value is ready to use.
//
// A vault holds one copy of equal secrets. When no Secret refers to the copy any more, the garbage collector calls erase. The
// pages stay. One page has 32 slots, which is more than the keys of a service: so a vault needs 4 kB of locked memory, and every
// usual limit allows it (RLIMIT_MEMLOCK is at least 64 kB).
//
// mlockall would lock the whole heap. The kernel compares the limit with the address space that Go reserves, and not with
// what Go uses. So mlockall works only without a limit, and under a limit later allocations would end the process.
type vault struct {
	mu      sync.Mutex
	free    [][]byte             // slots without a secret; each contains only zeros
	live    []weak.Pointer[held] // the secrets of all other slots
	failure error                // why a page is not locked; nil if all are
}

// held is the only copy of one secret.
type held struct {
	bytes []byte // part of a slot
	id    [idBytes]byte
	macs  macs
}

// hold returns the copy of a secret of 1 to maxSecretBytes bytes, and makes the first one.
func (v *vault) hold(secret []byte) *held {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.live {
		if h := w.Value(); h != nil && subtle.ConstantTimeCompare(h.bytes, secret) == 1 {
			return h
		}
	}
	if len(v.free) == 0 {
		v.addPage()
	}
	last := len(v.free) - 1
	slot := v.free[last]
	v.free = v.free[:last]
	h := &held{bytes: slot[:copy(slot, secret)], id: idOf(secret)}
	v.live = append(v.live, weak.Make(h))
	runtime.AddCleanup(h, v.erase, slot)
	return h
}

// erase overwrites a slot that nothing refers to, and makes it free.
func (v *vault) erase(slot []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(slot)
	v.free = append(v.free, slot)
	v.live = slices.DeleteFunc(v.live, func(w weak.Pointer[held]) bool { return w.Value() == nil })
}

// addPage adds the slots of a new page. A page that cannot be locked is used all the same. The caller holds mu.
func (v *vault) addPage() {
	size := os.Getpagesize()
	page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err == nil {
		_ = unix.Madvise(page, unix.MADV_DONTDUMP) // the process makes no core dumps anyway
		err = unix.Mlock(page)
	} else {
		page = make([]byte, size)
	}
	if err != nil && v.failure == nil {
		v.failure = fmt.Errorf("locking %d bytes of memory: %w", size, err)
	}
	for slot := range slices.Chunk(page, maxSecretBytes) {
		v.free = append(v.free, slot)
	}
}

// MemoryLocked returns nil if every Secret is in memory that the kernel never writes to swap, and otherwise the reason.
func MemoryLocked() error {
	secrets.mu.Lock()
	defer secrets.mu.Unlock()
	return secrets.failure
}
