/* prctl(2): values, errors, and who inherits what. */
#define CHECK_ARGS after_exec
static int after_exec(int argc, char **argv);
#include "check.h"
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/auxv.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#define P(...) PRCTL_(__VA_ARGS__, 0, 0, 0, 0)
#define PRCTL_(op, a, b, c, d, ...) syscall(SYS_prctl, op, (long)(a), (long)(b), (long)(c), (long)(d))

static void be_ordinary(void) {
    if (geteuid() != 0) return;
    ASSERT_OK(setgroups(0, NULL));
    ASSERT_OK(setresgid(65534, 65534, 65534));
    ASSERT_OK(setresuid(65534, 65534, 65534));
}

/* What a program that was started with "@" reports: an option's value. */
static int after_exec(int argc, char **argv) {
    int value = -1;
    if (argc < 3) return 99;
    int op = atoi(argv[2]);
    if (op == PR_GET_PDEATHSIG || op == PR_GET_CHILD_SUBREAPER) return P(op, &value) == 0 ? value : 99;
    return P(op) & 0xff;
}

static int exec_option;
static void exec_self(void) {
    char text[16];
    snprintf(text, sizeof text, "%d", exec_option);
    execl("/proc/self/exe", "prctl", "@", text, NULL);
}
static int value_after_exec(int op) {
    exec_option = op;
    int status = in_child(exec_self);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

/* Calls get(arg) in a thread. */
struct question { long (*ask)(void); long answer; };
static void *answer(void *arg) {
    struct question *question = arg;
    question->answer = question->ask();
    return NULL;
}
static long in_thread(long (*ask)(void)) {
    pthread_t thread;
    struct question question = {ask, -2};
    ASSERT_EQ(pthread_create(&thread, NULL, answer, &question), 0);
    pthread_join(thread, NULL);
    return question.answer;
}

TEST(unknown_options) {
    static const int unknown[] = {0, 48, 49, 78, 100, 9999, -1, 0x53564d42};
    for (unsigned i = 0; i < sizeof unknown / sizeof *unknown; i++) EXPECT_ERRNO(EINVAL, P(unknown[i]));
}

TEST(options_of_other_machines) {
    /* FPEMU, FPEXC, ENDIAN, MPX, FP_MODE, SVE, PAC, SME. */
    static const int others[] = {9, 10, 11, 12, 19, 20, 43, 44, 45, 46, 50, 51, 54, 60, 61, 63, 64};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) EXPECT_ERRNO(EINVAL, P(others[i], 1));
#ifdef __riscv
    EXPECT_ERRNO(EINVAL, P(PR_GET_TSC, &exec_option));
    EXPECT_ERRNO(EINVAL, P(PR_SET_TSC, 1));
#endif
}

