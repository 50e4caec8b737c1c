// Exit codes that look like answers, and what else fits into 32 bits.
// prints: code -1: -1, then -1
// prints: code -2: -2, then -1
// prints: code -3: -3, then -1
// prints: code 256: 256, then -1
// prints: most positive code: 2147483647, then -1
// prints: most negative code: -2147483648, then -1
// prints: the next number: 1
#include "teach.h"

static void ends(u64 code) { exit((int)code); }

/* What waiting answers when the thread is dead, and then. */
static void ask(const char *words, int code)
{
    i64 tid = thread_create(ends, (u64)(i64)code), first, then;
    if (code == -2) {
        // It looks like a thread that runs, until it is absent.
        CHECK_EQ(first = waittid_once(tid), -2);
        while ((then = waittid_once(tid)) == -2)
            yield();
    } else {
        first = waittid(tid);
        then = waittid_once(tid);
    }
    print("%s: %ld, then %ld\n", words, first, then);
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
    i64 tid = thread_create(ends, 0);
    ROW("the next number", tid);
    CHECK_EQ(waittid(tid), 0);
    return 0;
}
