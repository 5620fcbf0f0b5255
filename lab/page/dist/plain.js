// A page that shows the state of a run, and lets time pass.
import { connect } from './engine.js';

const engine = await connect(() => { document.getElementById('time').value = 'the engine is gone; load the page again'; });
const at = (id) => document.getElementById(id);
const logs = {}, machines = {}, lines = [];
let time = 0, playing = false;

function show(answer) {
  if (answer.error) { lines.push(answer.error); return; }
  const s = answer.state;
  time = s.t;
  at('time').value = `${(s.t / 1e6).toFixed(3)} ms, ${s.n} happenings, trace ${s.hash}`;
  at('members').replaceChildren(...s.members.map((m) => {
    logs[m.id] = m.log ?? logs[m.id];
    machines[m.id] = m.machine ?? machines[m.id];
    const row = document.createElement('tr');
    const log = logs[m.id].map((e) => `${e.index}@${e.term} ${e.text ?? e.kind}`).join(', ');
    const machine = machines[m.id].map((p) => `${p.key}=${p.value}`).join(' ');
    row.append(...[`n${m.id}`, m.process, m.role, m.term, log, m.commit, machine].map((text) => Object.assign(document.createElement('td'), { textContent: text })));
    return row;
  }));
  at('messages').textContent = s.messages.map((m) => `${m.from} -> ${m.to} ${m.kind}${m.reply ? ' reply' : ''}`).join('\n');
  for (const e of answer.events ?? []) {
    if (!e.message && e.kind !== 'synced') lines.push(`${(e.t / 1e6).toFixed(3)} ms ${e.member ? 'n' + e.member : ''} ${e.kind} ${e.rule ?? e.why ?? ''}`);
  }
  at('events').textContent = lines.slice(-200).reverse().join('\n');
}

at('event').onclick = async () => show(await engine.ask({ do: 'advance', by: 'event' }));
at('message').onclick = async () => show(await engine.ask({ do: 'advance', by: 'message' }));
at('play').onclick = async () => {
  playing = !playing;
  at('play').textContent = playing ? 'Pause' : 'Play';
  for (let last = performance.now(); playing;) {
    const now = await new Promise(requestAnimationFrame);
    show(await engine.ask({ do: 'advance', to: Math.round(time + (now - last) * 1e6 / 10) }));
    last = now;
  }
};

const hello = (await engine.ask({ do: 'hello' })).hello;
show(await engine.ask(hello.open ? { do: 'load', run: hello.open } : { do: 'state', full: true }));
