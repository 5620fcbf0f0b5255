// The Web Worker in which the engine runs. engine.bin is the WebAssembly, compressed, so that a file server which compresses nothing still sends little.
'use strict';
importScripts('wasm_exec.js');

async function load() {
  const response = await fetch('engine.bin');
  if (!response.ok) throw new Error(`engine.bin: ${response.status} ${response.statusText}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes; // The server has taken the compression for its own.
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

self.balsaReady = (answer) => {
  self.onmessage = (event) => self.postMessage(answer(event.data));
  self.postMessage('ready');
};

load()
  .then((bytes) => {
    const go = new Go();
    return WebAssembly.instantiate(bytes, go.importObject).then((loaded) => go.run(loaded.instance));
  })
  .then(() => self.postMessage({ failed: 'the engine has ended' }))
  .catch((error) => self.postMessage({ failed: 'the engine does not run: ' + error.message }));
