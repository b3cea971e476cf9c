// The resolver `line-union`: the union of the lines of all siblings, sorted, each once.
//
// Invariant: the answer depends on the bytes of the siblings alone, never on their order.

import { ASSOCIATIVE, Bytes, COMMUTATIVE, Description, IDEMPOTENT, Resolution, Siblings } from "./rejoin";

const NEWLINE: u8 = 10;

export function describe(): Description {
  // Calls that the server tries the laws on, in canonical order: by value.
  return new Description("line-union", "0.1.0", COMMUTATIVE | ASSOCIATIVE | IDEMPOTENT, [
    ["apple\npear", "pear\nplum"],
    ["", "apple", "quince"],
  ]);
}

/** A message if the params are not good, else an empty one. */
export function checkParams(params: Bytes): string {
  return params.length == 0 ? "" : "line-union takes no params; bind the bucket with empty params";
}

export function resolve(key: Bytes, siblings: Siblings, params: Bytes): Resolution {
  const lines: Bytes[] = [];
  for (let i: u32 = 0; i < siblings.length; i++) addLines(siblings.value(i), lines);
  lines.sort(Bytes.compare);
  return Resolution.merged(joined(lines));
}

/** An empty line is no line, so an empty value is an empty list. */
function addLines(value: Bytes, lines: Bytes[]): void {
  let start: u32 = 0;
  for (let end: u32 = 0; end <= value.length; end++) {
    if (end == value.length || value.byte(end) == NEWLINE) {
      if (end > start) lines.push(value.part(start, end));
      start = end + 1;
    }
  }
}

function joined(lines: Bytes[]): Bytes {
  let size: u32 = 1;
  for (let i = 0; i < lines.length; i++) size += lines[i].length + 1;
  const merged = heap.alloc(size);
  let end: u32 = 0;
  for (let i = 0; i < lines.length; i++) {
    if (i > 0 && Bytes.compare(lines[i - 1], lines[i]) == 0) continue;
    if (end > 0) store<u8>(merged + end++, NEWLINE);
    memory.copy(merged + end, lines[i].at, lines[i].length);
    end += lines[i].length;
  }
  return new Bytes(merged, end);
}
