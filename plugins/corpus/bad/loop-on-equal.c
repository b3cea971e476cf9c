/* The greatest value; looks for the one that differs until it finds it. */
#define NAME "loop-on-equal"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    volatile uint32_t other = 0;
    while (rejoin_compare_bytes(siblings.items[0].value, siblings.items[other].value) == 0) {
        other = (other + 1) % siblings.length;
    }
    return rejoin_pick(greatest(siblings));
}
