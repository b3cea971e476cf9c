/* The union of lines in the order of a hash table, whose buckets keep the order of insertion. */
#define NAME "hash-order"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    static lines buckets[4];
    static lines seen;
    for (uint32_t i = 0; i < siblings.length; i++) {
        add_lines(&seen, siblings.items[i].value);
    }
    for (uint32_t i = 0; i < seen.length; i++) {
        lines *bucket = &buckets[seen.items[i].length % 4];
        bool known = false;
        for (uint32_t j = 0; j < bucket->length; j++) {
            known = known || rejoin_compare_bytes(bucket->items[j], seen.items[i]) == 0;
        }
        if (!known) {
            bucket->items[bucket->length++] = seen.items[i];
        }
    }
    for (uint32_t i = 0; i < 4; i++) {
        write_lines(&buckets[i]);
        write_text("\n");
    }
    return merged();
}
