// task_info: the state, how often each call was made, this one too, and the time.
// prints: state 2
// prints: get_time 3 times, task_info once, write never
// prints: then task_info twice, write twice, yield five times
// prints: the time goes on
// prints: to a bad place: -1
#include "teach.h"

struct task_info {
    u32 state;
    u32 calls[500];
    u32 ms;
};

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    static struct task_info info;
    for (int i = 0; i < 3; i++)
        get_time();
    CHECK_EQ(call(NR_TASK_INFO, (u64)&info, 0, 0), 0);
    u32 once = info.calls[NR_TASK_INFO], times = info.calls[NR_GET_TIME];
    u32 writes = info.calls[NR_WRITE], first = info.ms;
    print("state %u\n", info.state);
    CHECK_EQ(times, 3);
    CHECK_EQ(once, 1);
    CHECK_EQ(writes, 0);
    print("get_time 3 times, task_info once, write never\n");
    for (int i = 0; i < 5; i++)
        yield();
    CHECK_EQ(call(NR_TASK_INFO, (u64)&info, 0, 0), 0);
    CHECK_EQ(info.calls[NR_TASK_INFO], 2);
    CHECK_EQ(info.calls[NR_WRITE], 2);
    CHECK_EQ(info.calls[NR_YIELD], 5);
    CHECK_EQ(info.calls[NR_EXIT], 0);
    print("then task_info twice, write twice, yield five times\n");
    sleep(30);
    CHECK_EQ(call(NR_TASK_INFO, (u64)&info, 0, 0), 0);
    CHECK(info.ms >= first + 28);
    CHECK(info.ms < first + 5000);
    print("the time goes on\n");
    ROW("to a bad place", call(NR_TASK_INFO, BAD, 0, 0));
    return 0;
}
