// @ts-check
// The space-time diagram: time goes to the right, each member and client has a lane, a message is a line from one to another. The time axis is the
// scrubber: where one presses it, there the run is.

import { html } from "./dom.js";
import { hue } from "./look.js";
import { nameOf } from "./ring.js";
import { clock } from "./look.js";
import { word } from "./words.js";
import { ms } from "./session.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./timeline.js").Stretch} Stretch */

const gutter = 46;
const axis = 22;
const laneHeight = 26;

export class SpaceTime {
  /** @param {HTMLElement} place @param {Session} session @param {(id: number) => void} selectMessage */
  constructor(place, session, selectMessage) {
    this.session = session;
    this.selectMessage = selectMessage;
    this.canvas = html("canvas", { tabindex: 0, role: "slider", "data-title": "spacetime.title" });
    place.append(this.canvas);
    /** how much time is seen, and where it begins */
    this.span = 600 * ms;
    this.start = 0;
    this.following = true;
    this.wanted = 0;
    this.seeking = false;
    this.dirty = true;
    /** @type {{x1: number, y1: number, x2: number, y2: number, id: number}[]} the lines that are drawn, to be found by the pointer */
    this.drawn = [];
    new ResizeObserver(() => (this.dirty = true)).observe(place);
    this.#listen();
  }

