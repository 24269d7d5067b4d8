package target

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
)

// RedisSettings say how Redis is asked: over mutual TLS, with files in PEM.
type RedisSettings struct {
	Address              string // host:port
	CA, Certificate, Key string
}

// Redis starts a redis-server that keeps everything in memory and nothing on disk, and takes mutual TLS alone.
func (l *Lab) Redis(ctx context.Context, name string) (*Target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	isReady := func(line string) bool { return strings.Contains(line, "Ready to accept connections") }
	c, err := l.start(isReady, nil, "redis-server", "--bind", "127.0.0.1", "--port", "0", "--tls-port", port,
		"--tls-cert-file", l.file("server.crt"), "--tls-key-file", l.file("server.key"), "--tls-ca-cert-file", l.file("ca.crt"),
		"--tls-auth-clients", "yes", "--tls-protocols", "TLSv1.3", "--save", "", "--appendonly", "no", "--dir", l.dir,
		"--maxclients", "20000", "--daemonize", "no")
	if err != nil {
		return nil, err
	}
	if _, err := c.await(ctx); err != nil {
		return nil, err
	}
	return &Target{
		Name: name, Kind: KindRedis, Processes: []cost.Process{{Kind: result.KindRedis, PID: c.pid()}},
		Settings: encode(RedisSettings{"127.0.0.1:" + port, l.file("ca.crt"), l.file("client.crt"), l.file("client.key")}),
	}, nil
}

// freePort is a TCP port that nobody listened on a moment ago; redis-server cannot choose one itself.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}

// redisDialer is not changed once made.
type redisDialer struct {
	address string
	tls     *tls.Config
}

func (s RedisSettings) dialer() (load.Dialer, error) {
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("the address of Redis: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
	if err != nil {
		return nil, err
	}
	pool, err := readPool(s.CA)
	if err != nil {
		return nil, err
	}
	return redisDialer{s.Address, &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: host, RootCAs: pool, Certificates: []tls.Certificate{pair},
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}, // as the HTTPS client does: package load
	}}, nil
}

// Dial makes a client of one connection, and connects. It does not try again, nor ask anything of its own accord.
func (d redisDialer) Dial(ctx context.Context) (load.Conn, error) {
	c := &redisConn{}
	c.client = redis.NewClient(&redis.Options{
		Addr: d.address, Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.connect(ctx, network, address, c)
		},
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1, DialTimeout: load.Patience, ReadTimeout: load.Patience, WriteTimeout: load.Patience,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	if err := c.client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(err, c.client.Close())
	}
	return c, nil
}

func (d redisDialer) connect(ctx context.Context, network, address string, c *redisConn) (net.Conn, error) {
	tcp, err := (&net.Dialer{Timeout: load.Patience}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(wire{tcp, c}, d.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return conn, nil
}

// Close has nothing to give back.
func (redisDialer) Close() error { return nil }

// redisConn is one connection.
type redisConn struct {
	client         *redis.Client
	sent, received atomic.Int64
}

// wire counts what goes below TLS.
type wire struct {
	net.Conn
	count *redisConn
}

func (w wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.count.received.Add(int64(n))
	return n, err
}

func (w wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.count.sent.Add(int64(n))
	return n, err
}

// Do is a GET, a SET with EX, an EXPIRE or a DEL.
func (c *redisConn) Do(ctx context.Context, op *load.Op) error {
	switch op.Method {
	case load.Set:
		return answered(c.client.Set(ctx, op.Key, op.Value, seconds(ttl(op))).Err())
	case load.Touch:
		there, err := c.client.Expire(ctx, op.Key, seconds(ttl(op))).Result()
		if err == nil && !there {
			return load.NotFound
		}
		return answered(err)
	case load.Delete:
		return answered(c.client.Del(ctx, op.Key).Err())
	default:
		value, err := c.client.Get(ctx, op.Key).Bytes()
		if !errors.Is(err, redis.Nil) {
			return found(op, len(value), answered(err))
		}
		return missed(op)
	}
}

// answered makes a Failure of what Redis has refused, such as LOADING.
func answered(err error) error {
	var refused redis.Error
	if errors.As(err, &refused) {
		reason, _, _ := strings.Cut(refused.Error(), " ")
		return load.Failure("redis " + reason)
	}
	return err
}

// Close ends the connection.
func (c *redisConn) Close() error { return c.client.Close() }

// Wire is exact.
func (c *redisConn) Wire() (sent, received int64) { return c.sent.Load(), c.received.Load() }
