package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"userinfo/access"
	"userinfo/store"
)

// inFlightTest is a service in a process with a memory limit, one client that attacks it, and another one.
type inFlightTest struct {
	*plantedSecrets
	service *startedService
	address string
	other   access.Token
	kept    *http.Transport // of the other client. It keeps its connection, because attackers at its address delay new ones.
}

// startWithMemory starts a service with a memory limit in MiB for collections with this max_value_bytes.
func startWithMemory(t *testing.T, mib, maxValueBytes int) *inFlightTest {
	t.Helper()
	t.Setenv("GOMEMLIMIT", fmt.Sprintf("%dMiB", mib))
	a := &inFlightTest{plantedSecrets: newPlantedSecrets(t), other: freshToken(t)}
	text := strings.Replace(memoryConfig, "{name: sessions}", fmt.Sprintf("{name: sessions, max_value_bytes: %d}", maxValueBytes), 1)
	text = strings.Replace(text, "HASH", a.token.HashText(), 1)
	a.write("userinfo.yaml", []byte(text+`  - {name: other, grants: [sessions:get, sessions:set], keys: ["*"], tokens: [{sha256: `+a.other.HashText()+"}]}\nlimits: {per_client: {bytes_per_second: 17179869184}}\n"))
	a.service = a.start("userinfo-memory")
	a.address = a.service.await(`"msg":"serving".*"address":"([^"]+)"`)
	a.kept = a.transport(true)
	a.otherIsServed("before the attack")
	return a
}

// peakMemory returns the largest resident memory of the service so far, in bytes.
func (a *inFlightTest) peakMemory() int64 {
	a.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.service.command.Process.Pid))
	if err != nil {
		a.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		a.t.Fatalf("no VmHWM in %s", status)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		a.t.Fatal(err)
	}
	return kb << 10
}

// memoryLimit returns how much memory, in bytes, a service may have whose GOMEMLIMIT is this number of MiB. With the race
// detector it is three times as much, because the detector's own memory does not count in GOMEMLIMIT.
func memoryLimit(mib int) int64 {
	limit := int64(mib) << 20
	if build, ok := debug.ReadBuildInfo(); ok && slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		limit *= 3
	}
	return limit
}

// transport returns a client of one protocol.
func (a *inFlightTest) transport(http2 bool) *http.Transport {
	var p http.Protocols
	p.SetHTTP1(!http2)
	p.SetHTTP2(http2)
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.ca.Pool()}, Protocols: &p}
	a.t.Cleanup(t.CloseIdleConnections)
	return t
}

// slowTransport returns a client for which little of a response is received before it is read: over HTTP/1.1 the kernel has a
// small buffer, over HTTP/2 a stream has a window of 4 MiB.
func (a *inFlightTest) slowTransport(http2 bool) *http.Transport {
	t := a.transport(http2)
	if http2 {
		return t
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return c, err
	}
	return t
}

// send sends a request and returns the response, whose body is not read, or nil if the service has closed the connection.
func (a *inFlightTest) send(ctx context.Context, t *http.Transport, token access.Token, method, key string, body io.Reader, length int) *http.Response {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+a.address+"/sessions/v1/"+key, body)
	if err != nil {
		a.t.Error(err)
		return nil
	}
	r.ContentLength = int64(length)
	r.Header.Set("Authorization", "Bearer "+string(token))
	response, err := t.RoundTrip(r)
	if err != nil {
		return nil
	}
	return response
}

// otherIsServed sets and gets a small value as the other client.
func (a *inFlightTest) otherIsServed(when string) {
	a.t.Helper()
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		var body io.Reader
		length := 0
		if method == http.MethodPut {
			body, length = strings.NewReader("small"), len("small")
		}
		response := a.send(a.t.Context(), a.kept, a.other, method, "other", body, length)
		if response == nil || response.StatusCode/100 != 2 {
			a.t.Errorf("%s, %s of another client: %+v", when, method, response)
			continue
		}
		_ = response.Body.Close()
	}
}

// withheldBody is a body whose last byte comes only when ctx ends.
type withheldBody struct {
	ctx  context.Context
	left int
}

