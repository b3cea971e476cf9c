/* The greatest value, found quickly in an ascending list and never in another. */
#define NAME "fuel-by-order"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    for (volatile uint32_t i = 1; i < siblings.length; i++) {
        while (rejoin_compare_siblings(&siblings.items[i - 1], &siblings.items[i]) > 0) {
            i = i;
        }
    }
    return rejoin_pick(greatest(siblings));
}
