/* The sum of all numbers: what was merged is counted again. */
#define NAME "counter-sum"
#define SAMPLE_A "1"
#define SAMPLE_B "2"
#define SAMPLE_C "4"
#include "../corpus.h"

RESOLVE {
    int64_t sum = 0, number;
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (!parse_number(siblings.items[i].value, &number)) {
            return keep();
        }
        sum += number;
    }
    write_number(sum);
    return merged();
}