TEST(the_number_of_an_option_is_an_int) {
    EXPECT_EQ(syscall(SYS_prctl, 1l << 32 | PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
}

static long dumpable(void) { return P(PR_GET_DUMPABLE); }
static long set_not_dumpable(void) { return P(PR_SET_DUMPABLE, 0); }
static void is_not_dumpable(void) { EXPECT_EQ(dumpable(), 0); }
TEST(dumpable_belongs_to_the_memory) {
    EXPECT_EQ(dumpable(), 1);
    EXPECT_EQ(in_thread(set_not_dumpable), 0);
    EXPECT_EQ(dumpable(), 0);
    EXPECT_EXITED(0, in_child(is_not_dumpable));
    EXPECT_OK(P(PR_SET_DUMPABLE, 1, 5, 6, 7));
    EXPECT_EQ(dumpable(), 1);
}
TEST(dumpable_values) {
    static const long bad[] = {2, 3, -1, 1l << 32};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) EXPECT_ERRNO(EINVAL, P(PR_SET_DUMPABLE, bad[i]));
    EXPECT_EQ(dumpable(), 1);
}

static long death_signal(void) {
    int value = -1;
    EXPECT_OK(P(PR_GET_PDEATHSIG, &value));
    return value;
}
static void has_no_death_signal(void) { EXPECT_EQ(death_signal(), 0); }
TEST(death_signal_values) {
    for (int sig = 0; sig <= 64; sig++) {
        EXPECT_OK(P(PR_SET_PDEATHSIG, sig));
        EXPECT_EQ(death_signal(), sig);
    }
    EXPECT_ERRNO(EINVAL, P(PR_SET_PDEATHSIG, 65));
    EXPECT_ERRNO(EINVAL, P(PR_SET_PDEATHSIG, -1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_PDEATHSIG, 1l << 32));
    EXPECT_EQ(death_signal(), 64);
    EXPECT_ERRNO(EFAULT, P(PR_GET_PDEATHSIG, BAD_PTR));
}
TEST(death_signal_is_the_threads_and_not_inherited) {
    EXPECT_OK(P(PR_SET_PDEATHSIG, SIGUSR1));
    EXPECT_EQ(in_thread(death_signal), 0);
    EXPECT_EXITED(0, in_child(has_no_death_signal));
    EXPECT_EQ(death_signal(), SIGUSR1);
}
static void exec_with_death_signal(void) {
    P(PR_SET_PDEATHSIG, SIGUSR2);
    exec_option = PR_GET_PDEATHSIG;
    exec_self();
}
TEST(death_signal_survives_exec) {
    int status = in_child(exec_with_death_signal);
    EXPECT_EXITED(SIGUSR2, status);
}

static long set_other_name(void) {
    char name[17] = {0};
    EXPECT_OK(P(PR_SET_NAME, "other"));
    EXPECT_OK(P(PR_GET_NAME, name));
    EXPECT_STR(name, "other");
    return 0;
}
TEST(name_belongs_to_the_thread) {
    char name[32];
    memset(name, 'z', sizeof name);
    EXPECT_OK(P(PR_SET_NAME, "first"));
    EXPECT_EQ(in_thread(set_other_name), 0);
    EXPECT_OK(P(PR_GET_NAME, name));
    EXPECT_STR(name, "first");
    /* Sixteen bytes are written. */
    for (int i = 5; i < 16; i++) EXPECT_EQ(name[i], 0);
    EXPECT_EQ(name[16], 'z');
}
TEST(name_is_cut_at_15_bytes) {
    char name[16];
    EXPECT_OK(P(PR_SET_NAME, "0123456789abcdefgh"));
    EXPECT_OK(P(PR_GET_NAME, name));
    EXPECT_STR(name, "0123456789abcde");
    EXPECT_OK(P(PR_SET_NAME, ""));
    EXPECT_OK(P(PR_GET_NAME, name));
    EXPECT_STR(name, "");
}
TEST(name_is_read_as_far_as_it_goes) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), name[16];
    munmap(page + 4096, 4096);
    strcpy(page + 4096 - 4, "end");
    EXPECT_OK(P(PR_SET_NAME, page + 4096 - 4));
    EXPECT_OK(P(PR_GET_NAME, name));
    EXPECT_STR(name, "end");
    memset(page + 4096 - 4, 'x', 4);
    EXPECT_ERRNO(EFAULT, P(PR_SET_NAME, page + 4096 - 4));
    EXPECT_ERRNO(EFAULT, P(PR_SET_NAME, BAD_PTR));
    EXPECT_ERRNO(EFAULT, P(PR_GET_NAME, page + 4096 - 4));
    EXPECT_OK(P(PR_GET_NAME, name));
    EXPECT_STR(name, "end");
}

static long slack(void) { return P(PR_GET_TIMERSLACK); }
static void slack_is_7000(void) {
    EXPECT_EQ(slack(), 7000);
    EXPECT_OK(P(PR_SET_TIMERSLACK, 8000));
    EXPECT_OK(P(PR_SET_TIMERSLACK, 0));
    /* Its default is what it was born with. */
    EXPECT_EQ(slack(), 7000);
}
TEST(timer_slack) {
    EXPECT_EQ(slack(), 50000);
    EXPECT_OK(P(PR_SET_TIMERSLACK, 7000));
    EXPECT_EQ(slack(), 7000);
    EXPECT_EXITED(0, in_child(slack_is_7000));
    EXPECT_EQ(in_thread(slack), 7000);
    EXPECT_OK(P(PR_SET_TIMERSLACK, 0));
    EXPECT_EQ(slack(), 50000);
    EXPECT_OK(P(PR_SET_TIMERSLACK, 1));
    EXPECT_EQ(slack(), 1);
    /* The argument is signed where it is compared, unsigned where it is kept. */
    EXPECT_OK(P(PR_SET_TIMERSLACK, 1l << 40));
    EXPECT_EQ(slack(), 1l << 40);
}

