/* Threads that add to one number, each with a lock of another kind: ADDERS of them
 * ROUNDS times, by `add_one`, which the program has. */
#ifndef ADDERS_H
#define ADDERS_H

#include "teach.h"

#ifndef ADDERS
#define ADDERS 4
#endif
#define ROUNDS 400

static volatile u64 sum;
/* What each thread has done, by itself. */
static volatile u64 own[ADDERS];

/* In two steps, and now and then with others between them: without a lock some
 * additions would be lost. */
static inline void add_slowly(u64 round)
{
    u64 seen = sum;
    if (round % 16 == 0)
        yield();
    sum = seen + 1;
}

static void add_one(u64 who, u64 round);

static void adder(u64 who)
{
    for (u64 round = 0; round < ROUNDS; round++) {
        add_one(who, round);
        own[who]++;
    }
    exit(100 + (int)who);
}

static inline void run_adders(void)
{
    i64 tids[ADDERS];
    for (u64 who = 0; who < ADDERS; who++) {
        tids[who] = thread_create(adder, who);
        CHECK(tids[who] > 0);
    }
    for (u64 who = 0; who < ADDERS; who++) {
        CHECK_EQ(waittid(tids[who]), 100 + who);
        CHECK_EQ(own[who], ROUNDS);
    }
}

#endif
