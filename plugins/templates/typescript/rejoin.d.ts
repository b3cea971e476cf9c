// The types of wit/plugin.wit as the JavaScript engine shows them.

export interface Extra {
  name: string;
  value: Uint8Array;
}

export interface Sibling {
  value: Uint8Array;
  contentType: string;
  metadata: [string, string][];
  writtenAtMs: number;
  extras: Extra[];
}

export type Resolution =
  | { tag: "merged"; val: Uint8Array }
  | { tag: "deleted" }
  | { tag: "pick"; val: number }
  | { tag: "keep-siblings"; val: string };

export interface Sample {
  key: Uint8Array;
  siblings: Sibling[];
  params: Uint8Array;
}

export interface Description {
  name: string;
  version: string;
  laws: { commutative: boolean; associative: boolean; idempotent: boolean };
  samples: Sample[];
  extras: Extra[];
}

export interface Resolver {
  resolve(key: Uint8Array, siblings: Sibling[], extras: Extra[], params: Uint8Array): Resolution;
}

export interface About {
  describe(): Description;
  /** Throws a string if the params are not good. */
  checkParams(params: Uint8Array): void;
}
