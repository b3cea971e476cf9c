// The resolver `line-union`: the union of the lines of all siblings, sorted, each once.
//
// Invariant: the answer depends on the bytes of the siblings alone, never on their order. There is no
// clock and no randomness here: `Date.now()` and `Math.random()` must not be asked.

import type { About, Resolver, Sample } from "./rejoin";

const NEWLINE = 10;

// A line as a string with one character per byte, so that comparing strings compares bytes. Values
// need not be UTF-8, and the engine has no TextDecoder.
function lines(value: Uint8Array): string[] {
  const found: string[] = [];
  let line = "";
  for (const byte of value) {
    if (byte === NEWLINE) {
      found.push(line);
      line = "";
    } else {
      line += String.fromCharCode(byte);
    }
  }
  found.push(line);
  return found.filter((each) => each !== "");
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

export const resolver: Resolver = {
  resolve(_key, siblings, _extras, _params) {
    const all = new Set(siblings.flatMap((sibling) => lines(sibling.value)));
    // Without a comparison function `sort` goes by code units, which are our bytes.
    return { tag: "merged", val: bytes([...all].sort().join("\n")) };
  },
};

const sample = (...values: string[]): Sample => ({
  key: bytes("list"),
  siblings: values.map((value) => ({
    value: bytes(value),
    contentType: "text/plain",
    metadata: [],
    writtenAtMs: 1700000000000,
    extras: [],
  })),
  params: bytes(""),
});

export const about: About = {
  describe() {
    return {
      name: "line-union",
      version: "0.1.0",
      laws: { commutative: true, associative: true, idempotent: true },
      // Calls that the server tries the laws on, in canonical order: by value.
      samples: [sample("apple\npear", "pear\nplum"), sample("", "apple", "quince")],
      extras: [],
    };
  },

  checkParams(params) {
    if (params.length !== 0) {
      throw "line-union takes no params; bind the bucket with empty params";
    }
  },
};
