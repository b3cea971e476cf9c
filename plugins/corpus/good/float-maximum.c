/* The greatest 64-bit float in the total order of IEEE 754, which has a place for NaN. */
#define NAME "float-maximum"
#define SAMPLE_A "\x00\x00\x00\x00\x00\x00\xf0\x3f"
#define SAMPLE_B "\x00\x00\x00\x00\x00\x00\x00\x40"
#define SAMPLE_C "\x00\x00\x00\x00\x00\x00\x10\x40"
#include "../corpus.h"

RESOLVE {
    int64_t best = 0;
    uint32_t place = 0;
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (siblings.items[i].value.length != 8) {
            return keep();
        }
        uint64_t bits = 0;
        for (uint32_t j = 8; j-- > 0;) {
            bits = bits << 8 | siblings.items[i].value.bytes[j];
        }
        int64_t rank = (int64_t)bits;
        rank = rank < 0 ? (int64_t)(~bits ^ 0x8000000000000000u) : rank;
        if (i == 0 || rank > best ||
            (rank == best && rejoin_compare_siblings(&siblings.items[i], &siblings.items[place]) > 0)) {
            best = rank;
            place = i;
        }
    }
    return rejoin_pick(place);
}
