// The resolver `line-union`: the union of the lines of all siblings, sorted, each once.
//
// Invariant: the answer depends on the bytes of the siblings alone, never on their order. There is no clock
// and no randomness here, and a map must not be ranged over before its keys are sorted.

package main

import (
	"bytes"
	"slices"
)

var description = Description{
	Name:    "line-union",
	Version: "0.1.0",
	Laws:    Commutative | Associative | Idempotent,
	// Calls that the server tries the laws on, in canonical order: by value.
	Samples: [][]string{{"apple\npear", "pear\nplum"}, {"", "apple", "quince"}},
}

// checkParams answers with a message if the params are not good.
func checkParams(params []byte) string {
	if len(params) == 0 {
		return ""
	}
	return "line-union takes no params; bind the bucket with empty params"
}

func resolve(key []byte, siblings []Sibling, params []byte) Resolution {
	var lines [][]byte
	for _, sibling := range siblings {
		for line := range bytes.SplitSeq(sibling.Value, []byte("\n")) {
			// An empty line is no line, so an empty value is an empty list.
			if len(line) > 0 {
				lines = append(lines, line)
			}
		}
	}
	slices.SortFunc(lines, bytes.Compare)
	lines = slices.CompactFunc(lines, bytes.Equal)
	return Merged(bytes.Join(lines, []byte("\n")))
}
