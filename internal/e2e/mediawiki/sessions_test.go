//go:build integration

package mediawiki_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/internal/e2e/mediawiki"
)

// TestWiki_KeepsSessionsInService is what people do with a wiki, on both versions and with both classes.
func TestWiki_KeepsSessionsInService(t *testing.T) {
	for _, v := range mediawiki.Versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			w := startWiki(t, v)
			for name, use := range map[string]func(*testing.T){
				"ours":  func(t *testing.T) { w.useOurs(t) },
				"stock": w.useStock,
				"ours, with a certificate": func(t *testing.T) {
					w.useOurs(t, "tokenFile", nil) // the recorder asks for no certificate
					w.useDirectly(t, map[string]any{"certFile": filepath.Join(w.files, "client.crt"), "keyFile": filepath.Join(w.files, "client.key")})
				},
				"ours, with signed requests": func(t *testing.T) {
					w.useOurs(t, "tokenFile", nil)
					w.useDirectly(t, map[string]any{"signatureKeyFile": filepath.Join(w.files, "signature.key"), "signatureKeyId": "dev"})
				},
			} {
				t.Run(name, func(t *testing.T) {
					use(t)
					testPeople(t, w)
				})
			}
			t.Run("renewal", func(t *testing.T) { testRenewal(t, w) })
			t.Run("a request that straddles a logout", func(t *testing.T) { testStraddlingRequest(t, w) })
			t.Run("derived session ids", func(t *testing.T) { testDerivedIDs(t, w) })
			t.Run("change of the class", func(t *testing.T) { testChangeOfClass(t, w) })
			t.Run("notice of a logout", func(t *testing.T) { testLogoutNotice(t, w) })
			t.Run("store that cannot be read", func(t *testing.T) { testUnreadableStore(t, w) })
			t.Run("dead endpoint", func(t *testing.T) { testDeadEndpoint(t, w) })
			t.Run("request ids", func(t *testing.T) { testRequestIDs(t, w) })
			t.Run("cost", func(t *testing.T) { testCost(t, w) })
		})
	}
}

// useDirectly makes the wiki ask the service without the recorder, with these parameters. The service then sees the
// client's own certificate, and the authority that the client signed.
func (w *wiki) useDirectly(t *testing.T, params map[string]any) {
	t.Helper()
	w.config.Cache["url"], w.config.Cache["caBundlePath"] = w.store.target+"/", filepath.Join(w.files, "ca.crt")
	for name, value := range params {
		w.config.Cache[name] = value
	}
	w.writeConfig(t)
}

func testPeople(t *testing.T, w *wiki) {
	t.Run("an anonymous reader has no session", func(t *testing.T) {
		w.take(t)
		b := newBrowser(t, w)
		if page := b.get("Main_Page"); !strings.Contains(page, `"wgUserName":null`) {
			t.Errorf("the page does not say that nobody is logged in:\n%s", page)
		}
		if seen := w.take(t); len(seen) != 0 {
			t.Errorf("the view asked the store: %+v", seen)
		}
	})
	for name, logIn := range map[string]func(*browser){"form": (*browser).logInByForm, "API": (*browser).logInByAPI} {
		t.Run("log in by "+name+", read, edit and log out", func(t *testing.T) {
			b := newBrowser(t, w)
			logIn(b)
			if page := b.get("Main_Page"); !strings.Contains(page, `"wgUserName":"`+userName+`"`) {
				t.Errorf("the page does not say who is logged in:\n%s", page)
			}
			b.editByAPI("Page by API", "by API "+rand.Text())
			b.editByForm("Page by form", "by form "+rand.Text())
			thief := b.copy()
			thief.expectUser(userName) // a stolen cookie works until the logout
			if name == "form" {
				if page := b.logOutByForm(); strings.Contains(page, "mw-userinfo-logout") {
					t.Errorf("a logout that is everywhere has a notice:\n%s", page)
				}
			} else if r := b.logOutByAPI(); len(r.Warnings) != 0 {
				t.Errorf("a logout that is everywhere has a warning: %+v", r)
			}
			b.expectUser("")
			thief.expectUser("")
		})
	}
	t.Run("a forged cookie logs nobody in", func(t *testing.T) {
		b := newBrowser(t, w)
		b.logInByAPI()
		for _, c := range b.client.Jar.Cookies(b.wiki) {
			forger := b.copy()
			forged := *c
			forged.Value = strings.Repeat("f", len(c.Value))
			forger.client.Jar.SetCookies(b.wiki, []*http.Cookie{&forged})
			if forger.sessionID() != b.sessionID() { // the other cookies are no secrets
				forger.expectUser("")
			}
		}
		b.expectUser(userName)
	})
}

// sessionKey returns the service's key of a browser's session.
func (w *wiki) sessionKey(b *browser) string { return w.config.Prefix + ":MWSession:" + b.sessionID() }

