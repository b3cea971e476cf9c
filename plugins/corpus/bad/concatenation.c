/* All values, one after the other, in their canonical order. */
#define NAME "concatenation"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    static bool taken[1024];
    for (uint32_t i = 0; i < siblings.length; i++) {
        uint32_t least = siblings.length;
        for (uint32_t j = 0; j < siblings.length; j++) {
            if (!taken[j] && (least == siblings.length ||
                              rejoin_compare_siblings(&siblings.items[j], &siblings.items[least]) < 0)) {
                least = j;
            }
        }
        taken[least] = true;
        write_bytes(siblings.items[least].value);
    }
    return merged();
}
