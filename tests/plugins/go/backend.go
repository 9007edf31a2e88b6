// A backend in Go, built with -buildmode=c-shared.
package main

import "C"
import "unsafe"

type box struct{ value int }

// "nil" follows a nil pointer, which recover() makes an answer of; anything else is
// its size.
//
//export answer
func answer(line *C.char, size C.int) (result C.int) {
	defer func() {
		if recover() != nil {
			result = -1
		}
	}()
	text := string(unsafe.Slice((*byte)(unsafe.Pointer(line)), int(size)))
	if text == "nil" {
		var nowhere *box
		return C.int(nowhere.value)
	}
	return C.int(len(text))
}

func main() {}
