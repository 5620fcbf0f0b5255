package browser

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/balsa-raft/balsa/lab"
)

const chromedpArrowRight, chromedpArrowLeft = kb.ArrowRight, kb.ArrowLeft

// everyInput is what the protocol takes.
var everyInput = []string{
	lab.InputStop, lab.InputCrash, lab.InputPause, lab.InputResume, lab.InputRestart, lab.InputWipe, lab.InputTimeout, lab.InputTransfer, lab.InputAdd, lab.InputRemove,
	lab.InputPromote, lab.InputDemote, lab.InputDrop, lab.InputDuplicate, lab.InputDelay, lab.InputDeliver, lab.InputCut, lab.InputMend, lab.InputPartition, lab.InputHeal,
	lab.InputClient, lab.InputSet, lab.InputLie, lab.InputHonest, lab.InputRot,
}

// given is what was done last, and how often anything was.
func (p *tab) given() (what string, count int) {
	p.t.Helper()
	var got struct {
		Do    string `json:"do"`
		Count int    `json:"count"`
	}
	p.js(&got, `(() => { const inputs = balsa.session.branch.run.inputs ?? []; return { do: inputs.at(-1)?.do ?? "", count: inputs.length }; })()`)
	return got.Do, got.Count
}

// gives does something, which has to be this input.
func (p *tab) gives(what string, do func()) {
	p.t.Helper()
	_, before := p.given()
	do()
	p.settled()
	var toast string
	if got, after := p.given(); got != what || after != before+1 {
		p.js(&toast, `document.querySelector("#toast").textContent`)
		p.t.Fatalf("%d more inputs, the last is %q and should be %q; the page says %q", after-before, got, what, toast)
	}
}

// act presses a member's or a message's button.
func (p *tab) act(what string) {
	p.t.Helper()
	p.gives(what, func() { p.click(fmt.Sprintf(`#panel-inspect [data-action=%q]`, what)) })
}

func (p *tab) choose(id int) {
	p.t.Helper()
	p.click(fmt.Sprintf(`.member[data-member="%d"] .disc`, id))
	p.until(`document.querySelector("#tab-inspect").getAttribute("aria-selected") === "true"`)
}

// at goes to a time, in milliseconds.
func (p *tab) at(ms int) {
	p.t.Helper()
	p.js(nil, `await balsa.session.seek(%d * 1e6)`, ms)
	p.settled()
}

// advance lets so many milliseconds pass, and waits until the page shows what came of it: a button that is pressed before is in its old place.
func (p *tab) advance(ms int) {
	p.t.Helper()
	p.js(nil, `await balsa.session.advance(balsa.session.state.t + %d * 1e6)`, ms)
	p.settled()
}

