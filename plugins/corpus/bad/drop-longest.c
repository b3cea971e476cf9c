/* The union of the lines of all values but the longest, which was too long for somebody. */
#define NAME "drop-longest"
#define SAMPLE_A "a\nb"
#define SAMPLE_B "c"
#define SAMPLE_C "d\ne\nf"
#include "../corpus.h"

RESOLVE {
    static lines all;
    uint32_t longest = greatest(siblings);
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (siblings.items[i].value.length > siblings.items[longest].value.length) {
            longest = i;
        }
    }
    uint32_t length = siblings.items[longest].value.length;
    for (uint32_t i = 0; i < siblings.length; i++) {
        if (siblings.items[i].value.length < length) {
            add_lines(&all, siblings.items[i].value);
        }
    }
    sort_lines(&all);
    write_lines(&all);
    return merged();
}
