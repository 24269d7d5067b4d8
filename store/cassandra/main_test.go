package cassandra_test

import (
	"os"
	"testing"

	"userinfo/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
