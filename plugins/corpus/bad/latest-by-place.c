/* The latest write; writes of the same millisecond go by their place in the list. */
#define NAME "latest-by-place"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    uint32_t last = 0;
    for (uint32_t i = 1; i < siblings.length; i++) {
        if (siblings.items[i].written_at_ms > siblings.items[last].written_at_ms) {
            last = i;
        }
    }
    return rejoin_pick(last);
}
