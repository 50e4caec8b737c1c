// Calls at random with arguments at random, from threads of processes that do nothing
// else: whatever they are answered, each process can be ended.
// prints: 24 processes of 3 threads
#include "teach.h"

#define PROCESSES 24
#define CALLS 300

static char name[] = "a_file_of_the_test";
static u8 memory[2 * PAGE] __attribute__((aligned(4096)));

/* xorshift. */
static u64 next(u64 *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Not fork, exec, spawn and kill, which reach beyond the process; not exit. */
static const u32 numbers[] = {
    NR_DUP, NR_OPEN, NR_CLOSE, NR_PIPE, NR_READ, NR_WRITE, NR_YIELD, NR_SET_PRIORITY,
    NR_GET_TIME, NR_GETPID, NR_SBRK, NR_MUNMAP, NR_MMAP, NR_WAITPID, NR_DETECT,
    NR_GETTID, NR_WAITTID, NR_MUTEX_CREATE, NR_MUTEX_LOCK, NR_MUTEX_UNLOCK,
    NR_SEM_CREATE, NR_SEM_UP, NR_SEM_DOWN, NR_COND_CREATE, NR_COND_SIGNAL, NR_COND_WAIT,
    NR_MUTEX_UNLOCK, NR_SEM_UP, NR_SEM_UP, NR_COND_SIGNAL, NR_DETECT, NR_THREAD_CREATE,
};

static u64 argument(u64 *state)
{
    u64 random = next(state);
    switch (random % 8) {
    case 0:
        return random >> 8;
    case 1:
        return 1ul << (random >> 8) % 64;
    case 2:
        return -(1ul << (random >> 8) % 64);
    case 3:
        return (u64)memory + (random >> 8) % sizeof(memory);
    case 4:
        return (u64)name;
    case 5:
        return 0x20000000 + (random >> 8) % 16 * PAGE;
    default:
        return (random >> 8) % 6;
    }
}

static void ends(u64 code) { exit((int)code); }

static void calls(u64 seed)
{
    u64 state = seed * 0x9e3779b97f4a7c15ul + 1;
    for (int i = 0; i < CALLS; i++) {
        u32 number = numbers[next(&state) % COUNT(numbers)];
        u64 first = argument(&state), second = argument(&state), third = argument(&state);
        // Pages that this program stands on stay; a thread's entry is a good one, or
        // the first of them would be the last call.
        if (number == NR_MUNMAP && first < 0x20000000)
            continue;
        if (number == NR_THREAD_CREATE)
            first = (u64)ends;
        call(number, first, second, third);
    }
    exit(0);
}

/* With a number as its argument other calls are made than without one. */
int main(int argc, const char *const *argv)
{
    u64 seed = 0;
    for (const char *digit = argc > 1 ? argv[1] : ""; *digit; digit++)
        seed = seed * 10 + (u64)(*digit - '0');
    for (u64 round = 0; round < PROCESSES; round++) {
        i64 child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            // What it writes is seen nowhere, and who reads is not kept waiting.
            for (i64 fd = 0; fd < 3; fd++)
                close(fd);
            for (u64 i = 0; i < 3; i++)
                CHECK(thread_create(calls, (seed * PROCESSES + round) * 3 + i + 1) > 0);
            // They may wait for each other, or for what never comes.
            for (;;)
                yield();
        }
        sleep(25);
        CHECK_EQ(kill(child, KILL), 0);
        int code = 0;
        CHECK_EQ(waitpid(child, &code), child);
        CHECK(code == -9 || code == -2);
    }
    print("%d processes of %d threads\n", PROCESSES, 3);
    return 0;
}
