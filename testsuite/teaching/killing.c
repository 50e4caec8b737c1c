// kill: of a process that computes, waits, sleeps or is gone.
// prints: computes: -9
// prints: waits: -9
// prints: sleeps: -9
// prints: has threads: -9
// prints: nobody: -1
// prints: a negative number: -1
// prints: a signal that there is not: -1
// prints: no signal, to itself: 0
// prints: one that was waited for: -1
// prints: numbers after its own, with threads: 0 there
#include "teach.h"

static void computes(void)
{
    for (volatile u64 i = 0;; i++)
        ;
}

/* For a unit that nobody gives. */
static void waits(void)
{
    CHECK_EQ(sem_down(sem_create(0)), 0);
    exit(1);
}

static void sleeps(void)
{
    sleep(3600 * 1000);
    exit(2);
}

static void does(u64 what)
{
    void (*const all[])(void) = {computes, waits, sleeps};
    all[what]();
}

static void has_threads(void)
{
    for (u64 what = 0; what < 3; what++)
        CHECK(thread_create(does, what) > 0);
    waits();
}

static void killed(const char *words, void (*what)(void), u64 signal)
{
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0)
        what();
    sleep(10);
    CHECK_EQ(kill(child, signal), 0);
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    ROW(words, code);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    killed("computes", computes, KILL);
    killed("waits", waits, KILL);
    killed("sleeps", sleeps, KILL);
    killed("has threads", has_threads, KILL);
    ROW("nobody", kill(4000000, KILL));
    ROW("a negative number", kill(-5, KILL));
    ROW("a signal that there is not", kill(getpid(), ~0ul));
    ROW("no signal, to itself", kill(getpid(), 0));
    i64 child = fork();
    if (child == 0)
        exit(6);
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    ROW("one that was waited for", kill(child, KILL));

    // A thread is no process, by whatever number.
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++)
            CHECK(thread_create(does, 1) > 0);
        int there = 0;
        for (i64 next = getpid() + 1; next < getpid() + 100; next++)
            there += kill(next, 0) == 0;
        exit(there);
    }
    CHECK_EQ(waitpid(child, &code), child);
    print("numbers after its own, with threads: %d there\n", code);
    return 0;
}
