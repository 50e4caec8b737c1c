// Adders with the lock of Eisenberg and McGuire, for any number of threads: made, as
// Peterson's is, of plain loads and stores in one order that all see.
// prints: sum 1600
#include "adders.h"

enum { IDLE, WAITING, ACTIVE };

static u32 state[ADDERS], turn;

/* The first thread from `who` on, round the ring, that is not idle. */
static u32 next_busy(u32 who)
{
    while (LOAD(state[who]) == IDLE)
        who = (who + 1) % ADDERS;
    return who;
}

static int another_is_active(u32 self)
{
    for (u32 who = 0; who < ADDERS; who++)
        if (who != self && LOAD(state[who]) == ACTIVE)
            return 1;
    return 0;
}

static void lock(u32 self)
{
    for (;;) {
        STORE(state[self], WAITING);
        /* Those between whose turn it is and this one come first. */
        while (next_busy(LOAD(turn)) != self)
            yield();
        STORE(state[self], ACTIVE);
        u32 first = LOAD(turn);
        if (!another_is_active(self) && (first == self || LOAD(state[first]) == IDLE))
            break;
        yield();
    }
    STORE(turn, self);
}

static void unlock(u32 self)
{
    /* Itself, when nobody else wants it. */
    STORE(turn, next_busy((self + 1) % ADDERS));
    STORE(state[self], IDLE);
}

static void add_one(u64 who, u64 round)
{
    lock((u32)who);
    add_slowly(round);
    unlock((u32)who);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    run_adders();
    print("sum %lu\n", sum);
    return 0;
}
