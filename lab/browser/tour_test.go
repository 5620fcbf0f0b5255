package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// chapter is what the page says of one.
type chapter struct {
	Name  string `json:"name"`
	Steps int    `json:"steps"`
}

// TestEveryChapterInBothLanguagesAndBothHosts clicks through the whole tour, step by step, forward and back. A step has its text, nothing is violated, and the
// state is the same in both hosts and languages, and the same again when one comes back to it.
func TestEveryChapterInBothLanguagesAndBothHosts(t *testing.T) {
	seen := map[string]moment{}
	texts := map[string]string{}
	for _, host := range []string{"native", "wasm"} {
		for _, language := range []string{"en", "zh"} {
			t.Run(host+" "+language, func(t *testing.T) {
				p := open(t, host, "", look{language: language})
				var chapters []chapter
				p.js(&chapters, `(await import("./tour/chapters.js")).chapters.map((c) => ({ name: c.name, steps: c.steps.length }))`)
				if len(chapters) < 13 {
					t.Fatalf("there are %d chapters", len(chapters))
				}
				for _, c := range chapters {
					if c.Steps > 25 {
						t.Errorf("%s has %d steps", c.Name, c.Steps)
					}
					p.do(chromedp.SetValue("#scenario", c.Name, chromedp.ByQuery), chromedp.Evaluate(`document.querySelector("#scenario").dispatchEvent(new Event("change")); true`, nil))
					for i := 1; i <= c.Steps; i++ {
						p.step(c, i, seen, texts, language)
						if i < c.Steps {
							p.click("#tour-next")
						}
					}
					p.click("#tour-back")
					p.step(c, c.Steps-1, seen, texts, language)
				}
			})
		}
	}
}

// step looks at a step, and compares with what was there before.
func (p *tab) step(c chapter, i int, seen map[string]moment, texts map[string]string, language string) {
	p.t.Helper()
	p.until(`location.hash === "#scene=%s.%d"`, c.Name, i)
	p.settled()
	where := fmt.Sprintf("%s, step %d", c.Name, i)
	var now struct {
		Text     string   `json:"text"`
		Violated []string `json:"violated"`
		Ended    string   `json:"ended"`
	}
	p.js(&now, `({ text: document.querySelector("#caption .text").textContent, violated: balsa.session.state.safety.filter((s) => s.violated).map((s) => s.name), ended: balsa.session.state.ended })`)
	if len(now.Text) < 10 {
		p.t.Errorf("%s says %q", where, now.Text)
	}
	if len(now.Violated) > 0 || now.Ended != "" {
		p.t.Errorf("%s: violated %q, ended %q", where, now.Violated, now.Ended)
	}
	if m, before := p.moment(), seen[where]; before.Hash == "" {
		seen[where] = m
	} else if m != before {
		p.t.Errorf("%s is at %+v, and was at %+v elsewhere", where, m, before)
	}
	if other := texts[where+language]; other != "" && other != now.Text {
		p.t.Errorf("%s says %q, and said %q", where, now.Text, other)
	}
	texts[where+language] = now.Text
	if texts[where+"en"] == texts[where+"zh"] {
		p.t.Errorf("%s says the same in both languages: %q", where, now.Text)
	}
}

// TestATourThatIsPlayed goes forward with motion, and jumps when pressed while it plays.
func TestATourThatIsPlayed(t *testing.T) {
	p := open(t, "native", "#scene=takeover.1", look{motion: true, language: "en"})
	p.settled()
	start := p.moment()
	p.click("#tour-next")
	p.untilThenRight(`balsa.session.playing && balsa.session.state.t > %d`, start.T) // as Next: it does not wait
	p.settled()
	played := p.moment()
	p.press(chromedpArrowLeft)
	p.until(`location.hash === "#scene=takeover.1"`)
	p.settled()
	if back := p.moment(); back != start {
		t.Errorf("back at %+v, begun at %+v", back, start)
	}
	p.press(chromedpArrowRight)
	p.untilThenRight(`location.hash === "#scene=takeover.2" && balsa.session.playing`)
	p.settled()
	if again := p.moment(); again != played {
		t.Errorf("step 2 is at %+v, and was at %+v", again, played)
	}
}

// untilThenRight presses the right arrow in the very frame in which an expression becomes true: it may not be any more when a key comes from here.
func (p *tab) untilThenRight(format string, args ...any) {
	p.t.Helper()
	p.until(format+` && (document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })), true)`, args...)
}
