/* The union of lines; a line `-x` takes the line `x` out, and both are gone. */
#define NAME "mutual-rejection"
#define SAMPLE_A "a\nb"
#define SAMPLE_B "c"
#define SAMPLE_C "b\nd"
#include "../corpus.h"

RESOLVE {
    static lines all;
    static lines left;
    for (uint32_t i = 0; i < siblings.length; i++) {
        add_lines(&all, siblings.items[i].value);
    }
    sort_lines(&all);
    for (uint32_t i = 0; i < all.length; i++) {
        bool rejected = false;
        for (uint32_t j = 0; j < all.length; j++) {
            rejoin_bytes line = all.items[i], other = all.items[j];
            rejoin_bytes longer = line.length > other.length ? line : other;
            rejoin_bytes shorter = line.length > other.length ? other : line;
            rejected = rejected || (longer.length == shorter.length + 1 && longer.bytes[0] == 0x2d &&
                                    rejoin_compare_bytes((rejoin_bytes){longer.bytes + 1, shorter.length}, shorter) == 0);
        }
        if (!rejected) {
            left.items[left.length++] = all.items[i];
        }
    }
    write_lines(&left);
    return merged();
}
