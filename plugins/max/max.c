/* The plugin `max`: of siblings that can be compared, the greatest, or by its params the least.
 *
 * For counters that only grow, high-water marks, versions, and the first of something. Does not add
 * anything up: two increments of one counter remain one.
 *
 * A value is a JSON number or, by the params, any bytes. Numbers are compared as the exact decimals
 * that they are; nothing is rounded. Of one number in two spellings (7 and 7.0) one is picked by the
 * canonical order, so that the laws hold down to the byte.
 *
 * Invariant: the sibling picked depends on the set of siblings, not on their order in the list.
 */
#include "../abi/rejoin_resolver.h"
#include "params.h"

/* Beyond any number that is counted; keeps the cost of a call proportional to honest input. */
enum { NUMBER_BYTES_MAX = 4096 };
/* Digits of an exponent, so that its value and that of the point fit into an int. */
enum { EXPONENT_DIGITS_MAX = 8 };

#define SIBLING(text) {.value = REJOIN_TEXT(text), .content_type = REJOIN_TEXT("text/plain")}

/* Other lengths, other signs, fractions and exponents, and the least by bytes. In canonical order. */
static const rejoin_sibling LENGTHS[] = {SIBLING("10"), SIBLING("100"), SIBLING("9")};
static const rejoin_sibling SIGNS[] = {SIBLING("-10"), SIBLING("-9"), SIBLING("0")};
static const rejoin_sibling SPELLINGS[] = {SIBLING("18446744073709551615"), SIBLING("1e20"), SIBLING("99.5"),
                                           SIBLING("99.50")};
static const rejoin_sibling DATES[] = {SIBLING("2024-04-30"), SIBLING("2024-05-01")};
static const rejoin_sample SAMPLES[] = {
    {.key = REJOIN_TEXT("visits"), .siblings = {LENGTHS, 3}},
    {.key = REJOIN_TEXT("balance"), .siblings = {SIGNS, 3}, .params = REJOIN_TEXT("{\"keep\":\"min\"}")},
    {.key = REJOIN_TEXT("visits"), .siblings = {SPELLINGS, 4}},
    {.key = REJOIN_TEXT("opened"),
     .siblings = {DATES, 2},
     .params = REJOIN_TEXT("{\"keep\":\"min\",\"order\":\"bytes\"}")}};

static const rejoin_description *describe(void) {
    static const rejoin_description DESCRIPTION = {
        .name = REJOIN_TEXT("max"),
        .version = REJOIN_TEXT("1.1.0"),
        .laws = REJOIN_COMMUTATIVE | REJOIN_ASSOCIATIVE | REJOIN_IDEMPOTENT,
        .samples = {SAMPLES, 4}};
    return &DESCRIPTION;
}

static rejoin_params_verdict check_params(rejoin_bytes params) {
    rule ignored;
    return (rejoin_params_verdict){
        .is_error = !read_rule(params, &ignored),
        .error = REJOIN_TEXT("max takes {\"keep\":\"max\" or \"min\",\"order\":\"number\" or \"bytes\"}; "
                             "each may be left out, and so may all: max and number")};
}

/* A JSON number in parts. The digits lie in the text, on both sides of a point that is skipped. */
typedef struct {
    bool is_negative;
    /* The first and the end of the digits that count, zeros at both ends left out; none for zero. */
    uint32_t first, end;
    /* Place of the point: the number is 0.digits * 10^point. */
    int32_t point;
} number;

static bool is_digit_at(rejoin_bytes text, uint32_t at) {
    return at < text.length && text.bytes[at] >= '0' && text.bytes[at] <= '9';
}

static uint32_t skip_digits(rejoin_bytes text, uint32_t at) {
    while (is_digit_at(text, at)) {
        at++;
    }
    return at;
}

static bool is_one_of(rejoin_bytes text, uint32_t at, char one, char other) {
    return at < text.length && (text.bytes[at] == one || text.bytes[at] == other);
}

/* Reads an exponent up to the end of the text. What is wrong with it, or null. */
static const char *read_exponent(rejoin_bytes text, uint32_t at, int32_t *exponent) {
    bool is_negative = at < text.length && text.bytes[at] == '-';
    at += is_one_of(text, at, '+', '-');
    if (!is_digit_at(text, at) || skip_digits(text, at) != text.length) {
        return "its exponent is not a number";
    }
    while (at < text.length && text.bytes[at] == '0') {
        at++;
    }
    if (text.length - at > EXPONENT_DIGITS_MAX) {
        return "its exponent has more than 8 digits";
    }
    int32_t magnitude = 0;
    for (; at < text.length; at++) {
        magnitude = magnitude * 10 + (text.bytes[at] - '0');
    }
    *exponent = is_negative ? -magnitude : magnitude;
    return NULL;
}

