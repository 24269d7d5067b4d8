package scheme

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of bcrypt: 2^maxBcryptCost rounds take about a second.
const (
	minBcryptCost = 4
	maxBcryptCost = 14
	bcryptSalt    = 22 // characters
	bcryptSum     = 31 // characters
)

// bcryptHash is the scheme :bcrypt:, as the text that package bcrypt reads.
type bcryptHash []byte

func parseBcrypt(rest string) (verifier, error) {
	fields := splitExactly(rest, '$', 3)
	if fields == nil {
		return nil, malformed("bcrypt", "it does not have three fields")
	}
	cost, ok := parseNumber(fields[0], minBcryptCost, maxBcryptCost)
	if !ok {
		return nil, malformed("bcrypt", "the cost is not a number from 4 to 14")
	}
	for i, length := range []int{bcryptSalt, bcryptSum} {
		if text := fields[i+1]; len(text) != length || strings.Trim(text, bcryptAlphabet) != "" {
			return nil, malformed("bcrypt", "salt or hash has the wrong length or alphabet")
		}
	}
	return bcryptHash(fmt.Sprintf("$2y$%02d$%s%s", cost, fields[1], fields[2])), nil
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func (h bcryptHash) cost() time.Duration {
	rounds, err := bcrypt.Cost(h)
	if err != nil {
		return 0
	}
	return 60 * time.Microsecond << rounds
}

func (h bcryptHash) verify(password []byte) bool {
	return bcrypt.CompareHashAndPassword(h, password) == nil
}

// splitExactly splits text into n fields. It returns nil if there are more or fewer.
func splitExactly(text string, separator byte, n int) []string {
	fields := strings.Split(text, string(separator))
	if len(fields) != n {
		return nil
	}
	return fields
}
