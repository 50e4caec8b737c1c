// Makes the calls of this build's kernel that Linux does not have. On Linux each of
// them is unknown; on its own kernel each of them is known.
// prints(rcore): 1000: known
// prints(rcore): 1002: known
// prints(rcore): 1010: known
// prints(rcore): 1011: known
// prints(rcore): 1012: known
// prints(rcore): 1020: known
// prints(rcore): 1021: known
// prints(rcore): 1022: known
// prints(rcore): 1030: known
// prints(rcore): 1031: known
// prints(rcore): 1032: known
// prints(rcore): 400: known
// prints(rcore): 469: known
// prints(rcore): 1001: known
// prints(ucore): 460: known
// prints(ucore): 462: known
// prints(ucore): 463: known
// prints(ucore): 464: known
// prints(ucore): 466: known
// prints(ucore): 467: known
// prints(ucore): 468: known
// prints(ucore): 470: known
// prints(ucore): 471: known
// prints(ucore): 472: known
// prints(ucore): 473: known
// prints(ucore): 400: known
// prints(ucore): 469: known
// prints(ucore): 410: known
#include "teach.h"

static void ends(u64 code) { exit((int)code); }

static const i64 numbers[] = {
    NR_THREAD_CREATE, NR_WAITTID, NR_MUTEX_CREATE, NR_MUTEX_LOCK, NR_MUTEX_UNLOCK,
    NR_SEM_CREATE, NR_SEM_UP, NR_SEM_DOWN, NR_COND_CREATE, NR_COND_SIGNAL, NR_COND_WAIT,
    NR_SPAWN, NR_DETECT,
#ifdef ABI_RCORE
    NR_GETTID,
#else
    NR_TASK_INFO,
#endif
};

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    static u8 info[4096];
    for (u64 i = 0; i < COUNT(numbers); i++) {
        i64 number = numbers[i];
        u64 first = 0, second = 0;
        if (number == NR_THREAD_CREATE)
            first = (u64)ends;
        if (number == NR_SEM_CREATE || number == NR_MUTEX_CREATE)
            first = 1;
#ifdef ABI_UCORE
        if (number == NR_TASK_INFO)
            first = (u64)info;
#endif
        if (number == NR_COND_WAIT)
            second = 77;
        print("%ld: %s\n", number, call(number, first, second, 0) == -38 ? "unknown" : "known");
    }
    (void)info;
    return 0;
}