static long no_new_privs(void) { return P(PR_GET_NO_NEW_PRIVS); }
static void inherits_no_new_privs(void) {
    EXPECT_EQ(no_new_privs(), 1);
    EXPECT_EQ(value_after_exec(PR_GET_NO_NEW_PRIVS), 1);
}
TEST(no_new_privs) {
    EXPECT_EQ(no_new_privs(), 0);
    EXPECT_ERRNO(EINVAL, P(PR_SET_NO_NEW_PRIVS, 0));
    EXPECT_ERRNO(EINVAL, P(PR_SET_NO_NEW_PRIVS, 2));
    EXPECT_ERRNO(EINVAL, P(PR_SET_NO_NEW_PRIVS, 1, 1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_NO_NEW_PRIVS, 1, 0, 1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 1));
    EXPECT_EQ(no_new_privs(), 0);
    EXPECT_OK(P(PR_SET_NO_NEW_PRIVS, 1));
    EXPECT_EQ(no_new_privs(), 1);
    EXPECT_ERRNO(EINVAL, P(PR_SET_NO_NEW_PRIVS, 0));
    EXPECT_ERRNO(EINVAL, P(PR_GET_NO_NEW_PRIVS, 1));
    EXPECT_ERRNO(EINVAL, P(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 1));
    EXPECT_EXITED(0, in_child(inherits_no_new_privs));
    EXPECT_EQ(in_thread(no_new_privs), 1);
}
static long set_no_new_privs(void) { return P(PR_SET_NO_NEW_PRIVS, 1); }
TEST(no_new_privs_is_the_threads) {
    EXPECT_EQ(in_thread(set_no_new_privs), 0);
    EXPECT_EQ(no_new_privs(), 0);
}

static long subreaper(void) {
    int value = -1;
    EXPECT_OK(P(PR_GET_CHILD_SUBREAPER, &value));
    return value;
}
static void is_no_subreaper(void) { EXPECT_EQ(subreaper(), 0); }
TEST(subreaper_is_not_inherited) {
    EXPECT_EQ(subreaper(), 0);
    EXPECT_OK(P(PR_SET_CHILD_SUBREAPER, 17));
    EXPECT_EQ(subreaper(), 1);
    EXPECT_EQ(in_thread(subreaper), 1);
    EXPECT_EXITED(0, in_child(is_no_subreaper));
    EXPECT_OK(P(PR_SET_CHILD_SUBREAPER, 0));
    EXPECT_EQ(subreaper(), 0);
    EXPECT_ERRNO(EFAULT, P(PR_GET_CHILD_SUBREAPER, BAD_PTR));
}

TEST(keep_capabilities) {
    EXPECT_EQ(P(PR_GET_KEEPCAPS), 0);
    EXPECT_OK(P(PR_SET_KEEPCAPS, 1));
    EXPECT_EQ(P(PR_GET_KEEPCAPS), 1);
    EXPECT_ERRNO(EINVAL, P(PR_SET_KEEPCAPS, 2));
    EXPECT_ERRNO(EINVAL, P(PR_SET_KEEPCAPS, -1));
    EXPECT_EQ(value_after_exec(PR_GET_KEEPCAPS), 0);
}

TEST(bounding_set_and_secure_bits) {
    be_ordinary();
    EXPECT_TRUE(P(PR_CAPBSET_READ, 0) >= 0);
    EXPECT_TRUE(P(PR_CAPBSET_READ, 40) >= 0);
    EXPECT_ERRNO(EINVAL, P(PR_CAPBSET_READ, 64));
    EXPECT_ERRNO(EINVAL, P(PR_CAPBSET_READ, -1));
    EXPECT_ERRNO(EPERM, P(PR_CAPBSET_DROP, 0));
    EXPECT_EQ(P(PR_GET_SECUREBITS), 0);
    EXPECT_ERRNO(EPERM, P(PR_SET_SECUREBITS, 0));
}

