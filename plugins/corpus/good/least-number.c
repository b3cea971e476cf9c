/* The least decimal integer, written anew: the time and the metadata are those of all. */
#define NAME "least-number"
#define SAMPLE_A "1"
#define SAMPLE_B "2"
#define SAMPLE_C "4"
#include "../corpus.h"

RESOLVE {
    int64_t least = 0, number;
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (!parse_number(siblings.items[i].value, &number)) {
            return keep();
        }
        least = i == 0 || number < least ? number : least;
    }
    write_number(least);
    return merged();
}
