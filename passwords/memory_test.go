package passwords_test

import (
	"testing"
	"time"

	"userinfo/passwords"
	"userinfo/passwords/passwordstest"
)

func TestMemory_KeepsPasswordsContract(t *testing.T) {
	m := passwords.NewMemory(64<<20, time.Now)
	passwordstest.Run(t, func() passwords.Rows { return m })
}