TEST(ambient_capabilities) {
    be_ordinary();
    EXPECT_EQ(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0), 0);
    EXPECT_ERRNO(EPERM, P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0));
    EXPECT_EQ(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, 0), 0);
    EXPECT_EQ(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), 0);
    EXPECT_ERRNO(EINVAL, P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1));
    EXPECT_ERRNO(EINVAL, P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 64));
    EXPECT_ERRNO(EINVAL, P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 1));
    EXPECT_ERRNO(EINVAL, P(PR_CAP_AMBIENT, 5, 0));
    EXPECT_ERRNO(EINVAL, P(PR_CAP_AMBIENT, 0, 0));
}

TEST(tid_address) {
    int *where = NULL, mine;
    ASSERT_OK(P(PR_GET_TID_ADDRESS, &where));
    int *before = where;
    EXPECT_EQ(syscall(SYS_set_tid_address, &mine), getpid());
    ASSERT_OK(P(PR_GET_TID_ADDRESS, &where));
    EXPECT_TRUE(where == &mine);
    EXPECT_ERRNO(EFAULT, P(PR_GET_TID_ADDRESS, BAD_PTR));
    syscall(SYS_set_tid_address, before);
}

TEST(timing_is_statistical) {
    EXPECT_EQ(P(PR_GET_TIMING), 0);
    EXPECT_OK(P(PR_SET_TIMING, 0));
    EXPECT_ERRNO(EINVAL, P(PR_SET_TIMING, 1));
}

/* PR_FUTEX_HASH, which came with Linux 6.16: slots of a process's own table of
 * futexes, or nothing that is known. */
TEST(futex_hash) {
    enum { FUTEX_HASH = 78, SET_SLOTS = 1, GET_SLOTS = 2 };
    EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, 0));
    EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, 3, 0));
    EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, 4));
    EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, SET_SLOTS, 1));
    EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, SET_SLOTS, 3));
    EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, SET_SLOTS, 16, 2));
    if (P(FUTEX_HASH, GET_SLOTS) == -1) {
        EXPECT_EQ(errno, EINVAL);
        EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, SET_SLOTS, 16));
        EXPECT_ERRNO(EINVAL, P(FUTEX_HASH, SET_SLOTS, 0));
        return;
    }
    EXPECT_EQ(P(FUTEX_HASH, GET_SLOTS), 0);
    EXPECT_EQ(P(FUTEX_HASH, SET_SLOTS, 16), 0);
    EXPECT_EQ(P(FUTEX_HASH, GET_SLOTS), 16);
}

TEST(perf_events) {
    EXPECT_OK(P(PR_TASK_PERF_EVENTS_DISABLE));
    EXPECT_OK(P(PR_TASK_PERF_EVENTS_ENABLE));
}

TEST(machine_checks) {
    EXPECT_EQ(P(PR_MCE_KILL_GET), PR_MCE_KILL_DEFAULT);
    EXPECT_ERRNO(EINVAL, P(PR_MCE_KILL_GET, 1));
    EXPECT_OK(P(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY));
    EXPECT_EQ(P(PR_MCE_KILL_GET), PR_MCE_KILL_EARLY);
    EXPECT_OK(P(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_LATE));
    EXPECT_EQ(P(PR_MCE_KILL_GET), PR_MCE_KILL_LATE);
    EXPECT_ERRNO(EINVAL, P(PR_MCE_KILL, PR_MCE_KILL_SET, 3));
    EXPECT_ERRNO(EINVAL, P(PR_MCE_KILL, 2));
    EXPECT_ERRNO(EINVAL, P(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1));
    EXPECT_ERRNO(EINVAL, P(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 1));
    EXPECT_OK(P(PR_MCE_KILL, PR_MCE_KILL_CLEAR));
    EXPECT_EQ(P(PR_MCE_KILL_GET), PR_MCE_KILL_DEFAULT);
}

TEST(memory_map_fields_are_an_administrators) {
    be_ordinary();
    EXPECT_ERRNO(EPERM, P(PR_SET_MM, PR_SET_MM_BRK, 4096));
    EXPECT_ERRNO(EINVAL, P(PR_SET_MM, PR_SET_MM_BRK, 4096, 1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_MM, PR_SET_MM_BRK, 4096, 0, 1));
    EXPECT_ERRNO(EPERM, P(PR_SET_MM, 999, 0));
}

