//! The resolver `line-union`: the union of the lines of all siblings, sorted, each once.
//!
//! Invariant: the answer depends on the bytes of the siblings alone, never on their order.

const std = @import("std");
const rejoin = @import("rejoin.zig");

// The exports of the contract are in there.
comptime {
    _ = rejoin;
}

pub const description: rejoin.Description = .{
    .name = .of("line-union"),
    .version = .of("0.1.0"),
    .laws = rejoin.commutative | rejoin.associative | rejoin.idempotent,
    // Calls that the server tries the laws on, in canonical order: by value.
    .samples = .of(&.{
        .{ .key = .of("list"), .siblings = .of(&.{ sibling("apple\npear"), sibling("pear\nplum") }), .params = .of("") },
        .{ .key = .of("list"), .siblings = .of(&.{ sibling(""), sibling("apple"), sibling("quince") }), .params = .of("") },
    }),
    .extras = .of(&.{}),
};

fn sibling(value: []const u8) rejoin.Sibling {
    return .{
        .value = .of(value),
        .content_type = .of("text/plain"),
        .metadata = .of(&.{}),
        .written_at_ms = 1_700_000_000_000,
        .extras = .of(&.{}),
    };
}

/// A message if the params are not good.
pub fn checkParams(params: []const u8) ?[]const u8 {
    return if (params.len == 0) null else "line-union takes no params; bind the bucket with empty params";
}

pub fn resolve(key: []const u8, siblings: []const rejoin.Sibling, params: []const u8) rejoin.Resolution {
    _ = key;
    _ = params;
    return .merged(merge(siblings) catch @trap());
}

/// The rule itself. An empty line is no line, so an empty value is an empty list.
fn merge(siblings: []const rejoin.Sibling) ![]const u8 {
    var lines: std.ArrayList([]const u8) = .empty;
    for (siblings) |each| {
        var rest = std.mem.tokenizeScalar(u8, each.value.slice(), '\n');
        while (rest.next()) |line| try lines.append(rejoin.allocator, line);
    }
    // A sort without worst cases: fuel is bounded.
    std.sort.heap([]const u8, lines.items, {}, before);
    var merged: std.ArrayList(u8) = .empty;
    for (lines.items, 0..) |line, i| {
        if (i > 0 and std.mem.eql(u8, line, lines.items[i - 1])) continue;
        if (merged.items.len > 0) try merged.append(rejoin.allocator, '\n');
        try merged.appendSlice(rejoin.allocator, line);
    }
    return merged.items;
}

fn before(_: void, a: []const u8, b: []const u8) bool {
    return std.mem.lessThan(u8, a, b);
}
