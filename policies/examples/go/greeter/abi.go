package main

import (
	"runtime"
	"unsafe"
)

// Values cross as the component model's canonical ABI has it: text as an address and a length, results at an address.

//go:wasmimport gatewright:policy/types@0.1.0 [method]exchange.path
func exchangePath(exchange int32, result unsafe.Pointer)

//go:wasmimport gatewright:policy/types@0.1.0 [resource-drop]exchange
func exchangeDrop(exchange int32)

//go:wasmimport gatewright:policy/types@0.1.0 [constructor]reply
func replyNew(status int32) int32

//go:wasmimport gatewright:policy/types@0.1.0 [method]reply.set-body
func replySetBody(reply int32, kind unsafe.Pointer, kindLen uint32, body unsafe.Pointer, bodyLen uint32)

type (
	exchange int32
	decision struct{ tag, reply uint32 }
	text     struct{ at, len uint32 }
)

// What the host was given an address of stays here, as the collector does not see that address.
var (
	kept       [][]byte
	result     [4]uint32
	descriptor [4]uint32
	schema     = []byte("{}")
)

func address[T any](value *T) uint32 { return uint32(uintptr(unsafe.Pointer(value))) }

// The host calls this while nobody may call out. The collector, which reads clocks, may start all the same: here it is
// made to.
//
//go:wasmexport cabi_realloc
func reallocate(_, _, align, size uint32) uint32 {
	runtime.GC()
	block := make([]byte, size+align)
	kept = append(kept, block)
	at := address(unsafe.SliceData(block))
	return (at + align - 1) &^ (align - 1)
}

func (exchange exchange) path() string {
	var path text
	exchangePath(int32(exchange), unsafe.Pointer(&path))
	return unsafe.String((*byte)(unsafe.Pointer(uintptr(path.at))), path.len)
}

func answer(status int32, kind, body string) decision {
	reply := replyNew(status)
	replySetBody(reply, unsafe.Pointer(unsafe.StringData(kind)), uint32(len(kind)),
		unsafe.Pointer(unsafe.StringData(body)), uint32(len(body)))
	return decision{tag: 2, reply: uint32(reply)}
}

//go:wasmexport gatewright:policy/lifecycle@0.1.0#describe
func describe() uint32 {
	descriptor = [4]uint32{address(&schema[0]), uint32(len(schema)), 0, 0}
	return address(&descriptor)
}

//go:wasmexport gatewright:policy/lifecycle@0.1.0#validate-config
func validateConfig(_, _ uint32) uint32 {
	result = [4]uint32{}
	return address(&result)
}

//go:wasmexport gatewright:policy/lifecycle@0.1.0#configure
func configure(_, _ uint32) uint32 {
	result = [4]uint32{}
	return address(&result)
}

//go:wasmexport gatewright:policy/on-request@0.1.0#handle
func handle(borrowed int32) uint32 {
	decision := onRequest(exchange(borrowed))
	exchangeDrop(borrowed)
	kept = nil
	result = [4]uint32{0, decision.tag, decision.reply, 0}
	return address(&result)
}
