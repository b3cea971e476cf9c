/* Native tests of the plugin `last-writer`. Includes the plugin whole, so that its private
 * functions are reachable. Not part of the component.
 *
 * Invariant: exits with 0 only if every claim holds, and names the line of the first that does not.
 */
#include <assert.h>
#include <string.h>

#include "last_writer.c"

static rejoin_sibling sibling(const char *value, uint64_t at_ms) {
    return (rejoin_sibling){.value = {(const uint8_t *)value, (uint32_t)strlen(value)},
                            .written_at_ms = at_ms};
}

static uint32_t picked(const rejoin_sibling *items, uint32_t length) {
    rejoin_bytes none = {0};
    rejoin_resolution answer =
        resolve(none, (rejoin_siblings){items, length}, (rejoin_pairs){0}, none);
    assert(answer.tag == REJOIN_PICK);
    return answer.payload.index;
}

static void the_greatest_time_wins_at_every_place(void) {
    for (uint32_t place = 0; place < 3; place++) {
        rejoin_sibling items[] = {sibling("a", 1), sibling("b", 1), sibling("c", 1)};
        items[place].written_at_ms = UINT64_MAX;
        assert(picked(items, 3) == place);
    }
}

static void a_tie_goes_to_the_last_in_canonical_order_however_listed(void) {
    rejoin_sibling forth[] = {sibling("a", 5), sibling("ab", 5), sibling("a", 4)};
    rejoin_sibling back[] = {sibling("ab", 5), sibling("a", 5), sibling("a", 4)};
    assert(picked(forth, 3) == 1 && picked(back, 3) == 0);
}

static void equal_values_are_told_apart_by_type_and_metadata(void) {
    static const rejoin_pair zone = {REJOIN_TEXT("zone"), REJOIN_TEXT("a")};
    rejoin_sibling plain = sibling("a", 5), tagged = plain, typed = plain;
    tagged.metadata = (rejoin_pairs){&zone, 1};
    typed.content_type = (rejoin_bytes)REJOIN_TEXT("text/plain");
    rejoin_sibling items[] = {typed, tagged, plain};
    assert(picked(items, 3) == 0 && picked(items + 1, 2) == 0);
}

static void params_are_refused(void) {
    rejoin_bytes braces = REJOIN_TEXT("{}");
    assert(check_params(braces).is_error && !check_params((rejoin_bytes){0}).is_error);
}

int main(void) {
    the_greatest_time_wins_at_every_place();
    a_tie_goes_to_the_last_in_canonical_order_however_listed();
    equal_values_are_told_apart_by_type_and_metadata();
    params_are_refused();
    assert(describe()->samples.length == 2);
    return 0;
}
