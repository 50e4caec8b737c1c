// Two adders with Peterson's lock, which stands on the order of plain loads and
// stores: here of sequentially consistent ones.
// prints: sum 800
#define ADDERS 2
#include "adders.h"

static u32 wants[2], turn;

static void add_one(u64 who, u64 round)
{
    u64 other = 1 - who;
    STORE(wants[who], 1);
    STORE(turn, other);
    while (LOAD(wants[other]) && LOAD(turn) == other)
        yield();
    add_slowly(round);
    STORE(wants[who], 0);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    run_adders();
    print("sum %lu\n", sum);
    return 0;
}