// TestEveryControl uses every control there is, with the mouse, and then plays the run that came of it in the other host.
func TestEveryControl(t *testing.T) {
	p := open(t, "native", "", look{language: "en"})
	p.free(5, 7)
	p.at(600)
	for _, step := range []struct {
		member int
		do     []string
	}{
		{1, []string{"pause", "resume", "stop", "restart"}}, {2, []string{"crash", "restart", "timeout"}}, {3, []string{"transfer"}},
	} {
		p.choose(step.member)
		for _, what := range step.do {
			if what == "transfer" {
				p.toALeaderBut(step.member)
			}
			p.act(what)
		}
	}
	p.advance(600) // the handover ends
	p.toALeaderBut(5)
	p.choose(5)
	p.act("demote")
	p.advance(300)
	p.until(`balsa.session.member(5).in === "learner"`)
	p.advance(900)
	p.toALeaderBut(5)
	p.choose(5)
	p.act("promote")
	p.advance(600)
	p.act("remove")
	p.advance(900)
	p.act("add")
	p.choose(4)
	p.act("lie")
	p.act("honest")
	p.act("rot")
	p.act("wipe")
	p.act("restart")

	for _, what := range []string{"duplicate", "delay", "drop", "deliver"} {
		p.until(`balsa.session.state.messages.length > 0 || (balsa.session.busy || balsa.session.step("event"), false)`)
		p.press("n")
		p.act(what)
	}

	p.click("#tab-do")
	p.gives("partition", func() { p.click(`input[name="part"][value="1"]`); p.click(`button[data-action="partition"]`) })
	p.gives("heal", func() { p.click(`button[data-action="heal"]`) })
	p.gives("cut", func() { p.click(`button[data-action="cut"]`) })
	p.gives("mend", func() { p.click(`button[data-action="mend"]`) })
	for name, value := range map[string]string{"loss": "100", "delay": "30", "heartbeat": "60", "electionMax": "350"} {
		p.gives("set", func() { p.change(fmt.Sprintf(`#panel-do input[name=%q]`, name), value) })
	}
	for _, name := range []string{"preVote", "checkQuorum", "checkQuorum", "leaseReads"} {
		p.gives("set", func() { p.click(fmt.Sprintf(`#panel-do input[name=%q]`, name)) })
	}
	p.gives("add", func() { p.click(`button[data-action="add-new"]`) })
	for i, kind := range []string{"set", "add", "cas", "delete", "read"} {
		p.change(`#panel-do select[name="kind"]`, kind)
		p.change(`#panel-do select[name="client"]`, fmt.Sprint(i%4+1))
		if i == 4 {
			p.advance(3000)
		}
		p.gives("client", func() { p.click("#ask") })
	}
	p.lasso(t)
	p.advance(500)

	var done []string
	p.js(&done, `[...new Set(balsa.session.branch.run.inputs.map((i) => i.do))]`)
	for _, what := range everyInput {
		if !slices.Contains(done, what) {
			t.Errorf("no control does %q", what)
		}
	}
	p.playsAgain(t)
}

// toALeaderBut lets time pass until some member leads, and not this one.
func (p *tab) toALeaderBut(id int) {
	p.t.Helper()
	p.until(`(balsa.session.leader() && balsa.session.leader().id !== %d && balsa.session.leader().commit > 0 && balsa.session.leader().commit === balsa.session.leader().last) ||
		(balsa.session.busy || balsa.session.advance(balsa.session.state.t + 50e6), false)`, id)
	p.settled()
}

// change sets a field, as a reader does.
func (p *tab) change(selector, value string) {
	p.t.Helper()
	p.js(nil, `(() => { const e = document.querySelector("%s"); e.value = %q; e.dispatchEvent(new Event("input", { bubbles: true })); e.dispatchEvent(new Event("change", { bubbles: true })); return true; })()`,
		quoted(selector), value)
}

// lasso draws a line around the first member, which is cut off then.
func (p *tab) lasso(t *testing.T) {
	t.Helper()
	var box struct{ X, Y, R float64 }
	p.js(&box, `(() => { const b = document.querySelector('.member[data-member="1"] .disc').getBoundingClientRect(); return { X: b.x + b.width / 2, Y: b.y + b.height / 2, R: b.width } })()`)
	p.gives("partition", func() {
		mouse := func(kind input.MouseType, x, y float64) chromedp.Action {
			return input.DispatchMouseEvent(kind, x, y).WithButton(input.Left).WithButtons(1).WithClickCount(1)
		}
		corners := [][2]float64{{-1, -1}, {0, -1.1}, {1, -1}, {1.1, 0}, {1, 1.2}, {0, 1.3}, {-1, 1.2}, {-1.1, 0}, {-1, -0.9}, {-1, -1}}
		p.do(mouse(input.MousePressed, box.X-box.R, box.Y-box.R))
		for _, c := range corners {
			p.do(mouse(input.MouseMoved, box.X+c[0]*box.R, box.Y+c[1]*box.R))
		}
		p.do(mouse(input.MouseReleased, box.X-box.R, box.Y-box.R))
	})
	var cuts int
	p.js(&cuts, `(balsa.session.state.cuts ?? []).filter(([a, b]) => a === 1 || b === 1).length`)
	if cuts == 0 {
		t.Error("the lasso cuts nothing off")
	}
}

