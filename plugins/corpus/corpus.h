/* What the resolvers of the corpus share: a description, sorting, lines, numbers, and a place to write.
 *
 * Each file of `good/` and `bad/` defines NAME and three sample values, includes this, and defines `resolve`. All claim
 * all laws: whether they may is what the law check has to find out.
 *
 * Not an example to copy: sizes are fixed, and what does not fit traps.
 */
#include "../abi/rejoin_resolver.h"

#define SAMPLED(value_, at_ms) {.value = REJOIN_TEXT(value_), .written_at_ms = (at_ms)}

static const rejoin_sibling SAMPLE_SIBLINGS[] = {
    SAMPLED(SAMPLE_A, 1700000001000), SAMPLED(SAMPLE_B, 1700000002000), SAMPLED(SAMPLE_C, 1700000003000)};
static const rejoin_sample SAMPLES[] = {{.key = REJOIN_TEXT("key"), .siblings = {SAMPLE_SIBLINGS, 3}}};

static const rejoin_description *describe(void) {
    static const rejoin_description DESCRIPTION = {
        .name = REJOIN_TEXT(NAME),
        .version = REJOIN_TEXT("1.0.0"),
        .laws = REJOIN_COMMUTATIVE | REJOIN_ASSOCIATIVE | REJOIN_IDEMPOTENT,
        .samples = {SAMPLES, 1}};
    return &DESCRIPTION;
}

static rejoin_params_verdict check_params(rejoin_bytes params) {
    return (rejoin_params_verdict){.is_error = params.length != 0, .error = REJOIN_TEXT("it takes no params")};
}

#define RESOLVE                                                                                  \
    static rejoin_resolution resolve_siblings(rejoin_siblings siblings);                         \
    static rejoin_resolution resolve(rejoin_bytes key, rejoin_siblings siblings,                 \
                                     rejoin_pairs extras, rejoin_bytes params) {                 \
        (void)key, (void)extras, (void)params;                                                   \
        return resolve_siblings(siblings);                                                       \
    }                                                                                            \
    static rejoin_resolution resolve_siblings(rejoin_siblings siblings)

static inline rejoin_resolution keep(void) {
    return rejoin_keep_siblings((rejoin_bytes)REJOIN_TEXT("there is no rule for these"));
}

/* ---- Writing ---- */

static uint8_t written[256 * 1024];
static uint32_t written_length = 0;

static inline void write_bytes(rejoin_bytes bytes) {
    if (bytes.length > sizeof written - written_length) {
        __builtin_trap();
    }
    for (uint32_t i = 0; i < bytes.length; i++) {
        written[written_length++] = bytes.bytes[i];
    }
}

static inline void write_text(const char *text) {
    for (; *text; text++) {
        write_bytes((rejoin_bytes){(const uint8_t *)text, 1});
    }
}

static inline void write_number(int64_t number) {
    uint8_t digits[20];
    uint32_t first = sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--first] = (uint8_t)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) {
        write_text("-");
    }
    write_bytes((rejoin_bytes){digits + first, sizeof digits - first});
}

static inline rejoin_resolution merged(void) {
    return (rejoin_resolution){.tag = REJOIN_MERGED, .payload.bytes = {written, written_length}};
}

/* ---- Numbers ---- */

/* A decimal integer of at most 15 digits. */
static inline bool parse_number(rejoin_bytes text, int64_t *number) {
    bool negative = text.length > 0 && text.bytes[0] == '-';
    uint32_t first = negative ? 1 : 0;
    if (text.length == first || text.length > first + 15) {
        return false;
    }
    *number = 0;
    for (uint32_t i = first; i < text.length; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') {
            return false;
        }
        *number = *number * 10 + (text.bytes[i] - '0');
    }
    *number = negative ? -*number : *number;
    return true;
}

/* ---- Lines ---- */

enum { LINES_MAX = 4096 };

typedef struct {
    rejoin_bytes items[LINES_MAX];
    uint32_t length;
} lines;

/* Every line of a value, in its order; empty ones are left out. */
static inline void add_lines(lines *list, rejoin_bytes value) {
    uint32_t start = 0;
    for (uint32_t i = 0; i <= value.length; i++) {
        if (i < value.length && value.bytes[i] != '\n') {
            continue;
        }
        if (i > start) {
            if (list->length == LINES_MAX) {
                __builtin_trap();
            }
            list->items[list->length++] = (rejoin_bytes){value.bytes + start, i - start};
        }
        start = i + 1;
    }
}

static inline void sort_lines(lines *list) {
    uint32_t kept = 0;
    for (uint32_t i = 1; i < list->length; i++) {
        rejoin_bytes line = list->items[i];
        uint32_t place = i;
        for (; place > 0 && rejoin_compare_bytes(list->items[place - 1], line) > 0; place--) {
            list->items[place] = list->items[place - 1];
        }
        list->items[place] = line;
    }
    for (uint32_t i = 0; i < list->length; i++) {
        if (i == 0 || rejoin_compare_bytes(list->items[kept - 1], list->items[i]) != 0) {
            list->items[kept++] = list->items[i];
        }
    }
    list->length = kept;
}

static inline void write_lines(const lines *list) {
    for (uint32_t i = 0; i < list->length; i++) {
        if (i > 0) {
            write_text("\n");
        }
        write_bytes(list->items[i]);
    }
}

/* ---- Order ---- */

/* The place of the sibling that is the greatest in canonical order, whatever the order of the list. */
static inline uint32_t greatest(rejoin_siblings siblings) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < siblings.length; i++) {
        if (rejoin_compare_siblings(&siblings.items[i], &siblings.items[best]) > 0) {
            best = i;
        }
    }
    return best;
}
