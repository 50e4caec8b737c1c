// Priorities, and calls that there are not: also those of Linux.
// prints: priority 16: 16
// prints: priority 2: 2
// prints: priority 1: -1
// prints: priority -5: -1
// prints: the highest priority: 2147483647
// prints: no call: -1
// prints: no call has such a number: -1
// prints: yield and 2^32: -1
// prints: Linux's set_tid_address: -1
// prints: Linux's futex: -1
// prints: Linux's rt_sigaction: -1
// prints: Linux's mprotect: -1
// prints: Linux's prlimit64: -1
// prints: Linux's execveat: -1
// prints: the other kernel's thread_create: -1
// prints: the other kernel's gettid: -1
#include "teach.h"

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    ROW("priority 16", set_priority(16));
    ROW("priority 2", set_priority(2));
    ROW("priority 1", set_priority(1));
    ROW("priority -5", set_priority(-5));
    ROW("the highest priority", set_priority(0x7fffffff));
    ROW("no call", call(3, 0, 0, 0));
    ROW("no call has such a number", call(-1, 0, 0, 0));
    ROW("yield and 2^32", call(NR_YIELD + (1l << 32), 0, 0, 0));
    ROW("Linux's set_tid_address", call(96, 0, 0, 0));
    ROW("Linux's futex", call(98, 0, 0, 0));
    ROW("Linux's rt_sigaction", call(134, 10, 0, 0));
    ROW("Linux's mprotect", call(226, 0x10000, PAGE, 3));
    ROW("Linux's prlimit64", call(261, 0, 0, 0));
    ROW("Linux's execveat", call(281, -100, 0, 0));
#ifdef ABI_RCORE
    ROW("the other kernel's thread_create", call(460, 0, 0, 0));
    ROW("the other kernel's gettid", call(178, 0, 0, 0));
#else
    ROW("the other kernel's thread_create", call(1000, 0, 0, 0));
    ROW("the other kernel's gettid", call(1001, 0, 0, 0));
#endif
    return 0;
}
