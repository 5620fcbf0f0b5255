// @ts-check
// The page's wiring: the session in the middle, the views around it, the buttons and keys that move it.

// @ts-ignore Each host serves an engine.js of its own.
import { connect } from "../engine.js";
import { Controls } from "./controls.js";
import { byID, html, set } from "./dom.js";
import { Feed } from "./feed.js";
import { Inspector } from "./inspector.js";
import { listen } from "./keys.js";
import { Logs } from "./logs.js";
import { Positions } from "./positions.js";
import { clock, icon, seenRole } from "./look.js";
import { nameOf, Ring } from "./ring.js";
import { Badges, Strip } from "./safety.js";
import { ms, Session, speeds } from "./session.js";
import * as share from "./share.js";
import { SpaceTime } from "./spacetime.js";
import { Tour } from "./tour.js";
import { current, dress, onLanguage, preferred, speak, word } from "./words.js";

/** @typedef {import("./protocol.js").Input} Input */
/** @typedef {import("./ring.js").Selection} Selection */

const dialog = /** @type {HTMLDialogElement} */ (byID("dialog"));

/** Says something in passing. @param {string} text */
function toast(text) {
  const place = byID("toast");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(Number(place.dataset.timer));
  place.dataset.timer = String(setTimeout(() => (place.hidden = true), 4000 + text.length * 40));
}

/** Opens the dialog with a title. @param {string} title @param {...Node} children */
function ask(title, ...children) {
  const close = html("button", { click: () => dialog.close(), "data-word": "close" });
  dialog.replaceChildren(html("h2", {}, title), ...children, html("p", { class: "row" }, close));
  dialog.setAttribute("aria-label", title);
  dress(dialog);
  dialog.showModal();
}

/** The place of a speed among those of the slider. @param {number} speed */
function nearest(speed) {
  const far = speeds.map((s) => Math.abs(Math.log(s / speed)));
  return far.indexOf(Math.min(...far));
}

