// Adders with a lock of their own, of one atomic word.
// prints: sum 1600
#include "adders.h"

static u32 taken;

static void add_one(u64 who, u64 round)
{
    (void)who;
    while (__atomic_exchange_n(&taken, 1, __ATOMIC_ACQUIRE))
        yield();
    add_slowly(round);
    __atomic_store_n(&taken, 0, __ATOMIC_RELEASE);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    run_adders();
    print("sum %lu\n", sum);
    return 0;
}
