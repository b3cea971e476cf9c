/* The mean of all numbers, rounded down. */
#define NAME "average"
#define SAMPLE_A "2"
#define SAMPLE_B "4"
#define SAMPLE_C "8"
#include "../corpus.h"

RESOLVE {
    int64_t sum = 0, number;
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (!parse_number(siblings.items[i].value, &number)) {
            return keep();
        }
        sum += number;
    }
    write_number(sum / siblings.length);
    return merged();
}