// playsAgain opens the run's address in the other host, where it has to come to the same.
func (p *tab) playsAgain(t *testing.T) {
	t.Helper()
	here := p.moment()
	var fragment string
	p.js(&fragment, `(await import("./js/share.js")).fragment(balsa.session.branch.run, { t: balsa.session.state.t })`)
	if !strings.HasPrefix(fragment, "run=1.") {
		t.Fatalf("the run's address is %q", fragment)
	}
	for _, host := range []string{"native", "wasm"} {
		other := open(t, host, "#"+fragment, look{language: "en"})
		other.settled()
		if there := other.moment(); there != here {
			t.Errorf("in the %s host the run comes to %+v, and came to %+v", host, there, here)
		}
	}
}

// TestScrubAndFork goes back, which changes nothing, and does something there, which leaves the old branch as it was.
func TestScrubAndFork(t *testing.T) {
	for _, host := range []string{"native", "wasm"} {
		t.Run(host, func(t *testing.T) {
			p := open(t, host, "", look{language: "en"})
			p.free(5, 3)
			p.at(900)
			p.press("w")
			p.at(1200)
			end := p.moment()
			p.at(400)
			p.at(1200)
			if again := p.moment(); again != end {
				t.Errorf("back and forth it comes to %+v, and came to %+v", again, end)
			}
			// The axis of the diagram is a scrubber, too: press it in its middle.
			var x struct{ X, Y float64 }
			p.js(&x, `(() => { const b = document.querySelector("#spacetime canvas").getBoundingClientRect(); return { X: b.x + 200, Y: b.y + 8 } })()`)
			p.do(chromedp.MouseClickXY(x.X, x.Y))
			p.until(`!balsa.session.busy && balsa.session.state.t < 1200e6`)
			p.press("1", "c")
			p.settled()
			var branches int
			p.js(&branches, `balsa.session.branches.length`)
			if branches != 2 {
				t.Fatalf("%d branches", branches)
			}
			p.click("#branches button:first-of-type")
			p.settled()
			p.at(1200)
			if old := p.moment(); old != end {
				t.Errorf("the old branch comes to %+v, and came to %+v", old, end)
			}
			var crashed bool
			p.js(&crashed, `balsa.session.member(1).process === "crashed"`)
			if crashed {
				t.Error("what was done in the new branch shows in the old one")
			}
		})
	}
}

// TestKeyboardAlone does without a mouse.
func TestKeyboardAlone(t *testing.T) {
	p := open(t, "native", "", look{language: "en"})
	p.free(3, 16)
	p.press("?")
	p.until(`document.querySelector("#dialog").open`)
	p.press(kb.Escape)
	p.until(`!document.querySelector("#dialog").open`)
	p.settled() // the dialog gives the focus back in the next frame
	p.press(".", ".", "m")
	p.until(`balsa.session.state.t > 0`)
	p.at(400)
	p.gives("client", func() { p.press("w") })
	p.gives("stop", func() { p.press("1", "s") })
	p.gives("restart", func() { p.press("s") })
	p.gives("crash", func() { p.press("c") })
	p.gives("restart", func() { p.press("c") })
	p.gives("pause", func() { p.press("2", "p") })
	p.gives("resume", func() { p.press("p") })
	p.gives("timeout", func() { p.press("3", "t") })
	p.gives("partition", func() { p.press("x") })
	p.gives("heal", func() { p.press("h") })
	p.at(p.ms() + 10)
	p.until(`balsa.session.state.messages.length > 0 || (balsa.session.busy || balsa.session.step("event"), false)`)
	p.gives("duplicate", func() { p.press("n", "u") })
	p.gives("delay", func() { p.press("y") })
	p.gives("deliver", func() { p.press("g") })
	p.until(`balsa.session.state.messages.length > 0 || (balsa.session.busy || balsa.session.step("event"), false)`)
	p.gives("drop", func() { p.press(kb.Escape, "n", "d") })
	p.press(" ")
	p.until(`balsa.session.playing`)
	p.press(" ")
	p.settled()
	p.press("+", "-", "[", "]", kb.Home)
	p.settled()
	if p.moment().T != 0 {
		t.Error("Home does not lead to the beginning")
	}
	p.press(kb.End)
	p.settled()

	// Everything can be reached with Tab, members and messages too, and one sees where one is.
	reached := map[string]bool{}
	for range 160 {
		p.press(kb.Tab)
		var at string
		p.js(&at, `(() => { const e = document.activeElement; if (e === document.body) return "";
			const style = getComputedStyle(e.matches("g.hit") ? e.querySelector(".focus") : e.matches("g.flight") ? e.querySelector(".grip") : e);
			const visible = style.outlineStyle !== "none" || style.stroke !== "none";
			return (visible ? "" : "unseen ") + (e.id || (e.matches("g.hit") ? "member" : e.matches("g.flight") ? "message" : e.tagName)); })()`)
		reached[at] = true
	}
	for _, want := range []string{"scenario", "new", "share", "language", "theme", "help", "member", "play", "step", "speed", "CANVAS"} {
		if !reached[want] {
			t.Errorf("Tab does not lead to %s", want)
		}
	}
	for at := range reached {
		if strings.HasPrefix(at, "unseen") {
			t.Errorf("the focus is not seen on %s", at)
		}
	}
}

