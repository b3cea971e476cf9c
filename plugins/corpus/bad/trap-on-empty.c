/* The greatest value; an empty one was not thought of. */
#define NAME "trap-on-empty"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (siblings.items[i].value.length == 0) {
            __builtin_trap();
        }
    }
    return rejoin_pick(greatest(siblings));
}
