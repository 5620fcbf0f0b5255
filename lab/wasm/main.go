//go:build js && wasm

// Command wasm is the lab's engine in a page: it runs in a Web Worker, and hands the worker one function, which answers a request.
package main

import (
	"syscall/js"

	"github.com/balsa-raft/balsa/lab"
)

func main() {
	engine := lab.NewEngine(lab.Hello{Host: "wasm"})
	answer := js.FuncOf(func(_ js.Value, args []js.Value) any {
		return string(engine.Handle([]byte(args[0].String())))
	})
	js.Global().Call("balsaReady", answer)
	select {} // The function is called for as long as the worker lives.
}