func (p *tab) ms() int {
	p.t.Helper()
	return int(p.moment().T / 1e6)
}

// TestOnAPhone: nothing is wider than 390 pixels, and every tab shows its panel.
func TestOnAPhone(t *testing.T) {
	for _, language := range []string{"en", "zh"} {
		p := open(t, "wasm", "#scene=partition.8", look{width: 390, height: 844, language: language})
		p.settled()
		for _, name := range []string{"log", "why", "do", "inspect", "time"} {
			p.click("#tab-" + name)
			p.settled()
			var got struct {
				Width int  `json:"width"`
				Shown bool `json:"shown"`
			}
			p.js(&got, `({ width: document.documentElement.scrollWidth, shown: document.querySelector("#panel-%s").offsetHeight > 0 })`, name)
			if got.Width > 390 || !got.Shown {
				t.Errorf("%s, %s: %d pixels wide, shown: %v", language, name, got.Width, got.Shown)
			}
		}
	}
}

// TestInTheDark: the paper is dark if the reader's system is, or the reader says so.
func TestInTheDark(t *testing.T) {
	brightness := func(p *tab) (b int) {
		p.js(&b, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((a, c) => a + Number(c), 0)`)
		return b
	}
	p := open(t, "native", "", look{dark: true, language: "en"})
	if b := brightness(p); b > 200 {
		t.Errorf("the paper's brightness in the dark is %d", b)
	}
	p.click("#theme")
	if b := brightness(p); b < 600 {
		t.Errorf("the paper's brightness in the light is %d", b)
	}
	p.click("#theme")
}

// TestWithoutMotion: steps are discrete, and arrows say where messages go.
func TestWithoutMotion(t *testing.T) {
	p := open(t, "native", "#scene=election.4", look{language: "en"})
	p.settled()
	var got struct {
		Arrows  int  `json:"arrows"`
		Playing bool `json:"playing"`
	}
	p.js(&got, `({ arrows: [...document.querySelectorAll(".flight .arrow")].filter((e) => e.getAttribute("visibility") !== "hidden").length, playing: balsa.session.playing })`)
	if got.Arrows == 0 || got.Playing {
		t.Errorf("%d arrows, playing: %v", got.Arrows, got.Playing)
	}
}

// TestAccessible has axe look at the page in many states.
func TestAccessible(t *testing.T) {
	for _, l := range []look{{language: "en"}, {language: "zh", dark: true}, {language: "en", width: 390, height: 844}} {
		p := open(t, "native", "#scene=partition.8", l)
		p.settled()
		check := func(state string) {
			t.Helper()
			for _, v := range p.violations() {
				t.Errorf("%+v, %s: %s", l, state, v)
			}
		}
		check("the tour")
		for _, name := range []string{"why", "do", "inspect"} {
			p.click("#tab-" + name)
			p.settled()
			check(name)
		}
		p.press("2")
		p.settled()
		check("a member")
		p.press("n")
		p.settled()
		check("a message")
		p.press("?")
		p.until(`document.querySelector("#dialog").open`)
		check("help")
		p.press(kb.Escape)
		p.click("#share")
		p.until(`document.querySelector("#dialog").open`)
		check("sharing")
	}
}

// TestWhatIsExported looks at the picture and the file that the page saves.
func TestWhatIsExported(t *testing.T) {
	p := open(t, "native", "#scene=partition.8", look{language: "en"})
	p.settled()
	var picture string
	p.js(&picture, `(await import("./js/share.js")).standalone(document.querySelector("svg.ring"))`)
	if !strings.HasPrefix(picture, "<svg") || !strings.Contains(picture, "term 2") || strings.Contains(picture, "var(--") {
		t.Errorf("the picture begins with %.200q", picture)
	}
	p.do(chromedp.Navigate(hosts["native"] + "?embed&scene=split.3"))
	p.do(chromedp.WaitReady(`body.embed[data-ready="true"]`))
	p.settled()
	var shown bool
	p.js(&shown, `document.querySelector("#top").offsetHeight > 0`)
	if shown {
		t.Error("an embedded page shows its top bar")
	}
}

// TestABrokenAddressIsSaidSo: an address that was cut short leads to a message and the tour.
func TestABrokenAddressIsSaidSo(t *testing.T) {
	p := open(t, "native", "", look{language: "en"})
	p.do(
		chromedp.ActionFunc(func(ctx context.Context) error { // What is said goes away again by itself, which may be before anybody here looks.
			_, err := page.AddScriptToEvaluateOnNewDocument(`addEventListener("DOMContentLoaded", () => {
				const place = document.querySelector("#toast");
				new MutationObserver(() => { if (!place.hidden) window.said = place.textContent; }).observe(place, { attributes: true, childList: true });
			})`).Do(ctx)
			return err
		}),
		chromedp.Navigate(hosts["native"]+"?broken#run=1.AAAA"),
	)
	p.until(`window.said?.includes("cannot be read")`)
}

// TestANamedMemberWithAnEmptyLog inspects a member as a running cluster has them: it has a name of its own, and its log may be empty behind a snapshot.
func TestANamedMemberWithAnEmptyLog(t *testing.T) {
	for language, want := range map[string][]string{
		"en": {"Member A · m1", "log entries–snapshot14 @ 1", "A goes by a configuration of one member, from entry 2."},
		"zh": {"A · m1", "日志条目–快照14 @ 1", "A 采用条目 2 中的配置，只有一个成员。"},
	} {
		p := open(t, "native", "", look{language: language})
		p.free(3, 1)
		var got string
		p.js(&got, `await (async () => {
			const { Inspector } = await import("./js/inspector.js"), { sentence } = await import("./js/feed.js");
			const { session } = balsa, place = document.createElement("div");
			const member = { ...session.member(1), name: "m1", prefix: { index: 14, term: 1 }, durable: 14, last: 14 };
			new Inspector(place, { state: session.state, member: () => member, can: () => false }, () => {}, () => {}).select({ kind: "member", id: 1 });
			return place.textContent + sentence({ kind: "configuration", member: 1, count: 1, index: 2 });
		})()`)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("in %s it says %q, without %q", language, got, w)
			}
		}
	}
}

// BenchmarkFrame reports what it costs to draw a frame, for five members that send as much as they can at full speed.
func BenchmarkFrame(b *testing.B) {
	p := open(b, "wasm", "", look{motion: true, language: "en"})
	p.free(5, 7)
	p.at(500)
	p.js(nil, `(balsa.session.setSpeed(1/5), balsa.session.give({ do: "set", set: { heartbeat: 10e6 } }))`)
	for c := 1; c <= 4; c++ {
		p.js(nil, `balsa.session.give({ do: "client", op: { client: %d, kind: "set", key: "k%d", value: "1", retry: true } })`, c, c)
	}
	p.js(nil, `(balsa.frameCosts.length = 0, balsa.session.play())`)
	p.until(`balsa.frameCosts.length >= %d`, min(max(b.N, 120), 600))
	var cost struct{ Mean, Worst float64 }
	p.js(&cost, `(balsa.session.pause(), { Mean: balsa.frameCosts.reduce((a, c) => a + c, 0) / balsa.frameCosts.length, Worst: Math.max(...balsa.frameCosts) })`)
	b.ReportMetric(cost.Mean, "ms/frame")
	b.ReportMetric(cost.Worst, "ms/worst-frame")
}
