/* Structures that cross the border: where each field is and how much is written.
 * Offsets are those of riscv64 where they differ from this machine's. */
#include "tasks.h"
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#define POISON 0xa5
#define ROOM 1024

static unsigned char room[ROOM] __attribute__((aligned(16)));
static void poison(void) { memset(room, POISON, sizeof room); }
// Bytes up to the last that is not as it was.
static int written(void) {
    int n = ROOM;
    while (n > 0 && room[n - 1] == POISON) n--;
    return n;
}
static uint16_t half(int at) { return *(uint16_t *)(room + at); }
static uint32_t word(int at) { return *(uint32_t *)(room + at); }
static uint64_t quad(int at) { return *(uint64_t *)(room + at); }

// Some structures end in bytes that may be what was there: two kinds of poison tell.
#define EXPECT_WRITES(size, call)                                               \
    do {                                                                        \
        memset(room, 0x5a, sizeof room);                                        \
        long layout_r_ = (call);                                                \
        EXPECT_NE(layout_r_, -1);                                               \
        int layout_n_ = ROOM;                                                   \
        while (layout_n_ > 0 && room[layout_n_ - 1] == 0x5a) layout_n_--;       \
        poison();                                                               \
        EXPECT_NE((call), -1);                                                  \
        EXPECT_EQ(layout_n_ > written() ? layout_n_ : written(), size);         \
    } while (0)

#ifdef __riscv
static void copy_info(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    memcpy(room, info, 128);
}

TEST(stat_has_128_bytes) {
    make_file("it", "seven b");
    ASSERT_OK(chmod("it", 0640));
    ASSERT_OK(link("it", "again"));
    struct timespec times[2] = {{1000000000, 111}, {1100000000, 222}};
    ASSERT_OK(utimensat(AT_FDCWD, "it", times, 0));
    EXPECT_WRITES(128, syscall(SYS_newfstatat, AT_FDCWD, "it", room, 0));
    EXPECT_EQ(word(16), S_IFREG | 0640);
    EXPECT_EQ(word(20), 2);
    EXPECT_EQ(word(24), geteuid());
    EXPECT_EQ(word(28), getegid());
    EXPECT_EQ(quad(32), 0);
    EXPECT_EQ(quad(40), 0);
    EXPECT_EQ(quad(48), 7);
    EXPECT_TRUE(word(56) >= 512);
    EXPECT_EQ(word(60), 0);
    EXPECT_EQ(quad(72), 1000000000);
    EXPECT_EQ(quad(80), 111);
    EXPECT_EQ(quad(88), 1100000000);
    EXPECT_EQ(quad(96), 222);
    EXPECT_TRUE(quad(104) > 1100000000);
    EXPECT_EQ(quad(120), 0);
    uint64_t dev = quad(0), ino = quad(8);
    EXPECT_NE(ino, 0);
    int fd = open("again", O_RDONLY);
    EXPECT_WRITES(128, syscall(SYS_fstat, fd, room));
    EXPECT_EQ(quad(0), dev);
    EXPECT_EQ(quad(8), ino);
}

TEST(an_epoll_event_has_16_bytes) {
    int ep = epoll_create1(0), fds[2], more[2];
    ASSERT_OK(pipe(fds));
    ASSERT_OK(pipe(more));
    struct {
        uint32_t events, pad;
        uint64_t data;
    } event = {EPOLLOUT, 0, 0x1122334455667788};
    ASSERT_OK(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, fds[1], &event));
    event.data = 0x8877665544332211;
    ASSERT_OK(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, more[1], &event));
    poison();
    EXPECT_EQ(syscall(SYS_epoll_pwait, ep, room, 4, 0, NULL, 8), 2);
    EXPECT_EQ(written(), 32);
    EXPECT_EQ(word(0), EPOLLOUT);
    EXPECT_EQ(quad(8), 0x1122334455667788);
    EXPECT_EQ(word(16), EPOLLOUT);
    EXPECT_EQ(quad(24), 0x8877665544332211);
}

TEST(a_sigaction_has_24_bytes) {
    struct {
        uint64_t handler, flags, mask, behind;
    } set = {(uintptr_t)raw_exit, SA_RESTART | SA_SIGINFO, 0x1122334455667788, 0};
    ASSERT_OK(syscall(SYS_rt_sigaction, SIGUSR1, &set, NULL, 8));
    EXPECT_WRITES(24, syscall(SYS_rt_sigaction, SIGUSR1, NULL, room, 8));
    EXPECT_EQ(quad(0), (uintptr_t)raw_exit);
    EXPECT_EQ(quad(8), SA_RESTART | SA_SIGINFO);
    // SIGKILL and SIGSTOP cannot be blocked.
    EXPECT_EQ(quad(16), 0x1122334455667788 & ~(1UL << 8 | 1UL << 18));
}

TEST(a_rusage_has_144_bytes) {
    EXPECT_WRITES(144, syscall(SYS_getrusage, RUSAGE_SELF, room));
    EXPECT_TRUE(quad(32) > 0); // maxrss
    EXPECT_EQ(quad(40), 0);
    EXPECT_EQ(quad(48), 0);
    EXPECT_EQ(quad(56), 0);
    EXPECT_EQ(quad(80), 0);
    EXPECT_EQ(quad(104), 0);
    EXPECT_EQ(quad(112), 0);
    EXPECT_EQ(quad(120), 0);
}