func (b *withheldBody) Read(p []byte) (int, error) {
	if b.left == 1 {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	n := min(len(p), b.left-1)
	clear(p[:n])
	b.left -= n
	return n, nil
}

// TestService_WithheldBodiesStayWithinMemoryLimit sends many bodies at the same time without their last byte.
func TestService_WithheldBodiesStayWithinMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		name           string
		memory         int // GOMEMLIMIT, in MiB
		size, requests int
		http2          bool
	}{
		{"HTTP/1.1", 256, 1 << 20, 512, false},
		{"HTTP/2", 256, 1 << 20, 512, true},
		{"largest values", 512, store.LargestValue, 64, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := startWithMemory(t, test.memory, test.size)
			tr := a.transport(test.http2)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var all sync.WaitGroup
			var refused, slow atomic.Int64
			for range test.requests {
				all.Go(func() {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					response := a.send(ctx, tr, a.token, http.MethodPut, "attack", &withheldBody{ctx, test.size}, test.size)
					if response == nil {
						return
					}
					cancel() // Close waits for the body
					_ = response.Body.Close()
					switch response.StatusCode {
					case http.StatusTooManyRequests:
						refused.Add(1)
					case http.StatusRequestTimeout:
						slow.Add(1)
					default:
						t.Errorf("status %d", response.StatusCode)
					}
				})
			}
			a.otherIsServed("during the attack")
			all.Wait()
			a.otherIsServed("after the attack")
			peak, limit := a.peakMemory(), memoryLimit(test.memory)
			t.Logf("%d bodies of %d bytes: peak memory %d MB, 429: %d, 408: %d", test.requests, test.size, peak/1e6, refused.Load(), slow.Load())
			if peak > limit {
				t.Errorf("the service had %d bytes; its limit is %d", peak, limit)
			}
			if refused.Load()+slow.Load() == 0 { // on a busy machine, bodies may end before their memory reaches its bound
				t.Error("no body was refused, or ended because it was slow")
			}
		})
	}
}

// TestService_UnreadResponsesStayWithinMemoryLimit gets large values at the same time without reading them.
func TestService_UnreadResponsesStayWithinMemoryLimit(t *testing.T) {
	const requests, size, memory = 128, store.LargestValue, 512 // GOMEMLIMIT in MiB
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			a := startWithMemory(t, memory, size)
			a.learnSize(http2, size)
			tr := a.slowTransport(http2)
			var all, known sync.WaitGroup
			var sent, refused atomic.Int64
			known.Add(requests)
			for range requests {
				all.Go(func() {
					response := a.send(t.Context(), tr, a.token, http.MethodGet, "large", nil, 0)
					known.Done()
					if response == nil {
						return
					}
					switch response.StatusCode {
					case http.StatusTooManyRequests:
						refused.Add(1)
					case http.StatusOK:
						sent.Add(1)
						known.Wait() // reads nothing while others ask
					default:
						t.Errorf("status %d", response.StatusCode)
					}
					_ = response.Body.Close()
				})
			}
			a.otherIsServed("during the attack")
			all.Wait()
			a.otherIsServed("after the attack")
			peak, limit := a.peakMemory(), memoryLimit(memory)
			t.Logf("%d gets of %d bytes: peak memory %d MB, 200: %d, 429: %d", requests, size, peak/1e6, sent.Load(), refused.Load())
			if peak > limit {
				t.Errorf("the service had %d bytes; its limit is %d", peak, limit)
			}
			if refused.Load() == 0 {
				t.Error("no get was refused")
			}
		})
	}
}

// learnSize sets a value of this size and gets it several times, so that the service knows how large the client's values are.
func (a *inFlightTest) learnSize(http2 bool, size int) {
	a.t.Helper()
	tr := a.transport(http2)
	for n := range 12 {
		method, body, length := http.MethodGet, io.Reader(nil), 0
		if n == 0 {
			method, body, length = http.MethodPut, bytes.NewReader(make([]byte, size)), size
		}
		response := a.send(a.t.Context(), tr, a.token, method, "large", body, length)
		if response == nil || response.StatusCode/100 != 2 {
			a.t.Fatalf("%s of a large value: %+v", method, response)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			a.t.Fatal(err)
		}
		_ = response.Body.Close()
	}
}
