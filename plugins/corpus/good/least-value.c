/* The least in canonical order, by comparing and not by place. */
#define NAME "least-value"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    uint32_t least = 0;
    for (uint32_t i = 1; i < siblings.length; i++) {
        if (rejoin_compare_siblings(&siblings.items[i], &siblings.items[least]) < 0) {
            least = i;
        }
    }
    return rejoin_pick(least);
}
