package store_test

import (
	"testing"
	"time"

	"userinfo/store"
	"userinfo/store/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	tables := map[string]*store.Memory{
		storetest.Table:     store.NewMemory(1<<30, time.Now),
		storetest.KaskTable: store.NewMemory(1<<30, time.Now),
	}
	open := func(c store.CollectionConfig, tools store.Options) *store.Collection {
		return tables[c.Table].Collection(c, tools)
	}
	storetest.RunSealed(t, open, tables[storetest.Table])
	storetest.Run(t, open)
}
