// kill: of a process that computes, waits, sleeps or is gone.
#include "teach.h"

static i64 never;

static void computes(void)
{
    for (volatile u64 i = 0;; i++)
        ;
}

static void waits(void)
{
    sem_down(never);
    exit(1);
}

static void sleeps(void)
{
    sleep(3600 * 1000);
    exit(2);
}

static void has_threads(void)
{
    for (int i = 0; i < 3; i++)
        CHECK(thread_create((void (*)(u64))(i == 0 ? computes : i == 1 ? waits : sleeps), 0) > 0);
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
    never = sem_create(0);
    killed("computes", computes, KILL);
    killed("waits", waits, KILL);
    killed("sleeps", sleeps, KILL);
    killed("has threads", has_threads, KILL);
    ROW("nobody", kill(4000000, KILL));
    ROW("a negative number", kill(-5, KILL));
    ROW("a signal that there is not", kill(getpid(), ~0ul));
    i64 child = fork();
    if (child == 0)
        exit(6);
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    ROW("one that was waited for", kill(child, KILL));
    return 0;
}
