// Package chromium lets tests use web pages as people do, in a headless Chromium of Debian's package chromium.
//
// Every method waits for what it needs, at most two minutes, and fails the test if that does not come. A click or an input
// goes to the element itself and not to a place on the screen, so it does not matter whether a page still moves while it
// loads.
//
// The package does not defend against anything: Chromium runs without its sandbox, because tests run as root.
package chromium

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const program = "/usr/bin/chromium"

// patience limits each wait. Most pages take a second; the first one of a wiki takes several seconds.
const patience = 2 * time.Minute

// Browser is a running Chromium.
type Browser struct{ ctx context.Context }

// Start starts a browser. It ends at the end of the test.
func Start(t *testing.T) *Browser {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v; run internal/testenv/packages.sh", err)
	}
	var log bytes.Buffer
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 900),
		chromedp.Flag("lang", "en"),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.CombinedOutput(&log),
	)...)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		stop() // waits until Chromium has ended
		if t.Failed() {
			t.Logf("Chromium logged:\n%s", log.String())
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v\n%s", err, log.String())
	}
	return &Browser{ctx}
}

// Tab is one tab.
type Tab struct {
	t    *testing.T
	ctx  context.Context
	name string // for messages and names of screenshots
}

// NewProfile opens a tab of a new profile: of somebody who has no cookies yet.
func (b *Browser) NewProfile(t *testing.T, name string) *Tab {
	t.Helper()
	return newTab(t, b.ctx, name, chromedp.WithNewBrowserContext())
}

// NewTab opens another tab of the same profile. Its cookies are the same.
func (tab *Tab) NewTab(name string) *Tab {
	tab.t.Helper()
	return newTab(tab.t, tab.ctx, name)
}

func newTab(t *testing.T, parent context.Context, name string, options ...chromedp.ContextOption) *Tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, options...)
	tab := &Tab{t: t, ctx: ctx, name: name}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening tab %s: %v", name, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			tab.saveFailure()
		}
		closeTab()
	})
	return tab
}

// Open opens a page and waits until it has loaded.
func (tab *Tab) Open(url string) {
	tab.t.Helper()
	tab.must("opening "+url, chromedp.Navigate(url))
}

// Reload loads the page again.
func (tab *Tab) Reload() {
	tab.t.Helper()
	tab.must("reloading the page", chromedp.Reload())
}

// ReloadUncached loads the page again and uses nothing that the browser has kept. After a logout in another profile,
// MediaWiki may answer a usual reload with 304, because nobody has edited the page.
func (tab *Tab) ReloadUncached() {
	tab.t.Helper()
	tab.Follow(func() {
		tab.t.Helper()
		tab.must("reloading the page", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			ignore := true
			_, err := cdp.Call(ctx, target, page.Reload, page.ReloadParams{IgnoreCache: &ignore})
			return err
		}))
	})
}

// Follow does something that leads to another page, and waits until that page has loaded.
func (tab *Tab) Follow(act func()) {
	tab.t.Helper()
	tab.Run("window.isOldPage = true")
	act()
	tab.Await("!window.isOldPage && document.readyState === 'complete'")
}

// must runs an action.
func (tab *Tab) must(doing string, action chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		tab.t.Fatalf("tab %s: %s: %v", tab.name, doing, err)
	}
}

// Await waits until a JavaScript expression is true. The page may change to another one meanwhile.
func (tab *Tab) Await(expression string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	for {
		// While a page loads, the expression may have no page or no value.
		isTrue, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && isTrue {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			tab.t.Fatalf("tab %s: not true after %v: %s (%v)", tab.name, patience, expression, err)
		}
	}
}

// AwaitElement waits until a CSS selector finds an element.
func (tab *Tab) AwaitElement(selector string) {
	tab.t.Helper()
	tab.Await(find(selector))
}

// Has reports whether a CSS selector finds an element now.
func (tab *Tab) Has(selector string) bool {
	tab.t.Helper()
	return Eval[bool](tab, "Boolean("+find(selector)+")")
}

// Text returns the text of an element as a reader sees it.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	tab.AwaitElement(selector)
	return strings.TrimSpace(Eval[string](tab, find(selector)+".innerText"))
}

// Fill puts a text into an input field.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.AwaitElement(selector)
	Eval[bool](tab, fmt.Sprintf(`(field => {
		field.focus();
		field.value = %s;
		field.dispatchEvent(new Event('input', {bubbles: true}));
		field.dispatchEvent(new Event('change', {bubbles: true}));
		return true;
	})(%s)`, Quote(text), find(selector)))
}

// Click clicks on an element. It does not wait for what happens then.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.AwaitElement(selector)
	Eval[bool](tab, find(selector)+".click() || true")
}

// Run runs JavaScript in the page and waits until the promise that it returns is kept.
func (tab *Tab) Run(script string) {
	tab.t.Helper()
	Eval[bool](tab, "Promise.resolve("+script+").then(() => true)", chromedp.EvalAwaitPromise)
}

// Eval returns the value of an expression.
func Eval[T any](tab *Tab, expression string, options ...chromedp.EvaluateOption) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, append(options, func(p *runtime.EvaluateParams) {
		userGesture := true
		p.UserGesture = &userGesture
	})...))
	if err != nil {
		tab.t.Fatalf("tab %s: %s: %v", tab.name, expression, err)
	}
	return v
}

// find returns a JavaScript expression for the first element that a CSS selector finds.
func find(selector string) string { return "document.querySelector(" + Quote(selector) + ")" }

// Quote returns a JavaScript string.
func Quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // every string can be encoded
	}
	return string(quoted)
}

// CopyCookies gives this tab's profile the cookies that another profile has now for the page that it shows, as somebody has
// who has stolen them.
func (tab *Tab) CopyCookies(from *Tab) {
	tab.t.Helper()
	var cookies []*network.CookieParam
	from.must("reading the cookies", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		all, err := cdp.Call(ctx, target, network.GetCookies, network.GetCookiesParams{})
		for _, c := range all.Cookies {
			cookies = append(cookies, &network.CookieParam{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, HTTPOnly: c.HTTPOnly})
		}
		return err
	}))
	if len(cookies) == 0 {
		tab.t.Fatalf("tab %s has no cookies", from.name)
	}
	tab.must("setting cookies", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.SetCookies, network.SetCookiesParams{Cookies: cookies})
		return err
	}))
}

// Screenshot saves a picture of the page as name.png in the test's directory of artifacts.
func (tab *Tab) Screenshot(name string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tab.t.Fatalf("tab %s: screenshot %s: %v", tab.name, name, err)
	}
	file := filepath.Join(tab.t.ArtifactDir(), name+".png")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		tab.t.Fatal(err)
	}
}

// saveFailure logs what a tab shows, and tries to save a picture of it.
func (tab *Tab) saveFailure() {
	ctx, cancel := context.WithTimeout(tab.ctx, 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	tab.t.Logf("tab %s shows (%v) %s", tab.name, err, text)
	if picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(filepath.Join(tab.t.ArtifactDir(), "failed-"+tab.name+".png"), picture, 0o600)
	}
}
