/* Native tests of the plugin `max`. Includes the plugin whole, so that its private functions are
 * reachable. Not part of the component.
 *
 * Invariant: exits with 0 only if every claim holds, and names the line of the first that does not.
 */
#include <assert.h>
#include <string.h>

#include "max.c"

static rejoin_bytes text(const char *of) {
    return (rejoin_bytes){(const uint8_t *)of, (uint32_t)strlen(of)};
}

static rejoin_sibling sibling(const char *value) { return (rejoin_sibling){.value = text(value)}; }

static rejoin_resolution resolve_by(const char *params, const rejoin_sibling *items, uint32_t length) {
    return resolve(text(""), (rejoin_siblings){items, length}, (rejoin_pairs){0}, text(params));
}

static rejoin_resolution resolve_list(const rejoin_sibling *items, uint32_t length) {
    return resolve_by("", items, length);
}

static const char *const ASCENDING[] = {
    "-1e30", "-100.5", "-100", "-99", "-10", "-9", "-1", "-0.5", "-1e-30", "0", "1e-30", "0.009", "0.01", "0.5",
    "0.50001", "1", "1.5", "9", "10", "99", "99.9", "100", "9007199254740992", "9007199254740993",
    "18446744073709551616", "1e20", "1.5e20", "2E+20", "1e30", "1e99999999"};
enum { COUNT = sizeof ASCENDING / sizeof *ASCENDING };

static void numbers_are_ordered_by_value_and_not_as_text(void) {
    for (uint32_t i = 0; i < COUNT; i++) {
        for (uint32_t j = 0; j < COUNT; j++) {
            rejoin_sibling pair[] = {sibling(ASCENDING[i]), sibling(ASCENDING[j])};
            assert(resolve_list(pair, 2).payload.index == (j >= i ? 1u : 0u));
            assert(resolve_by("{\"keep\":\"min\"}", pair, 2).payload.index == (j <= i ? 1u : 0u));
        }
    }
}

static void one_number_in_two_spellings_is_the_later_in_canonical_order(void) {
    const char *equal[][2] = {{"1", "1.0"},  {"1", "1e0"},      {"100", "1E2"},   {"0", "-0"},    {"0", "0.000e7"},
                              {"-1.5", "-15e-1"}, {"0.01", "1e-2"}, {"10.10", "10.1"}, {"1", "10e-1"}};
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
        rejoin_sibling forth[] = {sibling(equal[i][0]), sibling(equal[i][1])}, back[] = {forth[1], forth[0]};
        bool is_second = rejoin_compare_siblings(&forth[1], &forth[0]) > 0;
        assert(resolve_list(forth, 2).payload.index == (is_second ? 1u : 0u));
        assert(resolve_list(back, 2).payload.index == (is_second ? 0u : 1u));
    }
}

static void the_same_number_goes_to_the_later_in_canonical_order(void) {
    rejoin_sibling early = sibling("7"), late = sibling("7");
    late.written_at_ms = 1;
    rejoin_sibling forth[] = {early, late}, back[] = {late, early};
    assert(resolve_list(forth, 2).payload.index == 1);
    assert(resolve_list(back, 2).payload.index == 0);
    assert(resolve_by("{\"keep\":\"min\"}", forth, 2).payload.index == 0);
}

