// Exit codes that look like answers, and what else fits into 32 bits.
#include "teach.h"

static u32 ended;

static void ends(u64 code)
{
    ADD(ended, 1);
    exit((int)code);
}

/* What the first and the second wait answer for a thread that is dead. */
static void ask(const char *words, int code)
{
    STORE(ended, 0);
    i64 tid = thread_create(ends, (u64)(i64)code);
    AWAIT(LOAD(ended));
    sleep(20);
    i64 first = waittid_once(tid);
    print("%s: %ld, then %ld\n", words, first, waittid_once(tid));
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    ask("code -1", -1);
    ask("code -2", -2);
    ask("code -3", -3);
    ask("code 256", 256);
    ask("most positive code", 0x7fffffff);
    ask("most negative code", -0x7fffffff - 1);
    // The number is free in each case.
    ROW("the next number", thread_create(ends, 0));
    return 0;
}
