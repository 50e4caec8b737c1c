/* What the system says of itself and of the process. */
#include "check.h"
#include <sched.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

TEST(uname_and_sysinfo) {
    struct utsname name;
    struct sysinfo info;
    EXPECT_OK(uname(&name));
    EXPECT_STR(name.sysname, "Linux");
#ifdef __riscv
    EXPECT_STR(name.machine, "riscv64");
#endif
    int major = 0, minor = 0;
    EXPECT_EQ(sscanf(name.release, "%d.%d", &major, &minor), 2);
    EXPECT_GE(major, 5);
    EXPECT_OK(sysinfo(&info));
    EXPECT_GT(info.totalram, 0);
    EXPECT_GE(info.procs, 1);
    EXPECT_ERRNO(EFAULT, syscall(SYS_uname, BAD_PTR));
}

TEST(auxiliary_vector) {
    EXPECT_EQ(getauxval(AT_PAGESZ), 4096);
    EXPECT_EQ(getauxval(AT_CLKTCK), 100);
    EXPECT_EQ(getauxval(AT_UID), getuid());
    EXPECT_EQ(getauxval(AT_SECURE), 0);
    EXPECT_NE(getauxval(AT_RANDOM), 0);
    EXPECT_NE(getauxval(AT_PHDR), 0);
#ifdef __riscv
    EXPECT_EQ(getauxval(AT_HWCAP) & 0x112d, 0x112d); /* IMAFDC */
#endif
}

TEST(limits) {
    struct rlimit limit, now;
    EXPECT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    now = limit;
    now.rlim_cur = 30;
    EXPECT_OK(setrlimit(RLIMIT_NOFILE, &now));
    EXPECT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    EXPECT_EQ(limit.rlim_cur, 30);
    now.rlim_cur = now.rlim_max + 1;
    if (now.rlim_max != RLIM_INFINITY) EXPECT_ERRNO(EINVAL, setrlimit(RLIMIT_NOFILE, &now));
    EXPECT_ERRNO(EINVAL, getrlimit(99, &now));
    EXPECT_OK(prlimit(getpid(), RLIMIT_STACK, NULL, &now));
    EXPECT_ERRNO(ESRCH, prlimit(0x3ffffff, RLIMIT_STACK, NULL, &now));
    EXPECT_EQ(sysconf(_SC_OPEN_MAX), 30);
}

TEST(random_numbers) {
    unsigned char a[256] = {0}, b[256] = {0};
    EXPECT_EQ(getrandom(a, sizeof a, 0), sizeof a);
    EXPECT_EQ(getrandom(b, sizeof b, GRND_NONBLOCK), sizeof b);
    EXPECT_NE(memcmp(a, b, sizeof a), 0);
    EXPECT_ERRNO(EINVAL, getrandom(a, 1, 0x100));
    EXPECT_ERRNO(EFAULT, getrandom(BAD_PTR, 1, 0));
}

TEST(scheduling) {
    cpu_set_t set;
    unsigned cpu;
    EXPECT_OK(sched_getaffinity(0, sizeof set, &set));
    EXPECT_GE(CPU_COUNT(&set), 1);
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_getaffinity, 0, 3, &set));
    EXPECT_OK(syscall(SYS_getcpu, &cpu, NULL, NULL));
    EXPECT_TRUE(CPU_ISSET(cpu, &set));
    EXPECT_OK(sched_yield());
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    EXPECT_EQ(sched_get_priority_max(SCHED_FIFO), 99);
    EXPECT_EQ(sysconf(_SC_NPROCESSORS_ONLN) >= 1, 1);
    // Whoever runs this may be nice already.
    int nice_before = getpriority(PRIO_PROCESS, 0);
    if (nice_before < 19) {
        EXPECT_OK(setpriority(PRIO_PROCESS, 0, nice_before + 1));
        EXPECT_EQ(getpriority(PRIO_PROCESS, 0), nice_before + 1);
    }
    EXPECT_ERRNO(ESRCH, sched_getaffinity(0x3ffffff, sizeof set, &set));
}

TEST(process_controls) {
    EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
    EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    EXPECT_ERRNO(EINVAL, prctl(99999, 0, 0, 0, 0));
    int sig = 7;
    EXPECT_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    EXPECT_OK(prctl(PR_GET_PDEATHSIG, &sig));
    EXPECT_EQ(sig, SIGUSR1);
}

TEST(unknown_calls) {
    EXPECT_ERRNO(ENOSYS, syscall(1000));
    EXPECT_ERRNO(ENOSYS, syscall(-1));
    EXPECT_ERRNO(ENOSYS, syscall(1l << 31));
    EXPECT_ERRNO(ENOSYS, syscall(0x7fffffff));
}

#ifdef __riscv
TEST(call_numbers_are_64_bits_wide) {
    register long a7 __asm__("a7") = 1l << 32 | SYS_getpid;
    register long a0 __asm__("a0");
    __asm__ volatile("ecall" : "=r"(a0) : "r"(a7) : "memory");
    EXPECT_EQ(a0, -ENOSYS);
}

TEST(only_a0_changes) {
    register long a0 __asm__("a0") = 11;
    register long a1 __asm__("a1") = 12;
    register long a2 __asm__("a2") = 13;
    register long t3 __asm__("t3") = 14;
    register long a7 __asm__("a7") = SYS_getpid;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(t3), "+r"(a7) : : "memory");
    EXPECT_EQ(a1, 12);
    EXPECT_EQ(a2, 13);
    EXPECT_EQ(t3, 14);
    EXPECT_EQ(a7, SYS_getpid);
    EXPECT_EQ(a0, getpid());
}
#endif
