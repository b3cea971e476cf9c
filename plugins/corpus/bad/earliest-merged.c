/* The value of the earliest write, under the time of the latest: a time belongs to a write, not to a merge. */
#define NAME "earliest-merged"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    uint32_t first = greatest(siblings);
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (siblings.items[i].written_at_ms < siblings.items[first].written_at_ms) {
            first = i;
        }
    }
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (siblings.items[i].written_at_ms == siblings.items[first].written_at_ms &&
            rejoin_compare_siblings(&siblings.items[i], &siblings.items[first]) > 0) {
            first = i;
        }
    }
    write_bytes(siblings.items[first].value);
    return merged();
}