/* Spellings of few numbers, so that many are equal; and the laws on every three of them, by every rule. */
static void every_rule_is_commutative_associative_and_idempotent(void) {
    const char *values[] = {"-1", "-1.0", "-0", "0", "0.0", "1", "10e-1", "1.0", "9", "10", "1e1"};
    const char *rules[] = {"", "{\"keep\":\"min\"}", "{\"order\":\"bytes\"}",
                           "{\"keep\":\"min\",\"order\":\"bytes\"}"};
    const int count = sizeof values / sizeof *values;
    for (int choice = 0; choice < 4 * count * count * count; choice++) {
        const char *by = rules[choice % 4];
        rejoin_sibling abc[] = {sibling(values[choice / 4 % count]), sibling(values[choice / 4 / count % count]),
                                sibling(values[choice / 4 / count / count])};
        rejoin_sibling cba[] = {abc[2], abc[1], abc[0]};
        rejoin_sibling all = abc[resolve_by(by, abc, 3).payload.index];
        rejoin_sibling backwards = cba[resolve_by(by, cba, 3).payload.index];
        rejoin_sibling ab = abc[resolve_by(by, abc, 2).payload.index];
        rejoin_sibling grouped[] = {ab, abc[2]}, again[] = {all, abc[1]};
        rejoin_sibling in_groups = grouped[resolve_by(by, grouped, 2).payload.index];
        rejoin_sibling repeated = again[resolve_by(by, again, 2).payload.index];
        assert(rejoin_compare_siblings(&all, &backwards) == 0);
        assert(rejoin_compare_siblings(&all, &in_groups) == 0);
        assert(rejoin_compare_siblings(&all, &repeated) == 0);
    }
}

static void by_bytes_any_value_will_do(void) {
    rejoin_sibling items[] = {sibling("pear"), sibling(""), sibling("10"), sibling("9")};
    assert(resolve_by("{\"order\":\"bytes\"}", items, 4).payload.index == 0);
    assert(resolve_by("{\"order\":\"bytes\",\"keep\":\"min\"}", items, 4).payload.index == 1);
    assert(resolve_by("{\"order\":\"bytes\"}", items + 2, 2).payload.index == 1);
}

static void what_is_no_number_keeps_the_siblings(void) {
    const char *faulty[] = {"", "-", "+1", "007", "-00", "00", "1 ", " 1", "1.", ".5", "1e", "1e+", "1e1.5", "x", "--1",
                            "1e100000000", "\"1\"", "0x1", "1.5.5"};
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
        rejoin_sibling pair[] = {sibling("1"), sibling(faulty[i])};
        rejoin_resolution answer = resolve_list(pair, 2);
        assert(answer.tag == REJOIN_KEEP_SIBLINGS);
        assert(memcmp(answer.payload.bytes.bytes, "sibling 2 of 2 ", 15) == 0);
    }
}

static void the_longest_number_has_4096_bytes(void) {
    static char digits[NUMBER_BYTES_MAX + 2];
    memset(digits, '9', NUMBER_BYTES_MAX);
    rejoin_sibling pair[] = {sibling(digits), sibling("1")};
    assert(resolve_list(pair, 2).tag == REJOIN_PICK);
    digits[NUMBER_BYTES_MAX] = '9';
    pair[0] = sibling(digits);
    assert(resolve_list(pair, 2).tag == REJOIN_KEEP_SIBLINGS);
}

static void params_that_are_not_known_are_refused(void) {
    const char *known[] = {"", "{}", " { } ", "{\"keep\":\"max\"}", "{ \"order\" : \"number\" , \"keep\" : \"min\" }\n"};
    const char *unknown[] = {"min", "{", "{}}", "{\"keep\":\"least\"}", "{\"keep\":\"min\",}", "{\"keep\":min}",
                             "{\"keep\":\"min\",\"keep\":\"min\"}", "{\"keep\":\"bytes\"}", "{\"kept\":\"min\"}",
                             "[\"keep\"]", "{\"keep\" \"min\"}", "{\"keep\":\"min\""};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert(!check_params(text(known[i])).is_error);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        rejoin_sibling pair[] = {sibling("1"), sibling("2")};
        assert(check_params(text(unknown[i])).is_error);
        assert(resolve_by(unknown[i], pair, 2).tag == REJOIN_KEEP_SIBLINGS);
    }
}

int main(void) {
    numbers_are_ordered_by_value_and_not_as_text();
    one_number_in_two_spellings_is_the_later_in_canonical_order();
    the_same_number_goes_to_the_later_in_canonical_order();
    every_rule_is_commutative_associative_and_idempotent();
    by_bytes_any_value_will_do();
    what_is_no_number_keeps_the_siblings();
    the_longest_number_has_4096_bytes();
    params_that_are_not_known_are_refused();
    assert(describe()->samples.length == 4);
    return 0;
}