  get #width() {
    return this.canvas.clientWidth - gutter - 8;
  }

  /** @param {number} t */
  x(t) {
    return gutter + ((t - this.start) / this.span) * this.#width;
  }

  /** @param {number} x */
  time(x) {
    return this.start + ((x - gutter) / this.#width) * this.span;
  }

  /** Changes how much time is seen, around a moment. @param {number} factor @param {number} [around] */
  zoom(factor, around = this.session.state.t) {
    const span = Math.min(Math.max(this.span * factor, 20 * ms), 120_000 * ms);
    this.start = Math.max(0, around - (around - this.start) * (span / this.span));
    this.span = span;
    this.dirty = true;
  }

  /** The lanes from the top: clients, then members. */
  #lanes() {
    const { state, ops } = this.session;
    const clients = [...new Set([...ops.values()].map((op) => op.client))].sort((a, b) => a - b).slice(0, 4);
    return [...clients.map((c) => `c${c}`), ...state.members.map((m) => `n${m.id}`)];
  }

  draw() {
    const { session } = this;
    const { t } = session.state;
    const { timeline } = session;
    if (this.following) {
      const edge = this.start + this.span * 0.82;
      if (t > edge) this.start = t - this.span * 0.82;
      else if (t < this.start) this.start = Math.max(0, t - this.span * 0.2);
    }
    const ratio = devicePixelRatio || 1;
    const lanes = this.#lanes();
    const height = axis + lanes.length * laneHeight + 6;
    const width = this.canvas.clientWidth;
    if (!width) return;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.style.height = `${height}px`;
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    this.canvas.setAttribute("aria-valuemin", "0");
    this.canvas.setAttribute("aria-valuemax", String(Math.round(session.branch.horizon / ms)));
    this.canvas.setAttribute("aria-valuenow", String(Math.round(t / ms)));
    this.canvas.setAttribute("aria-valuetext", clock(t));
    const g = this.canvas.getContext("2d");
    if (!g) return;
    const style = getComputedStyle(this.canvas);
    const ink = style.getPropertyValue("--ink");
    const faint = style.getPropertyValue("--faint");
    const soft = style.getPropertyValue("--soft");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = `11px ${style.fontFamily}`;
    const y = new Map(lanes.map((lane, i) => [lane, axis + i * laneHeight + laneHeight / 2]));
    const end = this.start + this.span;
    g.save();
    g.beginPath();
    g.rect(gutter, 0, width - gutter, height);
    g.clip();
    for (const [lane, at] of y) {
      if (lane.startsWith("n")) this.#lane(g, timeline.lanes.get(Number(lane.slice(1))) ?? [], at, end, faint, ink);
      else {
        g.strokeStyle = faint;
        g.lineWidth = 1;
        g.beginPath();
        g.moveTo(gutter, at);
        g.lineTo(width, at);
        g.stroke();
      }
    }
    for (const op of session.ops.values()) this.#operation(g, op, y.get(`c${op.client}`), ink);
    this.drawn = [];
    for (const flight of timeline.flights.values()) {
      const until = flight.ended || flight.message.arrives;
      if (until < this.start || flight.sent > end) continue;
      this.#flight(g, flight, y, t, ink);
    }
    for (const [member, commits] of timeline.commits) {
      const at = y.get(`n${member}`);
      if (at === undefined) continue;
      g.fillStyle = ink;
      for (const c of commits) if (c.t >= this.start && c.t <= end) g.fillRect(this.x(c.t) - 0.75, at + 6, 1.5, 5);
    }
    // What lies ahead of the moment on the screen is known already, and pale.
    if (session.branch.horizon > t) {
      g.fillStyle = style.getPropertyValue("--veil");
      g.fillRect(this.x(t), axis, this.x(session.branch.horizon) - this.x(t) + 4, height);
    }
    this.#axis(g, end, width, soft, faint);
    g.strokeStyle = ink;
    g.fillStyle = ink;
    g.lineWidth = 1.5;
    const now = this.x(t);
    g.beginPath();
    g.moveTo(now, 10);
    g.lineTo(now, height);
    g.stroke();
    g.beginPath();
    g.arc(now, 10, 5, 0, 2 * Math.PI);
    g.fill();
    g.restore();
    g.textBaseline = "middle";
    for (const [lane, at] of y) {
      g.fillStyle = lane.startsWith("n") ? ink : soft;
      g.fillText(lane.startsWith("n") ? nameOf(Number(lane.slice(1))) : word("clientShort", { n: lane.slice(1) }), 12, at);
    }
  }

  /** @param {CanvasRenderingContext2D} g @param {Stretch[]} stretches @param {number} y @param {number} end @param {string} faint @param {string} ink */
  #lane(g, stretches, y, end, faint, ink) {
    const list = stretches.length ? stretches : [{ t: 0, role: "follower", term: 0, process: "running" }];
    const known = Math.min(end, this.session.branch.horizon);
    list.forEach((s, i) => {
      const from = i === 0 ? 0 : s.t;
      const to = i + 1 < list.length ? list[i + 1].t : known;
      if (to < this.start || from > end) return;
      const a = Math.max(this.x(from), gutter);
      const b = this.x(Math.min(to, end));
      const down = s.process === "stopped" || s.process === "crashed";
      const colour = s.term && !down ? resolved(s.term) : faint;
      g.globalAlpha = s.process === "paused" ? 0.35 : 1;
      g.strokeStyle = colour;
      g.setLineDash(down ? [1, 5] : s.role === "candidate" ? [5, 3] : s.role === "pre-candidate" ? [2, 2] : []);
      if (s.role === "leader" && !down) {
        g.lineWidth = 1.5;
        for (const d of [-2.5, 2.5]) line(g, a, y + d, b, y + d);
      } else {
        g.lineWidth = down ? 1 : s.role === "follower" ? 1.6 : 2.4;
        line(g, a, y, b, y);
      }
      g.setLineDash([]);
      g.globalAlpha = 1;
      if (i > 0 && this.x(from) >= gutter) {
        g.fillStyle = colour;
        const changed = s.process !== list[i - 1].process;
        if (changed && s.process === "crashed") {
          g.strokeStyle = ink;
          g.lineWidth = 1.5;
          line(g, a - 4, y - 4, a + 4, y + 4);
          line(g, a - 4, y + 4, a + 4, y - 4);
        } else if (s.role === "leader" && list[i - 1].role !== "leader") {
          g.font = `600 10px ${getComputedStyle(this.canvas).fontFamily}`;
          g.textBaseline = "bottom";
          g.fillText(word("spacetime.leads", { term: s.term }), a + 3, y - 4);
          g.font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
        }
      }
    });
  }

  /** @param {CanvasRenderingContext2D} g @param {import("./timeline.js").Flight} flight @param {Map<string, number>} y @param {number} t @param {string} ink */
  #flight(g, flight, y, t, ink) {
    const m = flight.message;
    const y1 = y.get(m.from);
    const y2 = y.get(m.to);
    if (y1 === undefined || y2 === undefined) return;
    const onItsWay = flight.outcome === "";
    const current = onItsWay ? this.session.state.messages.find((o) => o.id === m.id) : undefined;
    const arrives = flight.ended || current?.arrives || m.arrives;
    const lost = flight.outcome === "lost" || Boolean(current?.lost && onItsWay);
    const x1 = this.x(flight.sent);
    let x2 = this.x(arrives);
    let to = y2;
    if (lost) to = y1 + (y2 - y1) * 0.6;
    g.strokeStyle = m.term ? resolved(m.term) : ink;
    g.globalAlpha = m.kind === "heartbeat" || (m.kind === "append" && m.reply && !m.refused) ? 0.28 : 0.85;
    g.lineWidth = m.kind === "heartbeat" || m.reply ? 1 : 1.5;
    g.setLineDash(m.reply ? [3, 2] : []);
    line(g, x1, y1, x2, to);
    g.setLineDash([]);
    if (lost || m.refused) {
      line(g, x2 - 3, to - 3, x2 + 3, to + 3);
      line(g, x2 - 3, to + 3, x2 + 3, to - 3);
    } else {
      const angle = Math.atan2(to - y1, x2 - x1);
      g.beginPath();
      g.moveTo(x2, to);
      g.lineTo(x2 - 6 * Math.cos(angle - 0.4), to - 6 * Math.sin(angle - 0.4));
      g.lineTo(x2 - 6 * Math.cos(angle + 0.4), to - 6 * Math.sin(angle + 0.4));
      g.closePath();
      g.fillStyle = g.strokeStyle;
      g.fill();
    }
    g.globalAlpha = 1;
    this.drawn.push({ x1, y1, x2, y2: to, id: m.id });
    void t;
  }

  /** @param {CanvasRenderingContext2D} g @param {import("./protocol.js").Operation} op @param {number | undefined} y @param {string} ink */
  #operation(g, op, y, ink) {
    if (y === undefined) return;
    const a = this.x(op.call);
    const b = this.x(op.return || this.session.state.t);
    if (b < gutter || a > this.canvas.clientWidth) return;
    g.strokeStyle = ink;
    g.lineWidth = 1;
    g.setLineDash(op.outcome === "ok" ? [] : [3, 3]);
    g.strokeRect(a, y - 8, Math.max(b - a, 3), 16);
    g.setLineDash([]);
    g.fillStyle = ink;
    g.textBaseline = "middle";
    g.save();
    g.beginPath();
    g.rect(a, y - 8, Math.max(b - a, 3), 16);
    g.clip();
    g.fillText(operationText(op), Math.max(a, gutter) + 4, y + 0.5);
    g.restore();
  }

  /** @param {CanvasRenderingContext2D} g @param {number} end @param {number} width @param {string} soft @param {string} faint */
  #axis(g, end, width, soft, faint) {
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000];
    const step = (steps.find((s) => ((s * ms) / this.span) * this.#width > 64) ?? 60000) * ms;
    g.strokeStyle = faint;
    g.fillStyle = soft;
    g.lineWidth = 1;
    g.textBaseline = "top";
    line(g, gutter, axis - 4, width, axis - 4);
    for (let t = Math.ceil(this.start / step) * step; t <= end; t += step) {
      const x = this.x(t);
      line(g, x, axis - 8, x, axis - 4);
      g.fillText(t >= 1000 * ms ? `${+(t / 1e9).toFixed(3)} s` : `${t / ms} ms`, x + 3, 2);
    }
  }

  /** Goes to a moment, the latest that was asked for: who drags asks for more than can be replayed. @param {number} t */
  async seek(t) {
    this.wanted = Math.max(0, Math.min(t, this.session.branch.horizon));
    if (this.seeking) return;
    this.seeking = true;
    for (let last = -1; last !== this.wanted; ) {
      last = this.wanted;
      await this.session.seek(last);
    }
    this.seeking = false;
  }

  #listen() {
    const { canvas } = this;
    let dragging = false;
    const x = (/** @type {PointerEvent} */ e) => e.clientX - canvas.getBoundingClientRect().left;
    canvas.addEventListener("pointerdown", (e) => {
      const near = this.#near(x(e), e.clientY - canvas.getBoundingClientRect().top);
      if (near) {
        this.selectMessage(near);
        return;
      }
      dragging = true;
      canvas.setPointerCapture(e.pointerId);
      this.session.pause();
      this.following = false;
      this.seek(this.time(x(e)));
    });
    canvas.addEventListener("pointermove", (e) => {
      if (dragging) this.seek(this.time(x(e)));
    });
    const stop = () => {
      dragging = false;
      this.following = true;
    };
    canvas.addEventListener("pointerup", stop);
    canvas.addEventListener("pointercancel", stop);
    canvas.addEventListener(
      "wheel",
      (e) => {
        e.preventDefault();
        if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
          this.start = Math.max(0, this.start + ((e.deltaX || e.deltaY) / this.#width) * this.span);
          this.dirty = true;
        } else this.zoom(Math.exp(e.deltaY / 400), this.time(e.clientX - canvas.getBoundingClientRect().left));
        this.session.dispatchEvent(new Event("view"));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (e) => {
      const step = (e.shiftKey ? 100 : 10) * ms;
      if (e.key === "ArrowLeft" || e.key === "ArrowRight") {
        e.preventDefault();
        e.stopPropagation();
        this.session.pause();
        const t = this.session.state.t + (e.key === "ArrowLeft" ? -step : step);
        this.session.seek(t);
      } else if (e.key === "Home") this.session.seek(0);
      else if (e.key === "End") this.session.seek(this.session.branch.horizon);
    });
  }

  /** The message whose line is near a point. @param {number} x @param {number} y */
  #near(x, y) {
    if (y < axis) return 0;
    let best = 5;
    let id = 0;
    for (const l of this.drawn) {
      const dx = l.x2 - l.x1;
      const dy = l.y2 - l.y1;
      const u = Math.min(Math.max(((x - l.x1) * dx + (y - l.y1) * dy) / (dx * dx + dy * dy || 1), 0), 1);
      const d = Math.hypot(x - l.x1 - u * dx, y - l.y1 - u * dy);
      if (d < best) {
        best = d;
        id = l.id;
      }
    }
    return id;
  }
}

/** A term's hue; a canvas knows no variables of the style sheet. @param {number} term */
const resolved = (term) => hue(term);

/** @param {CanvasRenderingContext2D} g @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 */
function line(g, x1, y1, x2, y2) {
  g.beginPath();
  g.moveTo(x1, y1);
  g.lineTo(x2, y2);
  g.stroke();
}

/** An operation in a few signs: x←5 ✓. @param {import("./protocol.js").Operation} op */
export function operationText(op) {
  const end = op.outcome === "ok" ? "" : op.outcome === "refused" ? " ✕" : op.outcome === "unknown" ? " ?" : " …";
  switch (op.kind) {
    case "set":
      return `${op.key}←${op.value ?? ""}${end}`;
    case "add":
      return `${op.key}+${op.value ?? ""}${end}`;
    case "delete":
      return `−${op.key}${end}`;
    case "cas":
      return `${op.key}: ${op.expect ?? ""}→${op.value ?? ""}${op.outcome === "ok" && !op.wrote ? " ≠" : end}`;
    default:
      return `${op.key}${op.outcome === "ok" ? `=${op.found ? op.result : "∅"}` : "=?"}${op.stale ? " !" : ""}${op.outcome === "ok" ? "" : end}`;
  }
}