async function start() {
  speak(preferred());
  const theme = localStorage.getItem("balsa-theme");
  if (theme) document.documentElement.dataset.theme = theme;
  const query = new URLSearchParams(location.search);
  if (query.has("embed")) document.body.classList.add("embed");

  /** @type {Session} */
  let session;
  const engine = await connect(
    () => toast(word("error.gone")),
    (/** @type {any} */ answer) => session?.told(answer),
  );
  const { hello } = await engine.ask({ do: "hello" });
  session = new Session(engine, hello);

  /** @type {Selection} */
  let selection = null;
  const give = (/** @type {Input} */ input) => session.give(input);
  const ring = new Ring(byID("ring"), session, { select, menu, partition: (inside) => controls.split(inside) });
  const chooseMember = (/** @type {number} */ id) => select({ kind: "member", id });
  const logs = session.live ? new Positions(byID("panel-log"), session, chooseMember) : new Logs(byID("panel-log"), session, chooseMember);
  const inspector = new Inspector(byID("panel-inspect"), session, give, () => select(null));
  const feed = new Feed(byID("panel-why"), session);
  const badges = new Badges(byID("badges"), session);
  const spacetime = new SpaceTime(byID("spacetime"), session, (id) => select({ kind: "message", id }));
  const strip = new Strip(byID("strip"), session);
  const controls = new Controls(byID("panel-do"), session, give);
  const views = [ring, logs, inspector, feed, badges, spacetime, strip, controls];
  const tour = new Tour(session, { caption: byID("caption"), scenario: /** @type {HTMLSelectElement} */ (byID("scenario")), ring, tab: showTab, select, draw });

  // Drawing: at most once a frame, whatever has changed.
  let asked = false;
  function draw() {
    if (asked || !session.state) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      const begun = performance.now();
      for (const view of views) view.draw();
      player();
      frameCosts.push(performance.now() - begun);
      if (frameCosts.length > 600) frameCosts.shift();
    });
  }
  /** @type {number[]} what drawing a frame has cost, in milliseconds: for the benchmark */
  const frameCosts = [];

  function player() {
    const { state, branch, playing, speed } = session;
    const play = byID("play");
    icon(play, playing ? "pause" : "play");
    set(play, { title: word(playing ? "player.pause" : "player.play"), "aria-label": word(playing ? "player.pause" : "player.play") });
    /** @type {HTMLInputElement} */ (byID("speed")).value = String(speeds.length - 1 - nearest(speed));
    set(byID("speed-text"), { text: speed === 1 ? word("player.real") : `1/${Math.round(1 / speed)}` });
    const scrub = /** @type {HTMLInputElement} */ (byID("scrub"));
    if (document.activeElement !== scrub || playing) scrub.value = String(Math.round((1000 * state.t) / Math.max(branch.horizon, 1)));
    set(scrub, { "aria-valuetext": clock(state.t) });
    set(byID("time"), { text: session.live ? "" : clock(state.t) });
    set(byID("hash"), { text: state.hash ? `#${state.hash.slice(0, 8)}` : "" });
    set(byID("seed"), { text: session.live ? word("live") : `${word("seed")} ${branch.run.seed}` });
    /** @type {HTMLButtonElement} */ (byID("to-end")).disabled = session.live || !session.inThePast;
    for (const id of ["to-start", "back"]) /** @type {HTMLButtonElement} */ (byID(id)).disabled = session.live || state.t === 0;
    for (const id of ["play", "step", "message-step"]) /** @type {HTMLButtonElement} */ (byID(id)).disabled = session.live || Boolean(state.ended && !session.inThePast);
    for (const e of document.querySelectorAll("[data-needs=load]")) /** @type {HTMLElement} */ (e).hidden = session.live;
  }

  function branchButtons() {
    const { branches, branch } = session;
    byID("branches").replaceChildren(
      ...(branches.length > 1
        ? [
            html("span", { class: "soft" }, word("branch.title")),
            ...branches.map((b) =>
              html(
                "button",
                {
                  "aria-pressed": String(b === branch), click: () => session.show(b.number),
                  title: b.from ? word("branch.from", { n: b.number, of: b.from.branch, t: clock(b.from.t) }) : word("branch.first"),
                },
                String(b.number),
              ),
            ),
          ]
        : []),
    );
  }

  session.addEventListener("state", draw);
  session.addEventListener("view", draw);
  session.addEventListener("run", () => {
    branchButtons();
    draw();
  });
  session.addEventListener("error", (e) => toast(word("error.refused", { why: /** @type {CustomEvent} */ (e).detail })));
  onLanguage(() => {
    for (const view of [logs, inspector, feed, badges, strip]) view.forget();
    controls.build();
    branchButtons();
    tour.words();
    byID("language").textContent = current() === "zh" ? "English" : "中文";
    set(byID("language"), { lang: current() === "zh" ? "en" : "zh-CN" });
    draw();
  });
  new ResizeObserver(draw).observe(byID("panel-time"));

  // Selection and menu.
  /** @param {Selection} s */
  function select(s) {
    selection = s;
    ring.selection = s;
    inspector.select(s);
    if (s) showTab("inspect");
    draw();
  }

  /** @param {Selection} s @param {{x: number, y: number}} at */
  function menu(s, at) {
    const place = byID("menu");
    const buttons = [...byID("panel-inspect").querySelectorAll(".actions button")].map((b) =>
      html("button", { role: "menuitem", click: () => { place.hidden = true; /** @type {HTMLButtonElement} */ (b).click(); } }, b.textContent ?? ""),
    );
    if (!buttons.length) return;
    if (s?.kind === "member") {
      buttons.unshift(html("button", { role: "menuitem", click: () => { place.hidden = true; controls.quickWrite(s.id); } }, word("action.request")));
    }
    place.replaceChildren(...buttons);
    place.hidden = false;
    place.style.left = `${Math.min(at.x, innerWidth - 190)}px`;
    place.style.top = `${Math.min(at.y, innerHeight - buttons.length * 32 - 12)}px`;
    buttons[0].focus();
  }
  document.addEventListener("pointerdown", (e) => {
    if (!(/** @type {Element} */ (e.target).closest("#menu"))) byID("menu").hidden = true;
  });
  byID("menu").addEventListener("keydown", (e) => {
    const items = /** @type {HTMLElement[]} */ ([...byID("menu").children]);
    const i = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (e.key === "ArrowDown") items[(i + 1) % items.length].focus();
    else if (e.key === "ArrowUp") items[(i + items.length - 1) % items.length].focus();
    else if (e.key === "Escape") byID("menu").hidden = true;
    else return;
    e.preventDefault();
    e.stopPropagation();
  });

  // Tabs.
  const tabs = ["log", "why", "do", "inspect", "time"];
  const wide = matchMedia("(min-width: 1100px)");
  let tab = "why";
  /** @param {string} name */
  function showTab(name) {
    if (wide.matches && (name === "log" || name === "time")) name = "why";
    tab = name;
    for (const t of tabs) {
      set(byID(`tab-${t}`), { "aria-selected": String(t === name), tabindex: t === name ? 0 : -1 });
      byID(`panel-${t}`).hidden = t !== name && !(wide.matches && (t === "log" || t === "time"));
    }
    draw();
  }
  for (const t of tabs) byID(`tab-${t}`).addEventListener("click", () => showTab(t));
  byID("tabs").addEventListener("keydown", (e) => {
    const way = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (!way) return;
    const shown = tabs.filter((t) => byID(`tab-${t}`).offsetParent !== null);
    const next = shown[(shown.indexOf(tab) + way + shown.length) % shown.length];
    showTab(next);
    byID(`tab-${next}`).focus();
  });
  wide.addEventListener("change", () => showTab(wide.matches ? "why" : "log"));

  // Buttons of the player.
  for (const [id, name] of [["to-start", "start"], ["back", "back"], ["step", "step"], ["message-step", "message"], ["to-end", "end"], ["theme", "theme"]]) icon(byID(id), name);
  const click = (/** @type {string} */ id, /** @type {() => void} */ f) => byID(id).addEventListener("click", f);
  click("play", () => session.toggle());
  click("step", () => session.step("event"));
  click("message-step", () => session.step("message"));
  click("back", () => session.stepBack());
  click("to-start", () => { session.pause(); session.seek(0); });
  click("to-end", () => { session.pause(); session.seek(session.branch.horizon); });
  byID("speed").addEventListener("input", (e) => session.setSpeed(speeds[speeds.length - 1 - Number(/** @type {HTMLInputElement} */ (e.target).value)]));
  byID("scrub").addEventListener("input", (e) => {
    session.pause();
    spacetime.seek((Number(/** @type {HTMLInputElement} */ (e.target).value) / 1000) * session.branch.horizon);
  });
  click("language", () => speak(current() === "zh" ? "en" : "zh"));
  click("theme", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("balsa-theme", root.dataset.theme);
    spacetime.dirty = true;
    draw();
  });
  click("help", help);
  click("share", shareDialog);
  click("new", newRun);
  click("home", () => tour.free());

  const chosen = () => (selection?.kind === "member" ? selection.id : 0);
  /** @param {string} what */
  const act = (what) => () => {
    const id = chosen();
    if (!id) toast(word("keys.choose"));
    else if (session.can(what)) give({ do: what, member: id });
  };
  /** @type {import("./keys.js").Key[]} */
  const keys = [
    { key: " ", shown: "Space", word: "keys.play", run: () => session.toggle() },
    { key: "ArrowRight", shown: "→", word: "keys.step", run: () => (tour.active ? tour.next() : session.step("event")) },
    { key: "ArrowLeft", shown: "←", word: "keys.back", run: () => (tour.active ? tour.back() : session.stepBack()) },
    { key: ".", shown: ".", word: "keys.event", run: () => session.step("event") },
    { key: ",", shown: ",", word: "keys.event-back", run: () => session.stepBack() },
    { key: "m", shown: "m", word: "keys.message", run: () => session.step("message") },
    { key: "Home", shown: "Home", word: "keys.start", run: () => { session.pause(); session.seek(0); } },
    { key: "End", shown: "End", word: "keys.end", run: () => session.seek(session.branch.horizon) },
    { key: "+", shown: "+", word: "keys.faster", run: () => session.setSpeed(speeds[Math.max(nearest(session.speed) - 1, 0)]) },
    { key: "-", shown: "-", word: "keys.slower", run: () => session.setSpeed(speeds[Math.min(nearest(session.speed) + 1, speeds.length - 1)]) },
    { key: "[", shown: "[", word: "keys.zoom-out", run: () => { spacetime.zoom(1.5); draw(); } },
    { key: "]", shown: "]", word: "keys.zoom-in", run: () => { spacetime.zoom(1 / 1.5); draw(); } },
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({
      key: String(n), shown: n === 1 ? "1 … 9" : "", word: "keys.member",
      run: () => { const m = session.state.members[n - 1]; if (m) select({ kind: "member", id: m.id }); },
    })),
    { key: "n", shown: "n", word: "keys.next-message", run: () => nextMessage() },
    { key: "w", shown: "w", word: "keys.write", run: () => session.can("client") && controls.quickWrite(chosen()) },
    { key: "t", shown: "t", word: "keys.timeout", run: act("timeout") },
    { key: "s", shown: "s", word: "keys.stop", run: () => toggleProcess("stop") },
    { key: "c", shown: "c", word: "keys.crash", run: () => toggleProcess("crash") },
    { key: "p", shown: "p", word: "keys.pause", run: () => (session.member(chosen())?.process === "paused" ? act("resume") : act("pause"))() },
    { key: "l", shown: "l", word: "keys.transfer", run: act("transfer") },
    { key: "d", shown: "d", word: "keys.drop", run: () => messageAct("drop") },
    { key: "u", shown: "u", word: "keys.duplicate", run: () => messageAct("duplicate") },
    { key: "y", shown: "y", word: "keys.delay", run: () => messageAct("delay") },
    { key: "g", shown: "g", word: "keys.deliver", run: () => messageAct("deliver") },
    { key: "x", shown: "x", word: "keys.isolate", run: () => (chosen() ? controls.split([chosen()]) : toast(word("keys.choose"))) },
    { key: "h", shown: "h", word: "keys.heal", run: () => give({ do: "heal" }) },
    { key: "Escape", shown: "Esc", word: "keys.escape", run: () => { byID("menu").hidden = true; select(null); } },
    { key: "?", shown: "?", word: "keys.help", run: help },
  ];
  listen(keys);

  /** @param {string} what */
  function toggleProcess(what) {
    const m = session.member(chosen());
    if (!m) toast(word("keys.choose"));
    else act(m.process === "stopped" || m.process === "crashed" ? "restart" : what)();
  }
  /** @param {string} what */
  function messageAct(what) {
    if (selection?.kind !== "message") toast(word("keys.choose-message"));
    else give({ do: what, message: selection.id, ...(what === "delay" ? { by: 50 * ms } : {}) });
  }
  function nextMessage() {
    const { messages } = session.state;
    if (!messages.length) return;
    const i = selection?.kind === "message" ? messages.findIndex((m) => m.id === selection?.id) : -1;
    select({ kind: "message", id: messages[(i + 1) % messages.length].id });
  }

  // Dialogs.
  function help() {
    const table = html("table", {}, ...keys.filter((k) => k.shown).map((k) => html("tr", {}, html("td", {}, html("kbd", {}, k.shown)), html("td", {}, word(k.word)))));
    ask(word("help.title"), html("p", { class: "note" }, word("help.intro")), table);
  }

  async function shareDialog() {
    const { branch, state } = session;
    const at = { t: state.t };
    const code = await share.fragment(branch.run, at);
    const address = code ? `${location.origin}${location.pathname}#${code}` : "";
    const text = html("textarea", { readonly: true, rows: 4, "aria-label": word("share.link") });
    text.value = address || word("share.too-long");
    const copy = html("button", { "data-word": "share.copy", click: () => { text.select(); navigator.clipboard?.writeText(address); toast(word("share.copied")); } });
    const file = JSON.stringify({ run: branch.run, at }, null, 1);
    const open = html("input", {
      type: "file", accept: ".json,application/json", "data-title": "share.open-file",
      change: async (/** @type {any} */ e) => {
        try {
          const { run, at: point } = share.read(await e.target.files[0].text());
          dialog.close();
          tour.free();
          await session.open(run, point);
        } catch (error) {
          toast(word("error.file", { why: /** @type {Error} */ (error).message }));
        }
      },
    });
    const command = html("code", {}, "balsa lab balsa-run.json · balsa sim replay balsa-run.json");
    const embed = code ? `<iframe src="${location.origin}${location.pathname}?embed#${code}" width="720" height="560"></iframe>` : "";
    const frame = html("textarea", { readonly: true, rows: 2, "aria-label": word("share.embed") });
    frame.value = embed;
    ask(
      word("share.title"),
      html("h3", { "data-word": "share.link" }), text, copy,
      html("h3", { "data-word": "share.files" }),
      html("p", { class: "row" },
        html("button", { "data-word": "share.json", click: () => share.save("balsa-run.json", file, "application/json") }),
        html("button", { "data-word": "share.svg", click: () => share.save("balsa-ring.svg", share.standalone(ring.root), "image/svg+xml") })),
      html("p", { class: "note" }, `${word("share.command")} `, command),
      html("h3", { "data-word": "share.embed" }), frame,
      html("h3", { "data-word": "share.open-file" }), open,
    );
  }

  function newRun() {
    const members = html("input", { type: "number", min: 1, max: 9, value: session.state.members.length || 5, name: "members", id: "new-members" });
    const seed = html("input", { type: "number", min: 0, value: Math.floor(Math.random() * 1000), name: "seed", id: "new-seed" });
    const compact = html("input", { type: "checkbox", name: "compact" });
    const go = html("button", { class: "main", "data-word": "new.go" });
    const form = html(
      "form", {
        submit: (/** @type {SubmitEvent} */ e) => {
          e.preventDefault();
          dialog.close();
          tour.free();
          const setup = { members: Number(members.value), ...(compact.checked ? { compactEntries: 6, keepEntries: 2 } : {}) };
          session.open({ v: hello.v, seed: Number(seed.value), setup }, { t: 0 });
        },
      },
      html("label", { class: "row" }, html("span", { "data-word": "new.members" }), members),
      html("label", { class: "row" }, html("span", { "data-word": "new.seed" }), seed),
      html("label", { class: "row" }, compact, html("span", { "data-word": "new.compact" })),
      html("p", { class: "row" }, go),
    );
    ask(word("new.title"), form);
  }

  // Where to begin: at what the host was asked to show, or the address says, or at the tour.
  showTab(wide.matches ? "why" : "log");
  /** Reads the address. */
  async function fromAddress() {
    const scene = query.get("scene") ?? /(?:^#|&)scene=([\w.-]+)/.exec(location.hash)?.[1];
    try {
      const shared = await share.parse(location.hash);
      if (shared) {
        tour.free();
        if (await session.open(shared.run, shared.at)) return;
      }
    } catch (error) {
      toast(word("error.link", { why: /** @type {Error} */ (error).message }));
    }
    if (hello.open && !scene) {
      tour.free();
      if (await session.open(hello.open, hello.open.moment)) return;
    }
    await tour.start(scene ?? "");
  }
  if (session.live) {
    document.body.classList.add("live");
    spacetime.span = 12_000 * ms;
    const answer = await engine.ask({ do: "state", full: true });
    session.told(answer);
    tour.free();
  } else {
    await fromAddress();
    addEventListener("hashchange", fromAddress);
  }
  speak(current());
  draw();
  // For the tests and the benchmark of the page; nothing here uses it.
  Object.assign(window, { balsa: { session, frameCosts, tour, role: seenRole, nameOf } });
  document.body.dataset.ready = "true";
}

start().catch((error) => {
  console.error(error);
  toast(String(error.message ?? error));
});