func testRenewal(t *testing.T, w *wiki) {
	for name, use := range map[string]func(*testing.T){"ours": func(t *testing.T) { w.useOurs(t) }, "stock": w.useStock} {
		t.Run(name, func(t *testing.T) {
			use(t)
			b := newBrowser(t, w)
			b.logInByAPI()
			b.get("Main_Page") // adds to the session what the pages need
			w.take(t)
			b.get("Main_Page")
			if written := matching(w.take(t), "", http.MethodPut); len(written) != 0 { // "" is part of every key
				t.Errorf("a view long before half of the session's time has passed wrote %+v", written)
			}
			w.config.Expiry = 36000 // so that more than half of the session's time has passed
			w.writeConfig(t)
			b.get("Main_Page")
			written := matching(w.take(t), w.sessionKey(b), http.MethodPut)
			if len(written) != 1 || written[0].Status != http.StatusNoContent {
				t.Fatalf("the session was not renewed once: %+v", written)
			}
			if ttl, _ := strconv.Atoi(written[0].TTL); name == "ours" && (ttl < 35000 || ttl > 36000) || name == "stock" && written[0].TTL != "" {
				t.Errorf("the renewal has the TTL %q", written[0].TTL)
			}
			b.expectUser(userName)
		})
	}
}

// testStraddlingRequest lets a request load the session before a logout, and save the session after it. The session must
// not come back.
func testStraddlingRequest(t *testing.T, w *wiki) {
	for name, use := range map[string]func(*testing.T){"ours": func(t *testing.T) { w.useOurs(t) }, "stock": w.useStock} {
		t.Run(name, func(t *testing.T) {
			use(t)
			w.config.Cache["reqTimeout"] = 60 // the test holds a request
			w.writeConfig(t)
			b := newBrowser(t, w)
			b.logInByAPI()
			key := w.sessionKey(b)
			thief, id := b.copy(), b.sessionID()
			token := b.token("csrf")
			w.take(t)

			// A token of a kind that the session has none of changes the session.
			holding, released, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			hold := sync.OnceFunc(func() { close(holding) })
			release := sync.OnceFunc(func() { close(released) })
			w.store.setIntercept(func(_ http.ResponseWriter, q *http.Request) bool {
				if q.Method == http.MethodPut && strings.Contains(q.URL.Path, id) {
					hold()
					<-released
				}
				return false
			})
			go func() {
				defer close(ended)
				thief.token("createaccount")
			}()
			defer func() {
				release()
				<-ended
				w.store.setIntercept(nil)
			}()
			select {
			case <-holding:
			case <-time.After(runTimeout):
				t.Fatal("the request did not write its session")
			}
			b.api("action", "logout", "token", token)
			release()
			<-ended

			seen := matching(w.take(t), key, http.MethodPut, http.MethodDelete)
			if len(seen) != 2 || seen[1].Method != http.MethodPut || seen[1].Status != http.StatusConflict {
				t.Errorf("the late write was not refused: %+v", seen)
			}
			b.expectUser("")
			thief.expectUser("")
		})
	}
}

// testDerivedIDs checks sessions like OAuth's: their id is the same each time, so that it is set again after a delete.
func testDerivedIDs(t *testing.T, w *wiki) {
	for name, use := range map[string]func(*testing.T){"ours": func(t *testing.T) { w.useOurs(t) }, "stock": w.useStock} {
		for _, prefix := range []string{"enwiki", apiPrefix} {
			t.Run(name+", prefix "+prefix, func(t *testing.T) {
				use(t)
				w.config.Prefix = prefix
				w.writeConfig(t)
				b := newBrowser(t, w)
				b.header.Set("X-Derived-User", userName)
				b.header.Set("X-Derived-Token", rand.Text())
				w.take(t)
				b.token("csrf") // the session gets a secret, and is saved
				written := matching(w.take(t), prefix+":MWSession:", http.MethodPut)
				if len(written) == 0 || written[0].Status != http.StatusNoContent {
					t.Fatalf("the session was not saved: %+v", written)
				}
				key := written[0].Key
				w.set(t, key, "{}") // is no session: MediaWiki deletes it
				b.expectUser(userName)
				b.token("csrf")
				seen := w.take(t)
				sets := matching(seen, key, http.MethodPut)
				if len(matching(seen, key, http.MethodDelete)) == 0 || len(sets) == 0 {
					t.Fatalf("the session was not deleted and set again: %+v", seen)
				}
				want := http.StatusConflict // the fence
				if prefix == apiPrefix {
					want = http.StatusNoContent
				}
				for _, q := range sets {
					if q.Status != want {
						t.Errorf("a set after the delete: %d, want %d", q.Status, want)
					}
				}
			})
		}
	}
}

