/* The greatest 64-bit float. No comparison with NaN is true, so its place decides. */
#define NAME "nan-maximum"
#define SAMPLE_A "\x00\x00\x00\x00\x00\x00\xf0\x3f"
#define SAMPLE_B "\x00\x00\x00\x00\x00\x00\x00\x40"
#define SAMPLE_C "\x00\x00\x00\x00\x00\x00\x10\x40"
#include "../corpus.h"

RESOLVE {
    double best = 0;
    uint32_t place = 0;
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (siblings.items[i].value.length != 8) {
            return keep();
        }
        union {
            uint8_t bytes[8];
            double number;
        } value;
        for (uint32_t j = 0; j < 8; j++) {
            value.bytes[j] = siblings.items[i].value.bytes[j];
        }
        if (i == 0 || value.number > best ||
            (value.number == best && rejoin_compare_siblings(&siblings.items[i], &siblings.items[place]) > 0)) {
            best = value.number;
            place = i;
        }
    }
    return rejoin_pick(place);
}