TEST(io_flusher_is_an_administrators) {
    be_ordinary();
    EXPECT_ERRNO(EPERM, P(57, 1));
    EXPECT_ERRNO(EPERM, P(58));
}

static long huge_pages_off(void) { return P(PR_GET_THP_DISABLE); }
static void huge_pages_are_off(void) {
    EXPECT_EQ(huge_pages_off(), 1);
    EXPECT_EQ(value_after_exec(PR_GET_THP_DISABLE), 1);
}
TEST(huge_pages) {
    EXPECT_EQ(huge_pages_off(), 0);
    EXPECT_OK(P(PR_SET_THP_DISABLE, 1));
    EXPECT_EQ(huge_pages_off(), 1);
    EXPECT_EQ(in_thread(huge_pages_off), 1);
    EXPECT_EXITED(0, in_child(huge_pages_are_off));
    EXPECT_OK(P(PR_SET_THP_DISABLE, 0));
    EXPECT_EQ(huge_pages_off(), 0);
    EXPECT_ERRNO(EINVAL, P(PR_SET_THP_DISABLE, 0, 1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_THP_DISABLE, 1, 0, 1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_THP_DISABLE, 1, 0, 0, 1));
    EXPECT_ERRNO(EINVAL, P(PR_GET_THP_DISABLE, 1));
}

TEST(speculation_and_core_scheduling) {
#ifdef __riscv
    EXPECT_ERRNO(EINVAL, P(PR_GET_SPECULATION_CTRL, 0));
    EXPECT_ERRNO(EINVAL, P(PR_SET_SPECULATION_CTRL, 0, 1));
#endif
    EXPECT_ERRNO(EINVAL, P(PR_GET_SPECULATION_CTRL, 0, 1));
    EXPECT_ERRNO(EINVAL, P(62, 99));
}

TEST(memory_merging_arguments) {
    EXPECT_EQ(P(68), 0);
    EXPECT_ERRNO(EINVAL, P(68, 1));
    EXPECT_ERRNO(EINVAL, P(67, 1, 1));
}

TEST(auxiliary_vector_is_copied) {
    unsigned long auxv[128] = {0}, part[5] = {9, 9, 9, 9, 9};
    long size = P(0x41555856, auxv, sizeof auxv);
    ASSERT_TRUE(size > 0 && size <= (long)sizeof auxv);
    EXPECT_EQ(size % 16, 0);
    unsigned long page = 0;
    for (long i = 0; i < size / 8 && auxv[i]; i += 2)
        if (auxv[i] == AT_PAGESZ) page = auxv[i + 1];
    EXPECT_EQ(page, 4096);
    /* The whole size is told, whatever fits. */
    EXPECT_EQ(P(0x41555856, part, 32), size);
    EXPECT_EQ(part[0], auxv[0]);
    EXPECT_EQ(part[3], auxv[3]);
    EXPECT_EQ(part[4], 9);
    EXPECT_ERRNO(EINVAL, P(0x41555856, auxv, sizeof auxv, 1));
    EXPECT_ERRNO(EFAULT, P(0x41555856, BAD_PTR, sizeof auxv));
}

