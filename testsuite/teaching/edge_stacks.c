// Where threads have their stacks: each has its pages with a guard below, and they
// are there until it is waited for.
// prints: pages of a stack between two others: 16
// prints: of a live thread, touched by another: 0
// prints: unmapped by another: -1
// prints: of a dead one: 0
// prints(rcore): of one that was waited for: -11
// prints(ucore): of one that was waited for: -2
// prints: mapped instead: -1
// prints: the next one's begins with zeroes: 1
#include "teach.h"

static u64 ends[2], place;
static u32 there, go;

/* How a process ends that touches the place. */
static i64 touched(void)
{
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)*(volatile u64 *)place;
        exit(0);
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    return code;
}

static void stays(u64 unused)
{
    (void)unused;
    ADD(there, 1);
    for (;;)
        yield();
}

/* Down through the stack page by page, telling each page before it is touched. */
static void goes_down_when_told(u64 unused)
{
    (void)unused;
    u64 here;
    AWAIT(LOAD(go));
    for (u64 at = (u64)&here;; at -= PAGE) {
        CHECK_EQ(write((i64)ends[1], ".", 1), 1);
        *(volatile u8 *)at = 1;
    }
}

/* In a process of its own, with a neighbour on each side. */
static i64 pages(void)
{
    CHECK_EQ(pipe(ends), 0);
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (i64 slot = 1; slot <= 3; slot++)
            CHECK_EQ(thread_create(slot == 2 ? goes_down_when_told : stays, 0), slot);
        AWAIT(LOAD(there) == 2);
        STORE(go, 1);
        for (;;)
            yield();
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    CHECK_EQ(code, PAGE_FAULT);
    CHECK_EQ(close((i64)ends[1]), 0);
    i64 told = 0;
    char byte;
    while (read((i64)ends[0], &byte, 1) == 1)
        told++;
    CHECK_EQ(close((i64)ends[0]), 0);
    // The last one was the guard.
    return told - 1;
}

static void shows_its_stack(u64 unused)
{
    (void)unused;
    volatile u64 here[8];
    for (u64 i = 0; i < COUNT(here); i++)
        here[i] = 77;
    // And deeper, where the next one's frame does not lie.
    *(volatile u64 *)(((u64)here & ~(PAGE - 1)) - 64) = 77;
    STORE(place, (u64)&here[4]);
    AWAIT(LOAD(go));
    exit(0);
}

/* Is all below this thread's first frame as new? */
static void looks_down(u64 unused)
{
    (void)unused;
    u64 here;
    for (u64 at = ((u64)&here & ~(PAGE - 1)) - PAGE; at < (u64)&here - 512; at += 8)
        if (*(volatile u64 *)at)
            exit(2);
    exit(1);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    ROW("pages of a stack between two others", pages());
    i64 tid = thread_create(shows_its_stack, 0);
    AWAIT(LOAD(place));
    ROW("of a live thread, touched by another", *(volatile u64 *)place == 77 ? touched() : 1);
    ROW("unmapped by another", munmap(place & ~(PAGE - 1), PAGE));
    STORE(go, 1);
    sleep(20);
    ROW("of a dead one", touched());
    CHECK_EQ(waittid(tid), 0);
    ROW("of one that was waited for", touched());
    ROW("mapped instead", mmap(place & ~(PAGE - 1), PAGE, P_READ));
    ROW("the next one's begins with zeroes", waittid(thread_create(looks_down, 0)));
    return 0;
}
