//! The plugin contract, version 1, as Zig sees it: records, memory and the exports of a resolver.
//!
//! Lays out the records of wit/plugin.wit by the canonical ABI: a list or string is a pointer and a
//! length, a record its fields in order, which is what `extern struct` does on wasm32. Holds no policy:
//! resolver.zig defines `describe`, `checkParams` and `resolve`.
//!
//! Invariant: a call lives in an instance of its own, so memory is handed out and never taken back.

const std = @import("std");
const plugin = @import("resolver.zig");

pub fn List(comptime Item: type) type {
    return extern struct {
        items: [*]const Item,
        length: u32,

        pub fn of(items: []const Item) @This() {
            return .{ .items = items.ptr, .length = @intCast(items.len) };
        }

        pub fn slice(self: @This()) []const Item {
            return self.items[0..self.length];
        }
    };
}

pub const Bytes = List(u8);
/// `tuple<string, string>` of the metadata and the record `extra`: both are two byte strings.
pub const Pair = extern struct { name: Bytes, value: Bytes };

pub const Sibling = extern struct {
    value: Bytes,
    content_type: Bytes,
    metadata: List(Pair),
    written_at_ms: u64,
    extras: List(Pair),
};

pub const commutative: u8 = 1 << 0;
pub const associative: u8 = 1 << 1;
pub const idempotent: u8 = 1 << 2;

pub const Sample = extern struct { key: Bytes, siblings: List(Sibling), params: Bytes };

pub const Description = extern struct {
    name: Bytes,
    version: Bytes,
    laws: u8,
    samples: List(Sample),
    extras: List(Pair),
};

/// `result<_, string>`: the message is read only if `is_error` is 1.
pub const Verdict = extern struct { is_error: u8, message: Bytes };

/// The variant `resolution`: a tag, and the payload at its alignment.
pub const Resolution = extern struct {
    tag: u8,
    payload: extern union { bytes: Bytes, index: u32 },

    pub fn merged(bytes: []const u8) Resolution {
        return .{ .tag = 0, .payload = .{ .bytes = .of(bytes) } };
    }

    pub fn deleted() Resolution {
        return .{ .tag = 1, .payload = .{ .index = 0 } };
    }

    pub fn pick(index: u32) Resolution {
        return .{ .tag = 2, .payload = .{ .index = index } };
    }

    pub fn keepSiblings(reason: []const u8) Resolution {
        return .{ .tag = 3, .payload = .{ .bytes = .of(reason) } };
    }
};

comptime {
    std.debug.assert(@sizeOf(Sibling) == 40 and @offsetOf(Sibling, "written_at_ms") == 24);
    std.debug.assert(@sizeOf(Description) == 36 and @offsetOf(Description, "samples") == 20);
    std.debug.assert(@sizeOf(Resolution) == 12 and @sizeOf(Verdict) == 12);
}

/// Everything that a call needs; nothing is freed, since the instance ends with the call.
pub const allocator = std.heap.wasm_allocator;

export fn cm32p2_initialize() void {}

/// The host places arguments with it.
export fn cm32p2_realloc(old: [*]u8, old_size: u32, alignment: u32, new_size: u32) [*]u8 {
    if (new_size <= old_size) return old;
    const place = allocator.rawAlloc(new_size, .fromByteUnits(alignment), 0) orelse @trap();
    @memcpy(place[0..old_size], old[0..old_size]);
    return place;
}

export fn @"cm32p2|rejoin:plugin/about@1|describe"() *const Description {
    return &plugin.description;
}

var verdict: Verdict = undefined;

export fn @"cm32p2|rejoin:plugin/about@1|check-params"(params: [*]const u8, length: u32) *const Verdict {
    verdict = if (plugin.checkParams(params[0..length])) |message|
        .{ .is_error = 1, .message = .of(message) }
    else
        .{ .is_error = 0, .message = .of("") };
    return &verdict;
}

var resolution: Resolution = undefined;

export fn @"cm32p2|rejoin:plugin/resolver@1|resolve"(
    key: [*]const u8,
    key_length: u32,
    siblings: [*]const Sibling,
    siblings_length: u32,
    extras: [*]const Pair,
    extras_length: u32,
    params: [*]const u8,
    params_length: u32,
) *const Resolution {
    _ = extras[0..extras_length];
    resolution = plugin.resolve(key[0..key_length], siblings[0..siblings_length], params[0..params_length]);
    return &resolution;
}
