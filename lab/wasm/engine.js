// The way from the page to an engine that runs as WebAssembly, in a Web Worker. lab/serve/engine.js is its twin: the page cannot tell them apart.
// connect() gives { ask(request): Promise<answer>, close() }. gone is called when the engine cannot be asked any more.
export async function connect(gone = () => {}) {
  const worker = new Worker(new URL('worker.js', import.meta.url));
  const waiting = new Map();
  let last = 0, open = true;
  const fail = (why) => {
    if (!open) return;
    open = false;
    worker.terminate();
    for (const resolve of waiting.values()) resolve({ error: why });
    waiting.clear();
    gone();
  };
  await new Promise((resolve, reject) => {
    worker.onmessage = (event) => (event.data === 'ready' ? resolve() : reject(new Error(event.data.failed)));
    worker.onerror = (event) => reject(new Error('the engine does not start: ' + event.message));
  });
  worker.onerror = () => fail('the engine is gone');
  worker.onmessage = (event) => {
    if (event.data.failed) return fail(event.data.failed);
    const answer = JSON.parse(event.data);
    const resolve = waiting.get(answer.id);
    waiting.delete(answer.id);
    resolve?.(answer);
  };
  return {
    ask(request) {
      if (!open) return Promise.resolve({ error: 'the engine is gone' });
      const id = ++last;
      return new Promise((resolve) => {
        waiting.set(id, resolve);
        worker.postMessage(JSON.stringify({ ...request, id }));
      });
    },
    close() { open = false; worker.terminate(); },
  };
}
