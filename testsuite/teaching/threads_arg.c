// Threads with arguments: a number of 64 bits as it is, and an address of shared
// memory, also of the creator's stack.
// prints: numbers: 0 1 ffffffffffffffff 8000000000000000 123456789abcdef
// prints: squares: 1 4 9 16 25
#include "teach.h"

static u64 seen[5];
static u32 next;

struct task {
    u64 in;
    u64 out;
};

static void take_number(u64 number)
{
    seen[LOAD(next)] = number;
    ADD(next, 1);
    exit(0);
}

static void square(u64 address)
{
    struct task *task = (struct task *)address;
    task->out = task->in * task->in;
    exit((int)task->in);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    static const u64 numbers[] = {0, 1, ~0ul, 1ul << 63, 0x123456789abcdeful};
    for (u64 i = 0; i < COUNT(numbers); i++)
        CHECK_EQ(waittid(thread_create(take_number, numbers[i])), 0);
    print("numbers: %lx %lx %lx %lx %lx\n", seen[0], seen[1], seen[2], seen[3], seen[4]);

    struct task tasks[5];
    i64 tids[5];
    for (u64 i = 0; i < COUNT(tasks); i++) {
        tasks[i] = (struct task){i + 1, 0};
        tids[i] = thread_create(square, (u64)&tasks[i]);
    }
    for (u64 i = 0; i < COUNT(tasks); i++)
        CHECK_EQ(waittid(tids[i]), i + 1);
    print("squares: %lu %lu %lu %lu %lu\n", tasks[0].out, tasks[1].out, tasks[2].out,
          tasks[3].out, tasks[4].out);
    return 0;
}
