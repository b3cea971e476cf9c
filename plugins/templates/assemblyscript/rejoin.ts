// The records of the plugin contract, version 1, as AssemblyScript sees them.
//
// Reads what the host placed in memory by the canonical ABI: a list or string is a pointer and a length, a
// record its fields in order. Holds no policy, and no exports: see exports.ts.
//
// Invariant: a call lives in an instance of its own, so memory is handed out and never taken back.

/** Bytes in memory; as a string of the contract they are UTF-8. */
@unmanaged
export class Bytes {
  constructor(
    public at: usize,
    public length: u32,
  ) {}

  static of(text: string): Bytes {
    const length = <u32>String.UTF8.byteLength(text);
    const at = heap.alloc(max<u32>(length, 1));
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
    return new Bytes(at, length);
  }

  /** Less than, equal to or greater than zero, byte by byte. */
  static compare(a: Bytes, b: Bytes): i32 {
    const order = memory.compare(a.at, b.at, min(a.length, b.length));
    return order != 0 ? order : a.length < b.length ? -1 : a.length > b.length ? 1 : 0;
  }

  byte(place: u32): u8 {
    return load<u8>(this.at + place);
  }

  part(start: u32, end: u32): Bytes {
    return new Bytes(this.at + start, end - start);
  }

  /** Puts pointer and length where a record wants them. */
  put(at: usize): void {
    store<u32>(at, <u32>this.at);
    store<u32>(at, this.length, 4);
  }
}

export const SIBLING_BYTES: u32 = 40;

/** The siblings as the host placed them. */
@unmanaged
export class Siblings {
  constructor(
    private at: usize,
    public length: u32,
  ) {}

  private field(place: u32, offset: u32): Bytes {
    const at = this.at + place * SIBLING_BYTES + offset;
    return new Bytes(load<u32>(at), load<u32>(at, 4));
  }

  value(place: u32): Bytes {
    return this.field(place, 0);
  }

  contentType(place: u32): Bytes {
    return this.field(place, 8);
  }

  writtenAtMs(place: u32): u64 {
    return load<u64>(this.at + place * SIBLING_BYTES, 24);
  }
}

/** One case of the variant `resolution`. */
@unmanaged
export class Resolution {
  private constructor(
    public tag: u8,
    public first: u32,
    public second: u32,
  ) {}

  static merged(value: Bytes): Resolution {
    return new Resolution(0, <u32>value.at, value.length);
  }

  static deleted(): Resolution {
    return new Resolution(1, 0, 0);
  }

  static pick(place: u32): Resolution {
    return new Resolution(2, place, 0);
  }

  static keepSiblings(reason: string): Resolution {
    const text = Bytes.of(reason);
    return new Resolution(3, <u32>text.at, text.length);
  }
}

/** The flags `laws`. */
export const COMMUTATIVE: u8 = 1;
export const ASSOCIATIVE: u8 = 2;
export const IDEMPOTENT: u8 = 4;

/** What `describe` says; each sample is the values of its siblings, as text. */
export class Description {
  constructor(
    public name: string,
    public version: string,
    public laws: u8,
    public samples: string[][],
  ) {}
}
