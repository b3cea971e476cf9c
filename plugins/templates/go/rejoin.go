// The plugin contract, version 1, as Go sees it: records, memory and the exports of a resolver.
//
// Lays out the records of wit/plugin.wit by the canonical ABI: a list or string is a pointer and a length, a
// record its fields in order. Holds no policy: resolver.go defines `description`, `checkParams` and
// `resolve`. wasi.wat answers what Go's runtime asks of an operating system.
//
// Invariant: a call lives in an instance of its own, so what is handed out is kept until the end.

package main

import (
	"encoding/binary"
	"unsafe"
)

func main() {}

// Flags of Description.Laws.
const (
	Commutative = 1 << iota
	Associative
	Idempotent
)

// Description is what `describe` says; each sample is the values of its siblings, as text.
type Description struct {
	Name    string
	Version string
	Laws    byte
	Samples [][]string
}

// Sibling is one of the values that stand beside each other under a key.
type Sibling struct {
	Value       []byte
	ContentType string
	WrittenAtMs uint64
}

// Resolution is one case of the variant: Merged, Deleted, Pick or KeepSiblings.
type Resolution struct {
	tag   byte
	bytes []byte
	place uint32
}

func Merged(value []byte) Resolution        { return Resolution{tag: 0, bytes: value} }
func Deleted() Resolution                   { return Resolution{tag: 1} }
func Pick(place uint32) Resolution          { return Resolution{tag: 2, place: place} }
func KeepSiblings(reason string) Resolution { return Resolution{tag: 3, bytes: []byte(reason)} }

// Keeps the collector from what only the host points to.
var handedOut [][]byte

// allocate gives memory that is aligned to 16 and zero.
func allocate(size uint32) []byte {
	block := make([]byte, size+16)
	handedOut = append(handedOut, block)
	start := -uintptr(unsafe.Pointer(&block[0])) & 15
	return block[start : start+uintptr(size) : start+uintptr(size)]
}

func address(bytes []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes)))) }

// view is the memory that the host placed at a pointer.
func view(at unsafe.Pointer, length uint32) []byte { return unsafe.Slice((*byte)(at), length) }

func put32(at []byte, value uint32) { binary.LittleEndian.PutUint32(at, value) }

func putBytes(at []byte, bytes []byte) {
	handedOut = append(handedOut, bytes)
	put32(at, address(bytes))
	put32(at[4:], uint32(len(bytes)))
}

func putList(at []byte, list []byte, length int) {
	put32(at, address(list))
	put32(at[4:], uint32(length))
}

const siblingBytes = 40

func getBytes(record []byte) []byte {
	at := uintptr(binary.LittleEndian.Uint32(record))
	return view(unsafe.Pointer(at), binary.LittleEndian.Uint32(record[4:]))
}

func pointer(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

// The host places arguments with it.
//
//go:wasmexport cabi_realloc
func rejoinRealloc(old unsafe.Pointer, oldSize, alignment, newSize uint32) unsafe.Pointer {
	if newSize <= oldSize {
		return old
	}
	moved := allocate(newSize)
	if oldSize > 0 {
		copy(moved, view(old, oldSize))
	}
	return pointer(moved)
}

//go:wasmexport rejoin:plugin/about@1.0.0#describe
func rejoinDescribe() unsafe.Pointer {
	answer := allocate(36)
	putBytes(answer, []byte(description.Name))
	putBytes(answer[8:], []byte(description.Version))
	answer[16] = description.Laws
	samples := allocate(uint32(24 * len(description.Samples)))
	for i, values := range description.Samples {
		sample := samples[24*i:]
		putBytes(sample, []byte("sample"))
		siblings := allocate(uint32(siblingBytes * len(values)))
		for j, value := range values {
			sibling := siblings[siblingBytes*j:]
			putBytes(sibling, []byte(value))
			putBytes(sibling[8:], []byte("text/plain"))
			binary.LittleEndian.PutUint64(sibling[24:], 1_700_000_000_000)
		}
		putList(sample[8:], siblings, len(values))
	}
	putList(answer[20:], samples, len(description.Samples))
	return pointer(answer)
}

//go:wasmexport rejoin:plugin/about@1.0.0#check-params
func rejoinCheckParams(params unsafe.Pointer, length uint32) unsafe.Pointer {
	answer := allocate(12)
	if message := checkParams(view(params, length)); message != "" {
		answer[0] = 1
		putBytes(answer[4:], []byte(message))
	}
	return pointer(answer)
}

//go:wasmexport rejoin:plugin/resolver@1.0.0#resolve
func rejoinResolve(
	key unsafe.Pointer, keyLength uint32,
	siblings unsafe.Pointer, siblingsLength uint32,
	extras unsafe.Pointer, extrasLength uint32,
	params unsafe.Pointer, paramsLength uint32,
) unsafe.Pointer {
	given := view(siblings, siblingsLength*siblingBytes)
	taken := make([]Sibling, siblingsLength)
	for i := range taken {
		record := given[siblingBytes*i:]
		taken[i] = Sibling{
			Value:       getBytes(record),
			ContentType: string(getBytes(record[8:])),
			WrittenAtMs: binary.LittleEndian.Uint64(record[24:]),
		}
	}
	said := resolve(view(key, keyLength), taken, view(params, paramsLength))
	answer := allocate(12)
	answer[0] = said.tag
	if said.tag == 2 {
		put32(answer[4:], said.place)
	} else {
		putBytes(answer[4:], said.bytes)
	}
	return pointer(answer)
}
