package scheme

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// Bounds of Argon2. maxArgonWork is the largest product of memory in KiB and passes. It takes about two seconds.
const (
	minArgonMemory  = 8 // KiB for each thread; RFC 9106, section 3.1
	maxArgonTime    = 64
	maxArgonThreads = 16
	maxArgonWork    = 2 << 20
	minArgonSalt    = 8 // bytes
	maxArgonHash    = 128
	newSaltBytes    = 16
	newHashBytes    = 32
)

// Argon2id are the parameters of new hashes.
type Argon2id struct {
	// MemoryKiB is the memory of one hash, in KiB.
	MemoryKiB uint32
	// Time is the number of passes over the memory.
	Time uint32
	// Threads is the number of threads that compute one hash.
	Threads uint8
}

// Validate returns an error that says which parameter is out of bounds.
func (a Argon2id) Validate() error {
	switch {
	case a.Threads < 1 || a.Threads > maxArgonThreads:
		return fmt.Errorf("the number of threads must be from 1 to %d", maxArgonThreads)
	case a.MemoryKiB < minArgonMemory*uint32(a.Threads):
		return fmt.Errorf("the memory must be at least %d KiB for each thread", minArgonMemory)
	case a.Time < 1 || a.Time > maxArgonTime || uint64(a.MemoryKiB)*uint64(a.Time) > maxArgonWork:
		return fmt.Errorf("the number of passes must be from 1 to %d, and memory times passes at most %d KiB", maxArgonTime, maxArgonWork)
	}
	return nil
}

// header returns the beginning of a hash with these parameters, to the salt.
func (a Argon2id) header() string {
	return fmt.Sprintf(":argon2:$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, a.MemoryKiB, a.Time, a.Threads)
}

// New returns a new hash of a password, with a salt from random. The parameters must be valid.
func (a Argon2id) New(password []byte, random io.Reader) (Hash, error) {
	salt := make([]byte, newSaltBytes)
	if _, err := io.ReadFull(random, salt); err != nil {
		return Hash{}, fmt.Errorf("reading random bytes for a salt: %w", err)
	}
	sum := argon2.IDKey(password, salt, a.Time, a.MemoryKiB, a.Threads, newHashBytes)
	encode := base64.RawStdEncoding.EncodeToString
	return Hash{
		text: a.header() + encode(salt) + "$" + encode(sum),
		work: argon2Hash{parameters: a, id: true, salt: salt, sum: sum},
	}, nil
}

// Made reports whether h was made with these parameters.
func (a Argon2id) Made(h Hash) bool {
	own, ok := h.work.(argon2Hash)
	return ok && own.id && own.parameters == a && len(own.sum) == newHashBytes
}

// argon2Hash is the scheme :argon2:.
type argon2Hash struct {
	parameters Argon2id
	id         bool // Argon2id; otherwise Argon2i
	salt, sum  []byte
}

func parseArgon2(rest string, l Limits) (verifier, error) {
	fields := splitExactly(rest, '$', 6)
	if fields == nil || fields[0] != "" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, malformed("argon2", "it does not have the form $argon2id$v=19$m=M,t=T,p=P$SALT$HASH")
	}
	h := argon2Hash{id: fields[1] == "argon2id"}
	if !h.id && fields[1] != "argon2i" {
		return nil, malformed("argon2", "unknown variant; known are argon2id and argon2i")
	}
	var ok bool
	if h.parameters, ok = parseArgonParameters(fields[3]); !ok {
		return nil, malformed("argon2", "the parameters are not m=M,t=T,p=P with numbers")
	}
	if err := h.parameters.Validate(); err != nil {
		return nil, malformed("argon2", err.Error())
	}
	if l.Threads > 0 && h.parameters.Threads > l.Threads {
		return nil, malformed("argon2", fmt.Sprintf("it needs more than %d threads", l.Threads))
	}
	if h.parameters.MemoryKiB > l.MemoryKiB {
		return nil, malformed("argon2", fmt.Sprintf("it needs more memory than the service gives to a hash, which is %d KiB", l.MemoryKiB))
	}
	var saltErr, sumErr error
	h.salt, saltErr = decode(base64.RawStdEncoding, fields[4])
	h.sum, sumErr = decode(base64.RawStdEncoding, fields[5])
	if saltErr != nil || sumErr != nil || len(h.salt) < minArgonSalt || len(h.salt) > maxSaltBytes || len(h.sum) < minKeyBytes || len(h.sum) > maxArgonHash {
		return nil, malformed("argon2", "salt or hash is not base64 without padding, or has the wrong length")
	}
	return h, nil
}

// parseArgonParameters parses m=M,t=T,p=P.
func parseArgonParameters(text string) (a Argon2id, ok bool) {
	fields := splitExactly(text, ',', 3)
	if fields == nil {
		return a, false
	}
	var numbers [3]int
	for i, name := range []string{"m=", "t=", "p="} {
		value, found := strings.CutPrefix(fields[i], name)
		if numbers[i], ok = parseNumber(value, 1, maxArgonWork); !found || !ok {
			return a, false
		}
	}
	if numbers[2] > maxArgonThreads {
		return a, false
	}
	return Argon2id{MemoryKiB: uint32(numbers[0]), Time: uint32(numbers[1]), Threads: uint8(numbers[2])}, true
}

func (h argon2Hash) cost() time.Duration {
	return time.Duration(h.parameters.MemoryKiB) * time.Duration(h.parameters.Time) * 600 * time.Nanosecond
}

func (h argon2Hash) verify(password []byte) bool {
	derive := argon2.Key
	if h.id {
		derive = argon2.IDKey
	}
	sum := derive(password, h.salt, h.parameters.Time, h.parameters.MemoryKiB, h.parameters.Threads, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}