// set stores a value under a key, with the HMAC of the wiki.
func (w *wiki) set(t *testing.T, key, value string) {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(hmacKey))
	mac.Write([]byte(value))
	body := "JSON." + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + "." + value
	ca, err := os.ReadFile(filepath.Join(w.files, "ca.crt"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("the service's CA: %v", err)
	}
	token, err := os.ReadFile(filepath.Join(w.files, "token"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.store.target+"/"+url.PathEscape(key), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	response, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("setting a value: %s", response.Status)
	}
}

// testChangeOfClass changes from the stock class to ours and back, while people are logged in.
func testChangeOfClass(t *testing.T, w *wiki) {
	w.useStock(t)
	before := newBrowser(t, w)
	before.logInByForm()
	w.useOurs(t)
	before.expectUser(userName)
	before.editByAPI("Page of two classes", "text "+rand.Text())
	between := newBrowser(t, w)
	between.logInByForm()
	w.useStock(t)
	before.expectUser(userName)
	between.expectUser(userName)
	thief := between.copy()
	between.logOutByForm()
	w.useOurs(t)
	thief.expectUser("")
	before.expectUser(userName)
}

func testLogoutNotice(t *testing.T, w *wiki) {
	w.useOurs(t)
	for answer, want := range map[string]string{"503-not-everywhere": "not yet everywhere", "503-unavailable": "could not end this session"} {
		t.Run(answer, func(t *testing.T) {
			defer w.store.setIntercept(nil)
			w.cacheLog(t)
			b := newBrowser(t, w)
			b.logInByAPI()
			w.store.answer(http.MethodDelete, answer)
			if page := b.logOutByForm(); !strings.Contains(page, want) {
				t.Errorf("the page after the logout has no notice:\n%s", page)
			}
			b.expectUser("")

			w.store.setIntercept(nil)
			b = newBrowser(t, w)
			b.logInByAPI()
			w.store.answer(http.MethodDelete, answer)
			if r := b.logOutByAPI(); !strings.Contains(r.Warnings["logout"].Warnings, want) {
				t.Errorf("the API has no warning: %+v", r)
			}
			if page := b.get("Main_Page"); !strings.Contains(page, want) {
				t.Errorf("the next page has no notice:\n%s", page)
			}
			if page := b.get("Main_Page"); strings.Contains(page, want) {
				t.Error("the notice is shown twice")
			}
			if log := w.cacheLog(t); !strings.Contains(log, strings.TrimPrefix(answer, "503-")) || strings.Contains(log, "MWSession") {
				t.Errorf("the log lacks the problem, or has a session key:\n%s", log)
			}
		})
	}
}

// testUnreadableStore checks what a user sees of a get that fails.
func testUnreadableStore(t *testing.T, w *wiki) {
	defer w.store.setIntercept(nil)
	w.useOurs(t)
	b := newBrowser(t, w)
	b.logInByAPI()
	same := b.copy()
	id := b.sessionID()
	w.cacheLog(t)
	w.take(t)
	w.store.answer(http.MethodGet, "503-unavailable")
	b.expectUser("")
	w.store.setIntercept(nil)
	if deleted := matching(w.take(t), id, http.MethodDelete); len(deleted) != 0 {
		t.Errorf("the session was deleted because it could not be read: %+v", deleted)
	}
	if log := w.cacheLog(t); !strings.Contains(log, "unavailable") || strings.Contains(log, id) {
		t.Errorf("the log lacks the problem, or has the session key:\n%s", log)
	}
	same.expectUser(userName) // the session exists
	t.Logf("after a get that failed, the browser has the session cookie: %v", b.sessionID() == id)
}

// testDeadEndpoint checks that PHP requests remember together that an endpoint does not answer.
func testDeadEndpoint(t *testing.T, w *wiki) {
	var asked atomic.Int64
	dead := silent(t, func(net.Conn) { asked.Add(1) })
	w.useOurs(t, "url", []string{"https://" + dead + "/sessions/v1/", w.store.url})
	b := newBrowser(t, w)
	b.logInByAPI()
	const views = 20
	for range views {
		b.expectUser(userName)
	}
	if n := asked.Load(); n == 0 || n > views/2 {
		t.Errorf("%d connections to the dead endpoint in a login and %d views; APCu should remember it", n, views)
	}
}

func testRequestIDs(t *testing.T, w *wiki) {
	const id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	w.useOurs(t)
	b := newBrowser(t, w)
	b.logInByAPI()
	w.take(t)
	b.header.Set("X-Request-Id", id)
	b.get("Main_Page")
	seen := w.take(t)
	if len(seen) == 0 || slices.ContainsFunc(seen, func(q storeRequest) bool { return q.RequestID != id }) {
		t.Errorf("a request to the service does not have the request id of the page view: %+v", seen)
	}
}
