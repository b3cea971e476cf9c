/* The longest value; of several the greatest in canonical order. */
#define NAME "longest-value"
#define SAMPLE_A "a"
#define SAMPLE_B "bb"
#define SAMPLE_C "ccc"
#include "../corpus.h"

RESOLVE {
    uint32_t best = 0;
    for (uint32_t i = 1; i < siblings.length; i++) {
        const rejoin_sibling *one = &siblings.items[i], *other = &siblings.items[best];
        if (one->value.length > other->value.length ||
            (one->value.length == other->value.length && rejoin_compare_siblings(one, other) > 0)) {
            best = i;
        }
    }
    return rejoin_pick(best);
}
