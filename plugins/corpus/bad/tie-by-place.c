/* The longest value, and among the longest the last in the list: `>=` where a tie needs a rule. */
#define NAME "tie-by-place"
#define SAMPLE_A "a"
#define SAMPLE_B "bb"
#define SAMPLE_C "ccc"
#include "../corpus.h"

RESOLVE {
    uint32_t best = 0;
    for (uint32_t i = 1; i < siblings.length; i++) {
        if (siblings.items[i].value.length >= siblings.items[best].value.length) {
            best = i;
        }
    }
    return rejoin_pick(best);
}
