/* The plugin `max`: of siblings that are decimal integers, the greatest.
 *
 * For counters that only grow, high-water marks and versions. Does not add anything up: two
 * increments of one counter remain one.
 *
 * A value is ASCII text: an optional minus, then 1 to 4096 digits without leading zeros; zero is
 * "0". One spelling per number is what makes the laws hold down to the byte.
 *
 * Invariant: the number chosen depends on the set of siblings, not on their order in the list.
 */
#include "../abi/rejoin_resolver.h"

/* Beyond any number that is counted; keeps the cost of a call proportional to honest input. */
enum { DIGITS_MAX = 4096 };

#define SIBLING(text) {.value = REJOIN_TEXT(text), .content_type = REJOIN_TEXT("text/plain")}

/* Other lengths, other signs, and a number beyond 64 bits. In canonical order. */
static const rejoin_sibling LENGTHS[] = {SIBLING("10"), SIBLING("100"), SIBLING("9")};
static const rejoin_sibling SIGNS[] = {SIBLING("-10"), SIBLING("-9"), SIBLING("0")};
static const rejoin_sibling BIG[] = {SIBLING("18446744073709551615"), SIBLING("18446744073709551616")};
static const rejoin_sample SAMPLES[] = {{.key = REJOIN_TEXT("visits"), .siblings = {LENGTHS, 3}},
                                        {.key = REJOIN_TEXT("balance"), .siblings = {SIGNS, 3}},
                                        {.key = REJOIN_TEXT("visits"), .siblings = {BIG, 2}}};

static const rejoin_description *describe(void) {
    static const rejoin_description DESCRIPTION = {
        .name = REJOIN_TEXT("max"),
        .version = REJOIN_TEXT("1.0.0"),
        .laws = REJOIN_COMMUTATIVE | REJOIN_ASSOCIATIVE | REJOIN_IDEMPOTENT,
        .samples = {SAMPLES, 3}};
    return &DESCRIPTION;
}

static rejoin_params_verdict check_params(rejoin_bytes params) {
    return (rejoin_params_verdict){
        .is_error = params.length != 0,
        .error = REJOIN_TEXT("max takes no params; bind the bucket with empty params")};
}

static bool is_negative(rejoin_bytes number) { return number.length > 0 && number.bytes[0] == '-'; }

static rejoin_bytes digits_of(rejoin_bytes number) {
    uint32_t sign = is_negative(number);
    return (rejoin_bytes){number.bytes + sign, number.length - sign};
}

/* What is wrong with a value, or null if it is a number. */
static const char *fault_of(rejoin_bytes value) {
    rejoin_bytes digits = digits_of(value);
    if (digits.length == 0) {
        return "it has no digits";
    }
    if (digits.length > DIGITS_MAX) {
        return "it has more than 4096 digits";
    }
    for (uint32_t i = 0; i < digits.length; i++) {
        if (digits.bytes[i] < '0' || digits.bytes[i] > '9') {
            return "it holds something other than digits and a leading minus";
        }
    }
    if (digits.bytes[0] == '0' && value.length > 1) {
        return digits.length > 1 ? "it has leading zeros" : "zero has no minus";
    }
    return NULL;
}

/* Both must be numbers. Without leading zeros, more digits are a larger magnitude. */
static int compare_numbers(rejoin_bytes a, rejoin_bytes b) {
    bool negative = is_negative(a);
    if (negative != is_negative(b)) {
        return negative ? -1 : 1;
    }
    int magnitude = a.length != b.length ? (a.length > b.length ? 1 : -1) : rejoin_compare_bytes(a, b);
    return negative ? -magnitude : magnitude;
}

static rejoin_resolution keep(uint32_t index, uint32_t siblings, const char *fault) {
    static rejoin_message reason;
    reason.length = 0;
    rejoin_append(&reason, "sibling ");
    rejoin_append_number(&reason, index + 1);
    rejoin_append(&reason, " of ");
    rejoin_append_number(&reason, siblings);
    rejoin_append(&reason, " is not a decimal integer such as 42: ");
    rejoin_append(&reason, fault);
    return rejoin_keep_siblings(rejoin_text_of(&reason));
}

/* The same number twice can differ only in metadata and time; the later in canonical order wins. */
static bool is_greater(const rejoin_sibling *a, const rejoin_sibling *b) {
    int order = compare_numbers(a->value, b->value);
    return order ? order > 0 : rejoin_compare_siblings(a, b) >= 0;
}

static rejoin_resolution resolve(rejoin_bytes key, rejoin_siblings siblings, rejoin_pairs extras,
                                 rejoin_bytes params) {
    (void)key, (void)extras, (void)params;
    uint32_t greatest = 0;
    for (uint32_t i = 0; i < siblings.length; i++) {
        const char *fault = fault_of(siblings.items[i].value);
        if (fault) {
            return keep(i, siblings.length, fault);
        }
        if (is_greater(&siblings.items[i], &siblings.items[greatest])) {
            greatest = i;
        }
    }
    return rejoin_pick(greatest);
}
