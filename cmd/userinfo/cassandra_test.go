package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"userinfo/internal/config"
	"userinfo/schema"
)

func TestSchemaError_ListsEveryDifference(t *testing.T) {
	err := schemaError([]schema.Difference{{Object: "table a"}, {Object: "table b"}})
	for _, want := range []string{"schema apply", "table a", "table b"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not contain %q: %v", want, err)
		}
	}
}

func TestService_ConnectStopsWithItsContext(t *testing.T) {
	s := newTestService(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	c := cassandraConfig(s.config, func() *config.Snapshot { return s.reloader.Current() })
	c.Port = 1
	if session, err := s.connect(ctx, c); session != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v; want context.Canceled", session, err)
	}
}
