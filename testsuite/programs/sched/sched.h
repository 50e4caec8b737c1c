#ifndef SCHED_TEST_H
#define SCHED_TEST_H
#include "check.h"
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#define NO_SUCH_TASK 0x3ffffff

/* What an ordinary user may do: the tests hold for one who runs them as root, too. */
__attribute__((unused)) static void be_ordinary(void) {
    if (geteuid() == 0) {
        ASSERT_OK(setgroups(0, NULL));
        ASSERT_OK(setresgid(65534, 65534, 65534));
        ASSERT_OK(setresuid(65534, 65534, 65534));
    }
    struct rlimit none = {0, 0};
    ASSERT_OK(setrlimit(RLIMIT_RTPRIO, &none));
    ASSERT_OK(setrlimit(RLIMIT_NICE, &none));
}

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};
#endif
