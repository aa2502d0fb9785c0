// Greeter answers every request with its path, the time, a random number and how often its collector ran.
//
// There is no SDK for Go yet: abi.go holds what one would, for the few functions that this policy uses.
package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

func main() {}

// onRequest makes garbage, and prints a line to the gateway's log.
func onRequest(exchange exchange) decision {
	path := exchange.path()
	for range 100 {
		garbage = make([]byte, 64<<10)
	}
	fmt.Println("greeted", path)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return answer(200, "text/plain", fmt.Sprintf("%s %d %d %d", path, time.Now().UnixMilli(), rand.Uint32(), memory.NumGC))
}

var garbage []byte
