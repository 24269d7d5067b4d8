package target

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// defaultTTL is the TTL, in seconds, of requests that leave it to the store: the service's own default.
const defaultTTL = 24 * 3600

func ttl(r *load.Request) int {
	if r.TTL == 0 {
		return defaultTTL
	}
	return r.TTL
}

// startRedis starts a redis-server that keeps everything in memory, writes nothing to disk and requires mutual TLS.
func (b *Testbed) startRedis(ctx context.Context, name string) (*Target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	isReady := func(output string) bool { return strings.Contains(output, "Ready to accept connections") }
	c, err := b.start(ctx, isReady, nil, "redis-server", "--bind", "127.0.0.1", "--port", "0", "--tls-port", port,
		"--tls-cert-file", b.file("server.crt"), "--tls-key-file", b.file("server.key"), "--tls-ca-cert-file", b.file("ca.crt"),
		"--tls-auth-clients", "yes", "--tls-protocols", "TLSv1.3", "--save", "", "--appendonly", "no", "--dir", b.dir,
		"--maxclients", "20000", "--daemonize", "no")
	if err != nil {
		return nil, err
	}
	return &Target{Name: name, Processes: []Process{{Kind: result.KindRedis, PID: c.pid()}}, dial: func() (load.Dialer, error) {
		config, err := b.client("").TLS() // the HTTP client's
		return redisDialer{"127.0.0.1:" + port, config}, err
	}}, nil
}

// freePort returns a TCP port that nobody listened on a moment ago. redis-server cannot choose one itself.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}

type redisDialer struct {
	address string
	tls     *tls.Config
}

// Dial returns a client with one connection, which never retries.
func (d redisDialer) Dial(ctx context.Context) (load.Conn, error) {
	client := redis.NewClient(&redis.Options{
		Addr: d.address, TLSConfig: d.tls, PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: load.Patience, ReadTimeout: load.Patience, WriteTimeout: load.Patience, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return redisConn{client}, nil
}

// Close does nothing.
func (redisDialer) Close() error { return nil }

type redisConn struct{ client *redis.Client }

// Do sends GET, SET with EX, EXPIRE or DEL.
func (c redisConn) Do(ctx context.Context, r *load.Request) error {
	life := time.Duration(ttl(r)) * time.Second
	switch r.Method {
	case load.Set:
		return redisError(c.client.Set(ctx, r.Key, r.Value, life).Err())
	case load.Touch:
		found, err := c.client.Expire(ctx, r.Key, life).Result()
		if err == nil && !found {
			return load.NotFound
		}
		return redisError(err)
	case load.Delete:
		return redisError(c.client.Del(ctx, r.Key).Err())
	default:
		value, err := c.client.Get(ctx, r.Key).Bytes()
		if err != nil && !errors.Is(err, redis.Nil) {
			return redisError(err)
		}
		return load.CheckGet(r, err == nil, len(value))
	}
}

// redisError turns an error answer, such as LOADING, into a Failure.
func redisError(err error) error {
	var answer redis.Error
	if errors.As(err, &answer) {
		code, _, _ := strings.Cut(answer.Error(), " ")
		return load.Failure("redis " + code)
	}
	return err
}

// Close closes the connection.
func (c redisConn) Close() error { return c.client.Close() }