TEST(a_statfs_has_120_bytes) {
    EXPECT_WRITES(120, syscall(SYS_statfs, "/proc", room));
    EXPECT_EQ(quad(0), 0x9fa0);
    EXPECT_EQ(quad(64), 255);
    EXPECT_EQ(quad(88), 0);
    EXPECT_EQ(quad(112), 0);
}

TEST(a_sysinfo_has_112_bytes) {
    EXPECT_WRITES(112, syscall(SYS_sysinfo, room));
    EXPECT_TRUE(quad(32) > 0);            // totalram
    EXPECT_TRUE(half(80) > 0);            // procs
    EXPECT_EQ(word(104), 1);              // unit
}

TEST(sigevents_have_the_thread_at_16) {
    struct {
        uint64_t value;
        int32_t signo, notify, tid, pad[11];
    } event = {.value = 0x1122334455667788, .signo = SIGUSR1, .notify = 4, .tid = getpid()};
    _Static_assert(sizeof event == 64, "struct sigevent");
    int id = -1;
    ASSERT_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct itimerspec soon = {{0, 0}, {0, 1}};
    ASSERT_OK(syscall(SYS_timer_settime, id, 0, &soon, NULL));
    poison();
    EXPECT_EQ(syscall(SYS_rt_sigtimedwait, &set, room, NULL, 8), SIGUSR1);
    EXPECT_EQ(written(), 128);
    EXPECT_EQ(word(0), SIGUSR1);
    EXPECT_EQ(word(4), 0);
    EXPECT_EQ((int)word(8), -2); // SI_TIMER
    EXPECT_EQ((int)word(16), id);
    EXPECT_EQ(word(20), 0);
    EXPECT_EQ(quad(24), 0x1122334455667788);
}

TEST(a_seccomp_siginfo_has_call_number_and_machine_at_16) {
    static struct {
        uint16_t code;
        uint8_t jt, jf;
        uint32_t k;
    } program[] = {
        {0x20, 0, 0, 0},             // A = nr
        {0x15, 0, 1, SYS_personality}, // is it this one?
        {0x06, 0, 0, 0x30000 | 77},  // SECCOMP_RET_TRAP
        {0x06, 0, 0, 0x7fff0000},    // SECCOMP_RET_ALLOW
    };
    struct {
        uint16_t len;
        void *filter;
    } filter = {4, program};
    ASSERT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    ASSERT_OK(prctl(PR_SET_SECCOMP, 2, &filter));
    struct sigaction action = {.sa_sigaction = copy_info, .sa_flags = SA_SIGINFO};
    ASSERT_OK(sigaction(SIGSYS, &action, NULL));
    poison();
    syscall(SYS_personality, 0xffffffff);
    EXPECT_EQ(word(0), SIGSYS);
    EXPECT_EQ(word(4), 77);
    EXPECT_EQ(word(8), 1); // SYS_SECCOMP
    EXPECT_NE(quad(16), 0);
    EXPECT_EQ(word(24), SYS_personality);
    EXPECT_EQ(word(28), 0xc00000f3);
}
#endif

TEST(sizes_that_all_machines_share) {
    EXPECT_WRITES(16, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, room));
    EXPECT_WRITES(390, syscall(SYS_uname, room));
    EXPECT_WRITES(32, syscall(SYS_times, room));
    EXPECT_WRITES(16, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, room));
    EXPECT_WRITES(16, syscall(SYS_clock_getres, CLOCK_MONOTONIC, room));
    EXPECT_WRITES(16, syscall(SYS_sched_rr_get_interval, 0, room));
    EXPECT_WRITES(4, syscall(SYS_sched_getparam, 0, room));
    EXPECT_WRITES(32, syscall(SYS_getitimer, 0, room));
    EXPECT_WRITES(8, syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, room, 8));
    EXPECT_WRITES(8, syscall(SYS_rt_sigpending, room, 8));
    EXPECT_WRITES(24, syscall(SYS_sigaltstack, NULL, room));
    EXPECT_WRITES(16, syscall(SYS_prctl, PR_GET_NAME, room, 0, 0, 0));
    EXPECT_WRITES(4, syscall(SYS_prctl, PR_GET_PDEATHSIG, room, 0, 0, 0));
    EXPECT_WRITES(4, syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, room, 0, 0, 0));
}

TEST(siginfo_of_a_sender_and_of_a_child) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    union sigval value = {.sival_ptr = (void *)0x1122334455667788};
    ASSERT_OK(sigqueue(getpid(), SIGRTMIN + 3, value));
    poison();
    EXPECT_EQ(syscall(SYS_rt_sigtimedwait, &set, room, NULL, 8), SIGRTMIN + 3);
    EXPECT_EQ(written(), 128);
    EXPECT_EQ(word(0), SIGRTMIN + 3);
    EXPECT_EQ(word(4), 0);
    EXPECT_EQ((int)word(8), SI_QUEUE);
    EXPECT_EQ(word(16), getpid());
    EXPECT_EQ(word(20), getuid());
    EXPECT_EQ(quad(24), 0x1122334455667788);
    pid_t child = fork();
    if (child == 0) _exit(5);
    poison();
    EXPECT_EQ(syscall(SYS_rt_sigtimedwait, &set, room, NULL, 8), SIGCHLD);
    EXPECT_EQ(word(0), SIGCHLD);
    EXPECT_EQ(word(8), CLD_EXITED);
    EXPECT_EQ(word(16), child);
    EXPECT_EQ(word(20), getuid());
    EXPECT_EQ(word(24), 5);
}
