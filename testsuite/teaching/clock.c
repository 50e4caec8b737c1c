// The clock and what waits for it.
// prints: slept 50 ms and not much more
// prints: the clock goes forward
// prints: twenty threads slept at the same time
#include "teach.h"

#define NAP_MS 200

static void naps(u64 ms)
{
    sleep(ms);
    exit(0);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    i64 before = get_time();
    CHECK(before >= 0);
    sleep(50);
    i64 slept = get_time() - before;
    // Whole milliseconds: one may be lost at each end. A busy machine takes longer.
    CHECK(slept >= 48);
    CHECK(slept < 5000);
    print("slept 50 ms and not much more\n");
    i64 last = get_time();
    for (int i = 0; i < 1000; i++) {
        i64 now = get_time();
        CHECK(now >= last);
        last = now;
    }
    print("the clock goes forward\n");
    before = get_time();
    i64 tids[20];
    for (u64 i = 0; i < COUNT(tids); i++)
        tids[i] = thread_create(naps, NAP_MS);
    for (u64 i = 0; i < COUNT(tids); i++)
        CHECK_EQ(waittid(tids[i]), 0);
    slept = get_time() - before;
    CHECK(slept >= NAP_MS - 2);
    CHECK(slept < (i64)COUNT(tids) * NAP_MS);
    print("twenty threads slept at the same time\n");
    return 0;
}
