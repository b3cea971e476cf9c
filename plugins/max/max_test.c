/* Native tests of the plugin `max`. Includes the plugin whole, so that its private functions are
 * reachable. Not part of the component.
 *
 * Invariant: exits with 0 only if every claim holds, and names the line of the first that does not.
 */
#include <assert.h>
#include <string.h>

#include "max.c"

static rejoin_sibling sibling(const char *value) {
    return (rejoin_sibling){.value = {(const uint8_t *)value, (uint32_t)strlen(value)}};
}

static rejoin_resolution resolve_list(const rejoin_sibling *items, uint32_t length) {
    rejoin_bytes none = {0};
    return resolve(none, (rejoin_siblings){items, length}, (rejoin_pairs){0}, none);
}

static void numbers_are_ordered_by_value_and_not_as_text(void) {
    const char *ascending[] = {"-100", "-99", "-10", "-9", "-1", "0", "1", "9", "10", "99", "100",
                               "18446744073709551616"};
    const int count = sizeof ascending / sizeof *ascending;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            rejoin_sibling pair[] = {sibling(ascending[i]), sibling(ascending[j])};
            rejoin_resolution answer = resolve_list(pair, 2);
            assert(answer.tag == REJOIN_PICK);
            assert(answer.payload.index == (j >= i ? 1u : 0u));
        }
    }
}

static void the_same_number_goes_to_the_later_in_canonical_order(void) {
    rejoin_sibling early = sibling("7"), late = sibling("7");
    late.written_at_ms = 1;
    rejoin_sibling forth[] = {early, late}, back[] = {late, early};
    assert(resolve_list(forth, 2).payload.index == 1);
    assert(resolve_list(back, 2).payload.index == 0);
}

static void what_is_no_number_keeps_the_siblings(void) {
    const char *faulty[] = {"", "-", "+1", "007", "-0", "00", "1 ", " 1", "1.5", "1e3", "x", "--1"};
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
        rejoin_sibling pair[] = {sibling("1"), sibling(faulty[i])};
        rejoin_resolution answer = resolve_list(pair, 2);
        assert(answer.tag == REJOIN_KEEP_SIBLINGS);
        assert(memcmp(answer.payload.bytes.bytes, "sibling 2 of 2 ", 15) == 0);
    }
}

static void the_longest_number_has_4096_digits(void) {
    static char digits[DIGITS_MAX + 2];
    memset(digits, '9', DIGITS_MAX);
    rejoin_sibling pair[] = {sibling(digits), sibling("1")};
    assert(resolve_list(pair, 2).tag == REJOIN_PICK);
    digits[DIGITS_MAX] = '9';
    pair[0] = sibling(digits);
    assert(resolve_list(pair, 2).tag == REJOIN_KEEP_SIBLINGS);
}

static void params_are_refused(void) {
    rejoin_bytes braces = REJOIN_TEXT("{}");
    assert(check_params(braces).is_error && !check_params((rejoin_bytes){0}).is_error);
}

int main(void) {
    numbers_are_ordered_by_value_and_not_as_text();
    the_same_number_goes_to_the_later_in_canonical_order();
    what_is_no_number_keeps_the_siblings();
    the_longest_number_has_4096_digits();
    params_are_refused();
    assert(describe()->samples.length == 3);
    return 0;
}
