/* The plugin `last-writer`: of the siblings, the one that was written last by the wall clock.
 *
 * The Dynamo paper, section 4.4, names this policy "last write wins". It loses every other
 * sibling, and a coordinator whose clock runs ahead wins against later writes. Never looks into
 * the values except to break ties, and bounds no clock skew.
 *
 * Invariant: the choice depends on the set of siblings, not on their order in the list.
 */
#include "../abi/rejoin_resolver.h"

#define SIBLING(text, at_ms) \
    {.value = REJOIN_TEXT(text), .content_type = REJOIN_TEXT("text/plain"), .written_at_ms = (at_ms)}

/* One write that is clearly the last, and a tie. Both lists are in canonical order. */
static const rejoin_sibling DISTINCT[] = {
    SIBLING("apple", 1700000002000), SIBLING("pear", 1700000003000), SIBLING("plum", 1700000001000)};
static const rejoin_sibling TIED[] = {
    SIBLING("apple", 1700000002000), SIBLING("pear", 1700000002000), SIBLING("plum", 1700000001000)};
static const rejoin_sample SAMPLES[] = {
    {.key = REJOIN_TEXT("fruit"), .siblings = {DISTINCT, 3}},
    {.key = REJOIN_TEXT("fruit"), .siblings = {TIED, 3}}};

static const rejoin_description *describe(void) {
    static const rejoin_description DESCRIPTION = {
        .name = REJOIN_TEXT("last-writer"),
        .version = REJOIN_TEXT("1.0.0"),
        .laws = REJOIN_COMMUTATIVE | REJOIN_ASSOCIATIVE | REJOIN_IDEMPOTENT,
        .samples = {SAMPLES, 2}};
    return &DESCRIPTION;
}

static rejoin_params_verdict check_params(rejoin_bytes params) {
    return (rejoin_params_verdict){
        .is_error = params.length != 0,
        .error = REJOIN_TEXT("last-writer takes no params; bind the bucket with empty params")};
}

/* A tie goes to the later in canonical order, which is the last place in the server's list. */
static bool wrote_later(const rejoin_sibling *a, const rejoin_sibling *b) {
    if (a->written_at_ms != b->written_at_ms) {
        return a->written_at_ms > b->written_at_ms;
    }
    return rejoin_compare_siblings(a, b) >= 0;
}

static rejoin_resolution resolve(rejoin_bytes key, rejoin_siblings siblings, rejoin_pairs extras,
                                 rejoin_bytes params) {
    (void)key, (void)extras, (void)params;
    uint32_t last = 0;
    for (uint32_t i = 1; i < siblings.length; i++) {
        if (wrote_later(&siblings.items[i], &siblings.items[last])) {
            last = i;
        }
    }
    return rejoin_pick(last);
}
