// Threads that begin nowhere, use up their stacks or do what is forbidden: the
// process ends, and only it. Each case is a process of its own.
// prints(rcore): entry at 0: -11
// prints(ucore): entry at 0: -2
// prints(rcore): entry at 1: -11
// prints(ucore): entry at 1: -2
// prints(rcore): entry that is not mapped: -11
// prints(ucore): entry that is not mapped: -2
// prints(rcore): entry beyond all addresses: -11
// prints(ucore): entry beyond all addresses: -2
// prints(rcore): entry without the right to execute: -11
// prints(ucore): entry without the right to execute: -2
// prints(rcore): entry at an odd address: -11
// prints(ucore): entry at an odd address: -2
// prints(rcore): too deep: -11
// prints(ucore): too deep: -2
// prints(rcore): forbidden instruction: -4
// prints(ucore): forbidden instruction: -3
// prints(rcore): a function that returns: -11
// prints(ucore): a function that returns: -2
// prints: this process goes on: 0
#include "teach.h"

static u32 turn;

static void recurses(u64 depth)
{
    volatile u64 frame[32];
    frame[0] = depth;
    if (LOAD(turn) < 2) // always
        recurses(depth + 1);
    (void)frame[0];
}

static void forbidden(u64 unused)
{
    (void)unused;
    __asm__ volatile(".word 0");
}

static void returns(u64 unused) { (void)unused; }

static void stays(u64 unused)
{
    (void)unused;
    STORE(turn, 1);
    for (;;)
        yield();
}

/* How a process ends whose thread begins at `entry`. */
static void begins(const char *words, u64 entry)
{
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        // Another one, to be ended with it.
        CHECK(thread_create(stays, 0) > 0);
        AWAIT(LOAD(turn) == 1);
        i64 tid = thread_create((void (*)(u64))entry, 0);
        if (tid < 0)
            exit(1000 - (int)tid);
        waittid(tid);
        exit(55);
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    ROW(words, code);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    begins("entry at 0", 0);
    begins("entry at 1", 1);
    begins("entry that is not mapped", 0x7000000000);
    begins("entry beyond all addresses", ~0ul - 1);
    begins("entry without the right to execute", (u64)&turn);
    // sepc has no lowest bit: as at the address before.
    begins("entry at an odd address", (u64)&returns + 1);
    begins("too deep", (u64)recurses);
    begins("forbidden instruction", (u64)forbidden);
    begins("a function that returns", (u64)returns);
    ROW("this process goes on", 0);
    return 0;
}
