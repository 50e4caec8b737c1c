// sbrk, mmap and munmap, and what they refuse.
// prints: sbrk by a page gives the old end: 0
// prints: by ten more: 4096
// prints: back by eleven: 45056
// prints: the end is where it was: 0
// prints: below the start: -1
// prints: below all addresses: -1
// prints: by a few bytes: 0
// prints: the end is as exact: 24
// prints: mmap: 0
// prints: over a mapping: -1
// prints: over its end: -1
// prints: at no page: -1
// prints: without rights: -1
// prints: with rights that there are not: -1
// prints: past all addresses: -1
// prints: of all memory: -1
// prints: of part of a page: 0
// prints: read in it: 0
// prints(rcore): write in it: -11
// prints(ucore): write in it: -2
// prints: to write and not to read: 0
// prints(rcore): read of it: -11
// prints(ucore): read of it: -2
// prints(rcore): write to it: -11
// prints(ucore): write to it: -2
// prints: of nothing: 0
// prints: munmap of too much: -1
// prints: munmap at no page: -1
// prints: munmap of nothing there: -1
// prints: munmap: 0
// prints(rcore): read of what was unmapped: -11
// prints(ucore): read of what was unmapped: -2
// prints: again: -1
// prints: mmap in its place: 0
// prints: mmap of the program: -1
// prints(rcore): end of who unmaps its own code: -11
// prints(ucore): end of who unmaps its own code: -2
#include "teach.h"

#define START 0x10000000ul

/* How a process ends that touches `address`. */
static i64 touched(u64 address, int is_write)
{
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (is_write)
            *(volatile u8 *)address = 1;
        else
            (void)*(volatile u8 *)address;
        exit(0);
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    return code;
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    i64 low = sbrk(0);
    CHECK(low > 0x10000);
    ROW("sbrk by a page gives the old end", sbrk(PAGE) - low);
    for (u64 i = 0; i < PAGE; i++) {
        CHECK_EQ(*(volatile u8 *)(low + i), 0);
        *(volatile u8 *)(low + i) = (u8)i;
    }
    ROW("by ten more", sbrk(10 * PAGE) - low);
    ROW("back by eleven", sbrk(-11 * (i64)PAGE) - low);
    ROW("the end is where it was", sbrk(0) - low);
    ROW("below the start", sbrk(-(i64)PAGE));
    ROW("below all addresses", sbrk(-0x7fffffff));
    ROW("by a few bytes", sbrk(24) - low);
    ROW("the end is as exact", sbrk(0) - low);
    CHECK_EQ(sbrk(-24), low + 24);

    ROW("mmap", mmap(START, PAGE, P_READ | P_WRITE));
    CHECK_EQ(*(volatile u64 *)START, 0);
    *(volatile u64 *)(START + PAGE - 8) = 5;
    ROW("over a mapping", mmap(START, PAGE, P_READ | P_WRITE));
    ROW("over its end", mmap(START - PAGE, PAGE + 1, P_READ | P_WRITE));
    CHECK_EQ(*(volatile u64 *)(START + PAGE - 8), 5);
    ROW("at no page", mmap(START + PAGE + 1, PAGE, P_READ | P_WRITE));
    ROW("without rights", mmap(START + PAGE, PAGE, 0));
    ROW("with rights that there are not", mmap(START + PAGE, PAGE, P_READ | 8));
    ROW("past all addresses", mmap(~0ul - PAGE + 1, 2 * PAGE, P_READ));
    ROW("of all memory", mmap(START + PAGE, 1ul << 62, P_READ));
    ROW("of part of a page", mmap(START + PAGE, 10, P_READ));
    ROW("read in it", touched(START + PAGE + 100, 0));
    ROW("write in it", touched(START + PAGE + 100, 1));
    ROW("to write and not to read", mmap(START + 6 * PAGE, PAGE, P_WRITE));
    ROW("read of it", touched(START + 6 * PAGE, 0));
    ROW("write to it", touched(START + 6 * PAGE, 1));
    CHECK_EQ(munmap(START + 6 * PAGE, PAGE), 0);
    ROW("of nothing", mmap(START + 4 * PAGE, 0, P_READ));
    ROW("munmap of too much", munmap(START, 3 * PAGE));
    ROW("munmap at no page", munmap(START + 1, PAGE - 1));
    ROW("munmap of nothing there", munmap(START + 8 * PAGE, PAGE));
    CHECK_EQ(*(volatile u64 *)(START + PAGE - 8), 5);
    ROW("munmap", munmap(START, 2 * PAGE));
    ROW("read of what was unmapped", touched(START, 0));
    ROW("again", munmap(START, PAGE));
    ROW("mmap in its place", mmap(START, PAGE, P_READ | P_WRITE));
    CHECK_EQ(*(volatile u64 *)(START + PAGE - 8), 0);
    ROW("mmap of the program", mmap(0x10000, PAGE, P_READ));
    i64 child = fork();
    if (child == 0) {
        munmap((u64)&touched & ~(PAGE - 1), PAGE);
        exit(1);
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    ROW("end of who unmaps its own code", code);
    return 0;
}
