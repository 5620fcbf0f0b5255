// The way from the page to an engine that runs in Go, over a WebSocket. lab/wasm/engine.js is its twin: the page cannot tell them apart.
// connect() gives { ask(request): Promise<answer>, close() }. gone is called when the engine cannot be asked any more; told(answer) gets what
// the engine says without being asked, which only a live cluster does.
export async function connect(gone = () => {}, told = () => {}) {
  const url = new URL('engine', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url);
  const waiting = new Map();
  let last = 0, open = false;
  await new Promise((resolve, reject) => {
    socket.onopen = () => { open = true; resolve(); };
    socket.onerror = () => reject(new Error('no engine answers at ' + url));
  });
  socket.onmessage = (event) => {
    const answer = JSON.parse(event.data);
    const resolve = waiting.get(answer.id);
    waiting.delete(answer.id);
    (resolve ?? told)(answer);
  };
  socket.onclose = () => {
    if (!open) return;
    open = false;
    for (const resolve of waiting.values()) resolve({ error: 'the engine is gone' });
    waiting.clear();
    gone();
  };
  return {
    ask(request) {
      if (!open) return Promise.resolve({ error: 'the engine is gone' });
      const id = ++last;
      socket.send(JSON.stringify({ ...request, id }));
      return new Promise((resolve) => waiting.set(id, resolve));
    },
    close() { open = false; socket.close(); },
  };
}
