/* The resolver `line-union`: the union of the lines of all siblings, sorted, each once.
 *
 * Invariant: the answer depends on the bytes of the siblings alone, never on their order.
 */
#include "rejoin_resolver.h"

#define SIBLING(text) \
    {.value = REJOIN_TEXT(text), .content_type = REJOIN_TEXT("text/plain"), .written_at_ms = 1700000000000}

/* Calls that the server tries the laws on, in canonical order: by value. */
static const rejoin_sibling SHARED[] = {SIBLING("apple\npear"), SIBLING("pear\nplum")};
static const rejoin_sibling EMPTY[] = {SIBLING(""), SIBLING("apple"), SIBLING("quince")};
static const rejoin_sample SAMPLES[] = {
    {.key = REJOIN_TEXT("list"), .siblings = {SHARED, 2}},
    {.key = REJOIN_TEXT("list"), .siblings = {EMPTY, 3}}};

static const rejoin_description *describe(void) {
    static const rejoin_description DESCRIPTION = {
        .name = REJOIN_TEXT("line-union"),
        .version = REJOIN_TEXT("0.1.0"),
        .laws = REJOIN_COMMUTATIVE | REJOIN_ASSOCIATIVE | REJOIN_IDEMPOTENT,
        .samples = {SAMPLES, 2}};
    return &DESCRIPTION;
}

static rejoin_params_verdict check_params(rejoin_bytes params) {
    return (rejoin_params_verdict){
        .is_error = params.length != 0,
        .error = REJOIN_TEXT("line-union takes no params; bind the bucket with empty params")};
}

/* Calls `take` for each line of each sibling. An empty line is no line. */
typedef void (*line_taker)(rejoin_bytes line);

static void each_line(rejoin_siblings siblings, line_taker take) {
    for (uint32_t i = 0; i < siblings.length; i++) {
        rejoin_bytes value = siblings.items[i].value;
        for (uint32_t start = 0, end = 0; start < value.length; start = end + 1) {
            for (end = start; end < value.length && value.bytes[end] != '\n'; end++) {
            }
            if (end > start) {
                take((rejoin_bytes){value.bytes + start, end - start});
            }
        }
    }
}

static rejoin_bytes *lines;
static uint32_t count;

static void count_line(rejoin_bytes line) { (void)line, count++; }
static void keep_line(rejoin_bytes line) { lines[count++] = line; }

static void sift_down(uint32_t root, uint32_t end) {
    for (uint32_t child; (child = 2 * root + 1) < end; root = child) {
        if (child + 1 < end && rejoin_compare_bytes(lines[child], lines[child + 1]) < 0) {
            child++;
        }
        if (rejoin_compare_bytes(lines[root], lines[child]) >= 0) {
            return;
        }
        rejoin_bytes swapped = lines[root];
        lines[root] = lines[child], lines[child] = swapped;
    }
}

/* Heapsort: no recursion, no memory of its own, and no input that is much slower than others. */
static void sort_lines(void) {
    for (uint32_t root = count / 2; root-- > 0;) {
        sift_down(root, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        rejoin_bytes greatest = lines[0];
        lines[0] = lines[end], lines[end] = greatest;
        sift_down(0, end);
    }
}

static rejoin_resolution join_lines(void) {
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += lines[i].length + 1;
    }
    uint8_t *merged = rejoin_allocate(1, size), *end = merged;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && rejoin_compare_bytes(lines[i - 1], lines[i]) == 0) {
            continue;
        }
        if (end > merged) {
            *end++ = '\n';
        }
        for (uint32_t at = 0; at < lines[i].length; at++) {
            *end++ = lines[i].bytes[at];
        }
    }
    return (rejoin_resolution){
        .tag = REJOIN_MERGED, .payload.bytes = {merged, (uint32_t)(end - merged)}};
}

static rejoin_resolution resolve(rejoin_bytes key, rejoin_siblings siblings, rejoin_pairs extras,
                                 rejoin_bytes params) {
    (void)key, (void)extras, (void)params;
    count = 0;
    each_line(siblings, count_line);
    lines = (rejoin_bytes *)rejoin_allocate(4, count * sizeof *lines);
    count = 0;
    each_line(siblings, keep_line);
    sort_lines();
    return join_lines();
}
