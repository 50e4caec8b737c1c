// Deadlock detection for semaphores, by the banker's rule: a down is refused when no
// order is left in which every thread gets what it asks for.
// prints: one more than there are, by who has them all: refused
// prints: of units that another gives back: waited
// prints: two kinds of one unit, in a ring: 1 refused
// prints: two kinds of two units, four ask: 1 refused
// prints: two kinds of two units, three of four ask: 0 refused
// prints: of no unit that anybody has: refused
#include "teach.h"

static i64 first, second, gate;
static u32 holding, refused, asked;

static const char *name_of(i64 answer)
{
    return answer == DEADLOCK ? "refused" : answer == 0 ? "waited" : "something else";
}

struct plan {
    i64 *has;
    i64 *wants;
};

/* Has one unit, asks for another when all have theirs, gives back what it has. */
static void customer(u64 address)
{
    struct plan plan = *(const struct plan *)address;
    CHECK_EQ(sem_down(*plan.has), 0);
    ADD(holding, 1);
    // Thread 0 holds the gate's units until all are there; it could give them back,
    // so this has an order.
    CHECK_EQ(sem_down(gate), 0);
    if (plan.wants) {
        i64 answer = sem_down(*plan.wants);
        if (answer == DEADLOCK)
            ADD(refused, 1);
        else
            CHECK_EQ(answer, 0);
        if (answer == 0)
            CHECK_EQ(sem_up(*plan.wants), 0);
    }
    CHECK_EQ(sem_up(*plan.has), 0);
    CHECK_EQ(sem_up(gate), 0);
    exit(0);
}

static void bank(const char *words, u64 units, const struct plan *plans, u64 count)
{
    i64 tids[4];
    holding = 0, refused = 0;
    first = sem_create((i64)units), second = sem_create((i64)units);
    gate = sem_create((i64)count);
    for (u64 i = 0; i < count; i++)
        CHECK_EQ(sem_down(gate), 0);
    for (u64 i = 0; i < count; i++)
        tids[i] = thread_create(customer, (u64)&plans[i]);
    AWAIT(LOAD(holding) == count);
    for (u64 i = 0; i < count; i++)
        CHECK_EQ(sem_up(gate), 0);
    for (u64 i = 0; i < count; i++)
        CHECK_EQ(waittid(tids[i]), 0);
    print("%s: %u refused\n", words, refused);
}

static void asks(u64 unused)
{
    (void)unused;
    STORE(asked, 1);
    print("of units that another gives back: %s\n", name_of(sem_down(first)));
    CHECK_EQ(sem_up(first), 0);
    exit(0);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    CHECK_EQ(detect_deadlocks(1), 0);
    first = sem_create(2);
    CHECK_EQ(sem_down(first), 0);
    CHECK_EQ(sem_down(first), 0);
    print("one more than there are, by who has them all: %s\n", name_of(sem_down(first)));

    i64 tid = thread_create(asks, 0);
    AWAIT(LOAD(asked));
    sleep(20);
    CHECK_EQ(waittid_once(tid), -2);
    CHECK_EQ(sem_up(first), 0);
    CHECK_EQ(waittid(tid), 0);
    CHECK_EQ(sem_up(first), 0);

    static const struct plan ring[] = {{&first, &second}, {&second, &first}};
    bank("two kinds of one unit, in a ring", 1, ring, 2);
    // All four units are out, and all four who have them ask: the last is refused,
    // gives its unit back, and with it the others come through.
    static const struct plan knot[] = {
        {&first, &second}, {&first, &second}, {&second, &first}, {&second, &first}};
    bank("two kinds of two units, four ask", 2, knot, 4);
    // The one that asks for nothing will give its unit back: there is an order.
    static const struct plan loose[] = {
        {&first, &second}, {&first, &second}, {&second, &first}, {&second, NULL}};
    bank("two kinds of two units, three of four ask", 2, loose, 4);

    i64 empty = sem_create(0);
    print("of no unit that anybody has: %s\n", name_of(sem_down(empty)));
    return 0;
}
