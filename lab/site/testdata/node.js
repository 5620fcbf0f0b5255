// Runs the engine in Node: requests come on standard input, one a line, answers go to standard output. Arguments: wasm_exec.js, engine.wasm.
'use strict';
const fs = require('fs');
require(process.argv[2]);
const go = new Go();
globalThis.balsaReady = (answer) => {
  for (const line of fs.readFileSync(0, 'utf8').split('\n')) {
    if (line) fs.writeSync(1, answer(line) + '\n');
  }
  process.exit(0);
};
WebAssembly.instantiate(fs.readFileSync(process.argv[3]), go.importObject).then((loaded) => go.run(loaded.instance));
