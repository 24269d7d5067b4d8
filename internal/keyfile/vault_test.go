package keyfile

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slots returns how many slots contain a secret.
func (v *vault) slots() (used, free int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.live), len(v.free)
}

// collect runs the garbage collector until done returns true.
func collect(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is erased")
		}
		runtime.GC()
	}
}

func TestVault_HoldsOneCopyOfEqualSecrets(t *testing.T) {
	v := new(vault)
	first := v.hold([]byte("one secret"))
	for range 1000 {
		if v.hold([]byte("one secret")) != first {
			t.Fatal("a second copy of an equal secret")
		}
	}
	if v.hold([]byte("one secret, longer")) == first || v.hold([]byte("one secre")) == first || v.hold([]byte("two secret")) == first {
		t.Error("one copy for different secrets")
	}
	if string(first.bytes) != "one secret" || cap(first.bytes) > maxSecretBytes {
		t.Errorf("%q of capacity %d", first.bytes, cap(first.bytes))
	}
	runtime.KeepAlive(first)
}

func TestVault_ErasesSecretThatNothingRefersTo(t *testing.T) {
	v := new(vault)
	kept := v.hold([]byte("kept"))
	slot := v.hold([]byte("dropped")).bytes // refers to the memory of the vault, not to the secret
	collect(t, func() bool { used, _ := v.slots(); return used == 1 })
	if !bytes.Equal(slot, make([]byte, len(slot))) {
		t.Errorf("%q is left", slot)
	}
	if string(kept.bytes) != "kept" || v.hold([]byte("kept")) != kept {
		t.Error("a secret in use is erased")
	}
	_, free := v.slots()
	if again := v.hold([]byte("again")); &again.bytes[0] != &slot[0] {
		t.Error("the free slot is not used again")
	}
	if _, now := v.slots(); now != free-1 {
		t.Errorf("%d free slots; want %d", now, free-1)
	}
	runtime.KeepAlive(kept)
}

func TestVault_UsesFurtherPages(t *testing.T) {
	v := new(vault)
	var all []*held
	for i := range 3 * os.Getpagesize() / maxSecretBytes {
		all = append(all, v.hold([]byte{byte(i), byte(i >> 8), 1}))
	}
	for i, h := range all {
		if !bytes.Equal(h.bytes, []byte{byte(i), byte(i >> 8), 1}) {
			t.Fatalf("secret %d is %v", i, h.bytes)
		}
	}
}

// TestVault_IsLockedWhereTheLimitAllows reads the flags of the vault's page: lo is locked, dd is not in core dumps.
func TestVault_IsLockedWhereTheLimitAllows(t *testing.T) {
	v := new(vault)
	h := v.hold([]byte("secret"))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	flags := flagsOf(t, h.bytes)
	if want := limit.Cur >= 64<<10; want != (v.failure == nil) || want != strings.Contains(flags, " lo") {
		t.Errorf("with a limit of %d bytes, locking: %v, and the flags are %q", limit.Cur, v.failure, flags)
	}
	if !strings.Contains(flags, " dd") {
		t.Errorf("the flags %q have no dd", flags)
	}
	runtime.KeepAlive(h)
}

func TestSecret_KeepsKeyWhileItIsUsed(t *testing.T) {
	want := testSecretText(t)
	for range 100 {
		s, err := Kind("test").Parse([]byte(want))
		if err != nil {
			t.Fatal(err)
		}
		mac := s.MAC() // does not refer to s
		other := s.Extract().Expand(nil)
		runtime.GC()
		s, err = Kind("test").Parse([]byte(want))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mac.Sum(nil), s.MAC().Sum(nil)) || other != s.Extract().Expand(nil) || Kind("test").Text(s) != want {
			t.Fatal("the key has changed")
		}
	}
}

func testSecretText(t *testing.T) string {
	t.Helper()
	s, err := NewSecret(strings.NewReader(strings.Repeat("k", secretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return Kind("test").Text(s)
}

// flagsOf returns what the kernel says of the memory that contains b: two letters a flag.
func flagsOf(t *testing.T, b []byte) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	address, within := uint64(uintptr(unsafe.Pointer(&b[0]))), false
	for line := range strings.Lines(string(text)) {
		var from, to uint64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			within = from <= address && address < to
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && within {
			return flags
		}
	}
	t.Fatal("the memory is not in smaps")
	return ""
}
