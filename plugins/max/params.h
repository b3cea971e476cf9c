/* The params of the plugin `max`: a JSON object of two words, each of which may be left out.
 *
 * Not a JSON reader: the words that are known have no escapes, so no other spelling of them is taken.
 *
 * Invariant: what is read is known word for word, and anything else is refused.
 */
#ifndef MAX_PARAMS_H
#define MAX_PARAMS_H

#include "../abi/rejoin_plugin.h"

typedef struct {
    enum { KEEP_MAX, KEEP_MIN } keep;
    enum { ORDER_NUMBER, ORDER_BYTES } order;
} rule;

static void skip_spaces(rejoin_bytes text, uint32_t *at) {
    while (*at < text.length && (text.bytes[*at] == ' ' || text.bytes[*at] == '\n' || text.bytes[*at] == '\r' ||
                                 text.bytes[*at] == '\t')) {
        (*at)++;
    }
}

/* Takes these characters, and spaces before and behind them, if they come next. */
static bool takes(rejoin_bytes text, uint32_t *at, const char *wanted) {
    skip_spaces(text, at);
    uint32_t next = *at;
    for (; *wanted; wanted++, next++) {
        if (next >= text.length || text.bytes[next] != (uint8_t)*wanted) {
            return false;
        }
    }
    *at = next;
    skip_spaces(text, at);
    return true;
}

/* One member: its name and one of its two words, and no member twice. */
static bool read_member(rejoin_bytes params, uint32_t *at, rule *read, bool seen[2]) {
    bool is_keep = takes(params, at, "\"keep\"");
    if (!is_keep && !takes(params, at, "\"order\"")) {
        return false;
    }
    if (seen[is_keep] || !takes(params, at, ":")) {
        return false;
    }
    seen[is_keep] = true;
    if (takes(params, at, is_keep ? "\"max\"" : "\"number\"")) {
        return true;
    }
    if (!takes(params, at, is_keep ? "\"min\"" : "\"bytes\"")) {
        return false;
    }
    if (is_keep) {
        read->keep = KEEP_MIN;
    } else {
        read->order = ORDER_BYTES;
    }
    return true;
}

/* False if the params are not known. Empty ones ask for the greatest number. */
static bool read_rule(rejoin_bytes params, rule *read) {
    *read = (rule){KEEP_MAX, ORDER_NUMBER};
    if (params.length == 0) {
        return true;
    }
    uint32_t at = 0;
    bool seen[2] = {false, false};
    if (!takes(params, &at, "{")) {
        return false;
    }
    if (!takes(params, &at, "}")) {
        do {
            if (!read_member(params, &at, read, seen)) {
                return false;
            }
        } while (takes(params, &at, ","));
        if (!takes(params, &at, "}")) {
            return false;
        }
    }
    return at == params.length;
}

#endif