/* Reads a number by the grammar of JSON, with nothing around it. What is wrong with it, or null. */
static const char *read_number(rejoin_bytes text, number *read) {
    *read = (number){0};
    if (text.length > NUMBER_BYTES_MAX) {
        return "it has more than 4096 bytes";
    }
    read->is_negative = text.length > 0 && text.bytes[0] == '-';
    uint32_t start = read->is_negative, whole_end = skip_digits(text, start), end = whole_end;
    if (whole_end == start) {
        return "it has no digits";
    }
    if (text.bytes[start] == '0' && whole_end - start > 1) {
        return "it has leading zeros";
    }
    if (is_one_of(text, end, '.', '.')) {
        end = skip_digits(text, whole_end + 1);
        if (end == whole_end + 1) {
            return "it has no digits behind the point";
        }
    }
    int32_t exponent = 0;
    if (is_one_of(text, end, 'e', 'E')) {
        const char *fault = read_exponent(text, end + 1, &exponent);
        if (fault) {
            return fault;
        }
    } else if (end != text.length) {
        return "it holds something other than a number";
    }
    uint32_t first = start;
    while (first < end && (text.bytes[first] == '0' || text.bytes[first] == '.')) {
        first++;
    }
    while (end > first && (text.bytes[end - 1] == '0' || text.bytes[end - 1] == '.')) {
        end--;
    }
    read->first = first, read->end = end;
    read->is_negative &= first < end; /* Zero has no sign. */
    /* Digits before the point, less the zeros that were left out; behind the point these count down. */
    int32_t point = first < whole_end ? (int32_t)(whole_end - first) : (int32_t)whole_end + 1 - (int32_t)first;
    read->point = point + exponent;
    return NULL;
}

/* The next digit that counts, or -1 behind the last. */
static int next_digit(rejoin_bytes text, const number *of, uint32_t *at) {
    if (*at < of->end && text.bytes[*at] == '.') {
        (*at)++;
    }
    return *at < of->end ? text.bytes[(*at)++] - '0' : -1;
}

static int compare_magnitudes(rejoin_bytes a, const number *of_a, rejoin_bytes b, const number *of_b) {
    bool is_a_zero = of_a->first == of_a->end, is_b_zero = of_b->first == of_b->end;
    if (is_a_zero || is_b_zero) {
        return is_b_zero - is_a_zero;
    }
    if (of_a->point != of_b->point) {
        return of_a->point > of_b->point ? 1 : -1;
    }
    uint32_t at_a = of_a->first, at_b = of_b->first;
    for (;;) {
        int digit_a = next_digit(a, of_a, &at_a), digit_b = next_digit(b, of_b, &at_b);
        if (digit_a != digit_b) {
            return digit_a > digit_b ? 1 : -1;
        }
        if (digit_a < 0) {
            return 0;
        }
    }
}

static int compare_numbers(rejoin_bytes a, const number *of_a, rejoin_bytes b, const number *of_b) {
    if (of_a->is_negative != of_b->is_negative) {
        return of_a->is_negative ? -1 : 1;
    }
    int magnitude = compare_magnitudes(a, of_a, b, of_b);
    return of_a->is_negative ? -magnitude : magnitude;
}

static rejoin_resolution keep(uint32_t index, uint32_t siblings, const char *fault) {
    static rejoin_message reason;
    reason.length = 0;
    rejoin_append(&reason, "sibling ");
    rejoin_append_number(&reason, index + 1);
    rejoin_append(&reason, " of ");
    rejoin_append_number(&reason, siblings);
    rejoin_append(&reason, " is not a number such as 42 or -1.5: ");
    rejoin_append(&reason, fault);
    return rejoin_keep_siblings(rejoin_text_of(&reason));
}

static rejoin_resolution resolve(rejoin_bytes key, rejoin_siblings siblings, rejoin_pairs extras,
                                 rejoin_bytes params) {
    (void)key, (void)extras;
    rule by;
    if (!read_rule(params, &by)) {
        return rejoin_keep_siblings((rejoin_bytes)REJOIN_TEXT("max does not know the params of this bucket"));
    }
    uint32_t chosen = 0;
    number of_chosen = {0};
    for (uint32_t i = 0; i < siblings.length; i++) {
        const rejoin_sibling *candidate = &siblings.items[i], *best = &siblings.items[chosen];
        number read = {0};
        int order = 0;
        if (by.order == ORDER_NUMBER) {
            const char *fault = read_number(candidate->value, &read);
            if (fault) {
                return keep(i, siblings.length, fault);
            }
            order = i ? compare_numbers(candidate->value, &read, best->value, &of_chosen) : 0;
        }
        /* The same number twice, or bytes: the canonical order starts with the bytes of the value. */
        order = order ? order : rejoin_compare_siblings(candidate, best);
        if (i == 0 || (by.keep == KEEP_MAX ? order >= 0 : order <= 0)) {
            chosen = i;
            of_chosen = read;
        }
    }
    return rejoin_pick(chosen);
}
