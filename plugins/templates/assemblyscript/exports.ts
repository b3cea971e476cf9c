// The exports of a resolver by the canonical ABI, answered with resolver.ts.
//
// names.js gives them their names in the contract, which are no identifiers.
//
// Invariant: what is handed out stays where it is, since the instance ends with the call.

import { Bytes, SIBLING_BYTES, Siblings } from "./rejoin";
import { checkParams, describe, resolve } from "./resolver";

/** The host places arguments with it. */
export function rejoin_realloc(old: usize, oldSize: u32, alignment: u32, newSize: u32): usize {
  if (newSize <= oldSize) return old;
  // Blocks are aligned to 16, which is more than any record asks for.
  const moved = heap.alloc(newSize);
  memory.copy(moved, old, oldSize);
  return moved;
}

export function rejoin_initialize(): void {}

export function rejoin_describe(): usize {
  const description = describe();
  const at = zeroed(36);
  Bytes.of(description.name).put(at);
  Bytes.of(description.version).put(at + 8);
  store<u8>(at, description.laws, 16);
  const samples = description.samples;
  const list = zeroed(24 * samples.length);
  for (let i = 0; i < samples.length; i++) {
    Bytes.of("sample").put(list + 24 * i);
    putSiblings(samples[i], list + 24 * i + 8);
  }
  new Bytes(list, samples.length).put(at + 20);
  return at;
}

export function rejoin_check_params(params: usize, length: u32): usize {
  const message = checkParams(new Bytes(params, length));
  const at = zeroed(12);
  if (message.length > 0) {
    store<u8>(at, 1);
    Bytes.of(message).put(at + 4);
  }
  return at;
}

export function rejoin_resolve(
  key: usize,
  keyLength: u32,
  siblings: usize,
  siblingsLength: u32,
  extras: usize,
  extrasLength: u32,
  params: usize,
  paramsLength: u32,
): usize {
  const resolution = resolve(
    new Bytes(key, keyLength),
    new Siblings(siblings, siblingsLength),
    new Bytes(params, paramsLength),
  );
  const at = zeroed(12);
  store<u8>(at, resolution.tag);
  store<u32>(at, resolution.first, 4);
  store<u32>(at, resolution.second, 8);
  return at;
}

function zeroed(size: u32): usize {
  const at = heap.alloc(max<u32>(size, 1));
  memory.fill(at, 0, size);
  return at;
}

function putSiblings(values: string[], at: usize): void {
  const list = zeroed(SIBLING_BYTES * values.length);
  for (let i = 0; i < values.length; i++) {
    const sibling = list + SIBLING_BYTES * i;
    Bytes.of(values[i]).put(sibling);
    Bytes.of("text/plain").put(sibling + 8);
    store<u64>(sibling, 1700000000000, 24);
  }
  new Bytes(list, values.length).put(at);
}
