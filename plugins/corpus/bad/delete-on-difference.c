/* A delete as soon as two values differ: the next write comes back alone. */
#define NAME "delete-on-difference"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    for (uint32_t i = 1; i < siblings.length; i++) {
        if (rejoin_compare_bytes(siblings.items[0].value, siblings.items[i].value) != 0) {
            return (rejoin_resolution){.tag = REJOIN_DELETED};
        }
    }
    return rejoin_pick(greatest(siblings));
}