/* Memory that was writable stays without execution. */
#define DENY 1
#define NO_INHERIT 2
static void *map(int prot) { return mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
#define W (PROT_READ | PROT_WRITE)
#define X (PROT_READ | PROT_EXEC)
static void refuses(void) {
    EXPECT_EQ(P(PR_GET_MDWE), DENY);
    EXPECT_ERRNO(EACCES, (long)map(W | X));
    void *page = map(W);
    EXPECT_ERRNO(EACCES, mprotect(page, 4096, X));
    EXPECT_EQ(value_after_exec(PR_GET_MDWE), DENY);
}
TEST(execution_is_not_gained) {
    void *old = map(W | X), *code = map(X), *data = map(W), *none = map(PROT_NONE);
    ASSERT_OK(old);
    EXPECT_EQ(P(PR_GET_MDWE), 0);
    ASSERT_OK(P(PR_SET_MDWE, DENY));
    EXPECT_EQ(P(PR_GET_MDWE), DENY);
    EXPECT_ERRNO(EACCES, (long)map(W | X));
    EXPECT_ERRNO(EACCES, (long)map(PROT_WRITE | PROT_EXEC));
    EXPECT_OK(map(X));
    EXPECT_OK(map(W));
    EXPECT_ERRNO(EACCES, mprotect(data, 4096, X));
    EXPECT_ERRNO(EACCES, mprotect(data, 4096, PROT_EXEC));
    EXPECT_ERRNO(EACCES, mprotect(data, 4096, W | X));
    EXPECT_ERRNO(EACCES, mprotect(none, 4096, X));
    EXPECT_OK(mprotect(data, 4096, PROT_READ));
    EXPECT_ERRNO(EACCES, mprotect(data, 4096, X));
    /* What can be executed may lose that, or stay so, but not become writable. */
    EXPECT_OK(mprotect(code, 4096, X));
    EXPECT_OK(mprotect(code, 4096, PROT_EXEC));
    EXPECT_ERRNO(EACCES, mprotect(code, 4096, W | X));
    EXPECT_ERRNO(EACCES, mprotect(old, 4096, W | X));
    EXPECT_OK(mprotect(old, 4096, X));
    EXPECT_OK(mprotect(code, 4096, PROT_READ));
    EXPECT_ERRNO(EACCES, mprotect(code, 4096, X));
    EXPECT_EXITED(0, in_child(refuses));
}
TEST(execution_denial_stays) {
    EXPECT_ERRNO(EINVAL, P(PR_SET_MDWE, NO_INHERIT));
    EXPECT_ERRNO(EINVAL, P(PR_SET_MDWE, 4));
    EXPECT_ERRNO(EINVAL, P(PR_SET_MDWE, DENY, 1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_MDWE, DENY, 0, 1));
    EXPECT_ERRNO(EINVAL, P(PR_SET_MDWE, DENY, 0, 0, 1));
    EXPECT_ERRNO(EINVAL, P(PR_GET_MDWE, 1));
    EXPECT_OK(P(PR_SET_MDWE, 0));
    ASSERT_OK(P(PR_SET_MDWE, DENY));
    EXPECT_OK(P(PR_SET_MDWE, DENY));
    EXPECT_ERRNO(EPERM, P(PR_SET_MDWE, 0));
    EXPECT_ERRNO(EPERM, P(PR_SET_MDWE, DENY | NO_INHERIT));
}
static void allows(void) {
    EXPECT_EQ(P(PR_GET_MDWE), 0);
    EXPECT_OK(map(W | X));
}
TEST(execution_denial_without_inheritance) {
    ASSERT_OK(P(PR_SET_MDWE, DENY | NO_INHERIT));
    EXPECT_EQ(P(PR_GET_MDWE), DENY | NO_INHERIT);
    EXPECT_ERRNO(EACCES, (long)map(W | X));
    EXPECT_EXITED(0, in_child(allows));
}

/* The name of the mapping that starts at addr, and how long it is. */
static int mapping(void *addr, char *name, unsigned long *len) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    ASSERT_TRUE(maps != NULL);
    int found = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        int at = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) != 2 || start != (unsigned long)addr) continue;
        line[strcspn(line, "\n")] = 0;
        strcpy(name, line + at);
        *len = end - start;
        found = 1;
    }
    fclose(maps);
    return found;
}
#define NAME_IT(addr, len, name) P(PR_SET_VMA, 0, addr, len, name)
static int has_names(void) {
#ifdef __riscv
    return 1;
#else
    void *page = map(W);
    int result = NAME_IT(page, 4096, "x") == 0;
    munmap(page, 4096);
    return result;
#endif
}
TEST(mappings_have_names) {
    char name[512];
    unsigned long len;
    if (!has_names()) SKIP("this kernel has no names for mappings");
    char *pages = mmap(NULL, 3 * 4096, W, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(pages);
    ASSERT_OK(NAME_IT(pages + 4096, 4096, "the middle"));
    ASSERT_TRUE(mapping(pages + 4096, name, &len));
    EXPECT_STR(name, "[anon:the middle]");
    EXPECT_EQ(len, 4096);
    /* The same name joins them again. */
    ASSERT_OK(NAME_IT(pages, 3 * 4096, "all"));
    ASSERT_TRUE(mapping(pages, name, &len));
    EXPECT_STR(name, "[anon:all]");
    EXPECT_EQ(len, 3 * 4096);
    ASSERT_OK(mprotect(pages, 4096, PROT_READ));
    ASSERT_TRUE(mapping(pages, name, &len));
    EXPECT_STR(name, "[anon:all]");
    ASSERT_OK(NAME_IT(pages, 3 * 4096, NULL));
    ASSERT_TRUE(mapping(pages, name, &len));
    EXPECT_EQ(strncmp(name, "[anon:", 6) != 0, 1);
}
static char *named;
static void child_sees_the_name(void) {
    char name[512];
    unsigned long len;
    ASSERT_TRUE(mapping(named, name, &len));
    EXPECT_STR(name, "[anon:kept]");
}
TEST(names_are_inherited) {
    if (!has_names()) SKIP("this kernel has no names for mappings");
    named = mmap(NULL, 8192, W, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(named + 4096, 4096);
    ASSERT_OK(NAME_IT(named, 4096, "kept"));
    child_sees_the_name();
    EXPECT_EXITED(0, in_child(child_sees_the_name));
}
TEST(names_are_checked) {
    if (!has_names()) SKIP("this kernel has no names for mappings");
    char *page = map(W), longest[100];
    memset(longest, 'n', sizeof longest);
    longest[79] = 0;
    EXPECT_OK(NAME_IT(page, 4096, longest));
    longest[79] = 'n';
    longest[80] = 0;
    EXPECT_ERRNO(EINVAL, NAME_IT(page, 4096, longest));
    static const char *const bad[] = {"a[b", "a]b", "a$b", "a\\b", "a`b", "new\nline", "\x7f", "\xc3\xa4"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) EXPECT_ERRNO(EINVAL, NAME_IT(page, 4096, bad[i]));
    EXPECT_OK(NAME_IT(page, 4096, ""));
    EXPECT_ERRNO(EFAULT, NAME_IT(page, 4096, BAD_PTR));
    EXPECT_ERRNO(EINVAL, NAME_IT(page + 1, 4096, "x"));
    EXPECT_OK(NAME_IT(page, 0, "x"));
    EXPECT_OK(NAME_IT(page, 1, "x"));
    EXPECT_ERRNO(EINVAL, NAME_IT(page, -4096l, "x"));
    EXPECT_ERRNO(EINVAL, NAME_IT(page, -1l, "x"));
    EXPECT_ERRNO(EINVAL, P(PR_SET_VMA, 1, page, 4096, "x"));
}
TEST(names_need_mappings) {
    if (!has_names()) SKIP("this kernel has no names for mappings");
    char name[512];
    unsigned long len;
    char *pages = mmap(NULL, 3 * 4096, W, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    /* What is there gets the name all the same. */
    EXPECT_ERRNO(ENOMEM, NAME_IT(pages, 3 * 4096, "holes"));
    ASSERT_TRUE(mapping(pages, name, &len));
    EXPECT_STR(name, "[anon:holes]");
    make_file("file", "text");
    int fd = open("file", O_RDWR);
    char *file = mmap(NULL, 4096, W, MAP_PRIVATE, fd, 0);
    EXPECT_ERRNO(EBADF, NAME_IT(file, 4096, "x"));
}

#ifdef __riscv
TEST(riscv_vector_control_needs_vectors) {
    if (getauxval(AT_HWCAP) & 1 << 21) SKIP("there are vectors");
    EXPECT_ERRNO(EINVAL, P(70));
    for (int value = 0; value < 32; value++) EXPECT_ERRNO(EINVAL, P(69, value));
}
TEST(riscv_icache_context) {
    for (int scope = 0; scope < 2; scope++) {
        EXPECT_EQ(P(71, 0, scope), 0);
        EXPECT_EQ(P(71, 1, scope), 0);
    }
    EXPECT_ERRNO(EINVAL, P(71, 2, 0));
    EXPECT_ERRNO(EINVAL, P(71, 0, 2));
    EXPECT_ERRNO(EINVAL, P(71, 1, 2));
    EXPECT_ERRNO(EINVAL, P(71, -1, 0));
}
TEST(riscv_unaligned_access_needs_no_emulation) {
    unsigned value;
    EXPECT_ERRNO(EINVAL, P(PR_GET_UNALIGN, &value));
    EXPECT_ERRNO(EINVAL, P(PR_SET_UNALIGN, PR_UNALIGN_SIGBUS));
}
TEST(riscv_has_no_pointer_masking) {
    EXPECT_ERRNO(EINVAL, P(PR_SET_TAGGED_ADDR_CTRL, 1));
    EXPECT_ERRNO(EINVAL, P(PR_GET_TAGGED_ADDR_CTRL));
}
#endif

/* Syscall user dispatch: calls from outside a range are refused while a byte says so. */
static volatile char selector;
static volatile int trapped, trapped_number, trapped_code;
static volatile unsigned trapped_arch;
static void on_sys(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    selector = 0;
    trapped++;
    trapped_number = info->si_syscall;
    trapped_code = info->si_code;
    trapped_arch = info->si_arch;
}
static void catch_sys(void) {
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    ASSERT_OK(sigaction(SIGSYS, &action, NULL));
}
#define DISPATCH 59
TEST(dispatch_raises_sigsys) {
    catch_sys();
    ASSERT_OK(P(DISPATCH, 1, 0, 0, &selector));
    EXPECT_EQ(syscall(SYS_getpid), getpid());
    selector = 1;
    syscall(SYS_getppid);
    EXPECT_EQ(trapped, 1);
    EXPECT_EQ(trapped_number, SYS_getppid);
    EXPECT_EQ(trapped_code, 2); /* SYS_USER_DISPATCH */
#ifdef __riscv
    EXPECT_EQ(trapped_arch, 0xc00000f3);
#endif
    /* The handler has allowed calls again. */
    ASSERT_OK(P(DISPATCH, 0));
    selector = 1;
    EXPECT_EQ(syscall(SYS_getpid), getpid());
    EXPECT_EQ(trapped, 1);
}
TEST(dispatch_spares_a_range) {
    catch_sys();
    /* All of user space. */
    ASSERT_OK(P(DISPATCH, 1, 4096, 1l << 37, &selector));
    selector = 1;
#ifdef __riscv
    EXPECT_EQ(syscall(SYS_getpid), getpid());
    EXPECT_EQ(trapped, 0);
    selector = 0;
#endif
    selector = 0;
    ASSERT_OK(P(DISPATCH, 0));
}
static long dispatched(void) {
    selector = 1;
    long result = syscall(SYS_getpid);
    selector = 0;
    return result;
}
static void dispatch_is_off(void) { EXPECT_EQ(dispatched(), getpid()); }
TEST(dispatch_is_the_threads_and_not_inherited) {
    catch_sys();
    ASSERT_OK(P(DISPATCH, 1, 0, 0, &selector));
    EXPECT_EQ(in_thread(dispatched), getpid());
    EXPECT_EXITED(0, in_child(dispatch_is_off));
    EXPECT_EQ(trapped, 0);
    ASSERT_OK(P(DISPATCH, 0));
}
static void bad_selector_value(void) {
    catch_sys();
    ASSERT_OK(P(DISPATCH, 1, 0, 0, &selector));
    selector = 2;
    syscall(SYS_getpid);
}
static void bad_selector_place(void) {
    void *page = map(W);
    ASSERT_OK(P(DISPATCH, 1, 0, 0, page));
    munmap(page, 4096);
    syscall(SYS_getpid);
}
TEST(dispatch_with_a_bad_selector_is_fatal) {
    EXPECT_SIGNALED(SIGSYS, in_child(bad_selector_value));
    EXPECT_SIGNALED(SIGSEGV, in_child(bad_selector_place));
}
TEST(dispatch_arguments) {
    EXPECT_ERRNO(EINVAL, P(DISPATCH, 3));
    EXPECT_ERRNO(EINVAL, P(DISPATCH, 0, 1));
    EXPECT_ERRNO(EINVAL, P(DISPATCH, 0, 0, 1));
    EXPECT_ERRNO(EINVAL, P(DISPATCH, 0, 0, 0, &selector));
    EXPECT_ERRNO(EINVAL, P(DISPATCH, 1, 4096, 0, &selector));
    EXPECT_ERRNO(EINVAL, P(DISPATCH, 1, -8, 16, &selector));
    EXPECT_ERRNO(EFAULT, P(DISPATCH, 1, 0, 0, -4096l));
    /* Without a selector all calls outside are refused. */
    EXPECT_OK(P(DISPATCH, 0));
}
