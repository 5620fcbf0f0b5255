package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/balsa-raft/balsa/lab/serve"
	"github.com/balsa-raft/balsa/lab/site"
)

// limit bounds what a test waits for: it says "this never happens", not "this is slow".
const limit = 2 * time.Minute

var (
	// hosts are the addresses of the page, by the name of the host.
	hosts = map[string]string{}
	// chromium makes tabs.
	chromium context.Context
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	path := os.Getenv("BALSA_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		return 1, fmt.Errorf("these tests need Chromium: make test installs it on Debian; elsewhere install it, or name it in BALSA_CHROMIUM")
	}
	native := httptest.NewServer(serve.New(serve.Options{Engines: 64}))
	defer native.Close()
	dir, err := os.MkdirTemp("", "balsa-site")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if _, err := site.Build(context.Background(), dir); err != nil {
		return 1, err
	}
	static := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer static.Close()
	hosts["native"], hosts["wasm"] = native.URL+"/", static.URL+"/"

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1280, 860))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	// What chromedp does not know yet it complains of itself; it is no matter here.
	browser, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	defer cancel()
	if err := chromedp.Run(browser); err != nil {
		return 1, fmt.Errorf("start %s: %w", path, err)
	}
	chromium = browser
	return m.Run(), nil
}

// tab is one page that is open. Whatever it complains about fails its test.
type tab struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// look is how a page is looked at.
type look struct {
	width, height int64
	dark, motion  bool
	language      string
}

// open opens the page of a host and waits until it is ready.
func open(t testing.TB, host, address string, l look) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, p.listen)
	if err := chromedp.Run(ctx); err != nil { // The tab lives as long as this context, and not as long as that of what is done first.
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.complaints {
			t.Errorf("the page complains: %s", c)
		}
	})
	if l.width == 0 {
		l.width, l.height = 1280, 860
	}
	scheme, motion := "light", "reduce"
	if l.dark {
		scheme = "dark"
	}
	if l.motion {
		motion = "no-preference"
	}
	p.do(
		chromedp.EmulateViewport(l.width, l.height),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
		}),
		cdplog.Enable(), runtime.Enable(),
		// The language is chosen before the page's own script runs, once.
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(fmt.Sprintf(
				`if (!sessionStorage.chosen) { sessionStorage.chosen = 1; localStorage.clear(); localStorage.setItem("balsa-language", %q); }`, l.language)).Do(ctx)
			return err
		}),
		chromedp.Navigate(hosts[host]+address),
		chromedp.WaitReady(`body[data-ready="true"]`),
	)
	return p
}

func (p *tab) listen(event any) {
	complaint := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			for _, a := range e.Args {
				complaint += " " + string(a.Value) + a.Description
			}
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.LevelError || e.Entry.Level == cdplog.LevelWarning {
			complaint = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if complaint != "" {
		p.mu.Lock()
		p.complaints = append(p.complaints, complaint)
		p.mu.Unlock()
	}
}

func (p *tab) do(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// js evaluates an expression, waits if it is a promise, and puts what comes of it into result.
func (p *tab) js(result any, format string, args ...any) {
	p.t.Helper()
	wait := func(e *runtime.EvaluateParams) *runtime.EvaluateParams { return e.WithAwaitPromise(true) }
	var raw json.RawMessage
	p.do(chromedp.Evaluate(fmt.Sprintf("(async () => JSON.stringify((await (async () => (%s))()) ?? null))()", fmt.Sprintf(format, args...)), &raw, wait))
	if result == nil {
		return
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		p.t.Fatalf("%s: %v", raw, err)
	}
	if err := json.Unmarshal([]byte(text), result); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
}

// until waits for an expression to become true, frame by frame.
func (p *tab) until(format string, args ...any) {
	p.t.Helper()
	condition := fmt.Sprintf(format, args...)
	var ok bool
	p.js(&ok, `new Promise((resolve) => { const deadline = performance.now() + %d;
		const look = () => { if (%s) resolve(true); else if (performance.now() > deadline) resolve(false); else requestAnimationFrame(look); }; look(); })`, (limit / 2).Milliseconds(), condition)
	if !ok {
		var where string
		p.js(&where, `location.hash + " " + document.querySelector("#toast").textContent + " " + balsa.session.state.t`)
		p.t.Fatalf("it never becomes true: %s (at %s)", condition, where)
	}
}

// settled waits until nothing has been asked of the engine that is not answered, and the page shows it.
func (p *tab) settled() {
	p.t.Helper()
	p.until(`!balsa.session.busy && !balsa.session.playing`)
	p.js(nil, `new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
}

// press presses keys, one after the other.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(k))
	}
}

// click clicks on what a selector finds, where it is. What is drawn anew in between is looked for again.
func (p *tab) click(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	for {
		err := chromedp.Run(ctx, chromedp.ScrollIntoView(selector, chromedp.ByQuery), chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible))
		if err == nil {
			return
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "Could not find node") {
			p.t.Fatalf("click on %s: %v", selector, err)
		}
	}
}

// moment is where the run is, and the hash of all that has happened up to there.
type moment struct {
	T    int64  `json:"t"`
	Hash string `json:"hash"`
}

func (p *tab) moment() (m moment) {
	p.t.Helper()
	p.js(&m, `({ t: balsa.session.state.t, hash: balsa.session.state.hash })`)
	return m
}

// free leaves the tour for a run of its own.
func (p *tab) free(members int, seed int) {
	p.t.Helper()
	p.js(nil, `balsa.tour.free(), await balsa.session.open({ v: 1, seed: %d, setup: { members: %d } }, { t: 0 })`, seed, members)
	p.settled()
}

// violations are what axe finds wrong with the page as it is.
func (p *tab) violations() []string {
	p.t.Helper()
	axe, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(chromedp.Evaluate(string(axe)+"; true", nil))
	var found []string
	p.js(&found, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => v.id + ": " + v.help + " at " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(" | ")))`)
	return found
}

func quoted(s string) string { return strings.ReplaceAll(s, `"`, `\"`) }
