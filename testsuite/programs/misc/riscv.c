/* riscv_hwprobe(2), riscv_flush_icache(2), and code that threads write for each other. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>

/* Code for "return value". */
static void put_constant(unsigned char *at, int value) {
#ifdef __riscv
    uint32_t words[] = {(uint32_t)value << 20 | 0x513, 0x00008067};
    memcpy(at, words, sizeof words);
#else
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
#endif
}

/* Makes what was written code for every thread of the process. */
static void flush(void *start, void *end) {
    __asm__ volatile("" ::: "memory");
    __builtin___clear_cache((char *)start, (char *)end);
    __asm__ volatile("" ::: "memory");
#ifdef __x86_64__
    /* MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, after its registration. */
    static int is_registered;
    if (!is_registered++) ASSERT_OK(syscall(SYS_membarrier, 64, 0, 0));
    ASSERT_OK(syscall(SYS_membarrier, 32, 0, 0));
#endif
}

static unsigned char *code;
static int call_code(void) { return ((int (*)(void))code)(); }
static void get_page(void) {
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(code);
}

TEST(new_code_is_seen_after_a_flush) {
    get_page();
    for (int value = 1; value < 100; value++) {
        put_constant(code, value);
        flush(code, code + 16);
        EXPECT_EQ(call_code(), value);
    }
}

static volatile int turn, answer;
static void *run_in_turn(void *unused) {
    for (int value = 1; value <= 300; value++) {
        while (turn != value) {}
        answer = call_code();
        turn = -value;
    }
    return unused;
}
TEST(a_flush_reaches_other_threads) {
    pthread_t thread;
    get_page();
    put_constant(code, 1000);
    ASSERT_EQ(pthread_create(&thread, NULL, run_in_turn, NULL), 0);
    for (int value = 1; value <= 300; value++) {
        put_constant(code, value);
        flush(code, code + 16);
        turn = value;
        while (turn != -value) {}
        EXPECT_EQ(answer, value);
    }
    pthread_join(thread, NULL);
}

static volatile int stop;
static void *run_always(void *unused) {
    while (!stop) answer = call_code();
    return unused;
}
TEST(a_flush_reaches_threads_that_are_running_the_code) {
    pthread_t thread;
    get_page();
    /* Two places in turn, so that no call is ever half one and half the other. */
    put_constant(code, 1);
    flush(code, code + 16);
    ASSERT_EQ(pthread_create(&thread, NULL, run_always, NULL), 0);
    while (answer != 1) {}
#ifdef __riscv
    for (int value = 2; value < 100; value++) {
        *(volatile uint32_t *)code = (uint32_t)value << 20 | 0x513;
        ASSERT_EQ(syscall(259, code, code + 4, 0), 0);
        /* One store of an older call may still be on its way. */
        while (answer != value) {}
        for (int i = 0; i < 1000; i++)
            if (answer != value) {
                FAIL("%d after %d", answer, value);
                break;
            }
    }
#endif
    stop = 1;
    pthread_join(thread, NULL);
}

TEST(a_page_mapped_again_holds_new_code) {
    get_page();
    put_constant(code, 7);
    flush(code, code + 16);
    EXPECT_EQ(call_code(), 7);
    ASSERT_OK(mmap(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    put_constant(code, 8);
    flush(code, code + 16);
    EXPECT_EQ(call_code(), 8);
}

static void child_changes_code(void) {
    put_constant(code, 21);
    flush(code, code + 16);
    EXPECT_EQ(call_code(), 21);
}
TEST(a_childs_flush_is_its_own) {
    get_page();
    put_constant(code, 20);
    flush(code, code + 16);
    EXPECT_EQ(call_code(), 20);
    EXPECT_EXITED(0, in_child(child_changes_code));
    EXPECT_EQ(call_code(), 20);
}

#ifdef __riscv
TEST(flush_flags) {
    EXPECT_EQ(syscall(259, 0, 0, 0), 0);
    EXPECT_EQ(syscall(259, 0, -1l, 1), 0);
    EXPECT_EQ(syscall(259, -1l, 0, 0), 0);
    static const long bad[] = {2, 3, 4, -1, 1l << 32, 1l << 63};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) EXPECT_ERRNO(EINVAL, syscall(259, 0, 0, bad[i]));
}

TEST(fence_i_covers_its_own_thread) {
    get_page();
    for (int value = 1; value < 100; value++) {
        put_constant(code, value);
        __asm__ volatile("fence.i" ::: "memory");
        EXPECT_EQ(call_code(), value);
    }
}

TEST(a_local_flush_covers_its_own_thread) {
    get_page();
    for (int value = 1; value < 100; value++) {
        put_constant(code, value);
        ASSERT_EQ(syscall(259, code, code + 8, 1), 0);
        EXPECT_EQ(call_code(), value);
    }
}

/* Long code without a jump, whose last instruction but two changes. A thread that
 * was in the middle of it when it changed has left it when the flush returns. */
#define LONG 120
static volatile uint32_t said;
static void *run_long(void *unused) {
    while (!stop) ((void (*)(volatile uint32_t *))(void *)code)(&said);
    return unused;
}
TEST(a_flush_waits_for_code_that_is_under_way) {
    pthread_t thread;
    get_page();
    uint32_t *words = (uint32_t *)code;
    for (int i = 0; i < LONG; i++) words[i] = 0x00128293; /* addi t0,t0,1 */
    words[LONG] = 1 << 20 | 0x313;      /* li t1,1 */
    words[LONG + 1] = 0x00652023;       /* sw t1,(a0) */
    words[LONG + 2] = 0x00008067;       /* ret */
    flush(code, code + 4096);
    ASSERT_EQ(pthread_create(&thread, NULL, run_long, NULL), 0);
    int late = 0;
    for (uint32_t value = 2; value < 300; value++) {
        while (said != value - 1) {}
        *(volatile uint32_t *)&words[LONG] = value << 20 | 0x313;
        ASSERT_EQ(syscall(259, code, code + 4096, 0), 0);
        said = 0;
        uint32_t first;
        while ((first = said) == 0) {}
        late += first != value;
    }
    stop = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(late, 0);
}

static void *fence_and_run(void *unused) {
    for (int value = 1; value <= 100; value++) {
        while (turn != value) {}
        __asm__ volatile("fence.i" ::: "memory");
        answer = call_code();
        turn = -value;
    }
    return unused;
}
TEST(fence_i_in_the_thread_that_runs_it) {
    pthread_t thread;
    get_page();
    put_constant(code, 1000);
    ASSERT_EQ(pthread_create(&thread, NULL, fence_and_run, NULL), 0);
    for (int value = 1; value <= 100; value++) {
        put_constant(code, value);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        turn = value;
        while (turn != -value) {}
        EXPECT_EQ(answer, value);
    }
    pthread_join(thread, NULL);
}

struct pair { int64_t key; uint64_t value; };
#define HWPROBE 258
#define WHICH_CPUS 1
static uint64_t probe(int64_t key) {
    struct pair pair = {key, 0xdead};
    ASSERT_EQ(syscall(HWPROBE, &pair, 1, 0, NULL, 0), 0);
    EXPECT_EQ(pair.key, key);
    return pair.value;
}

TEST(hwprobe_base) {
    EXPECT_EQ(probe(3), 1);
    uint64_t ext = probe(4);
    EXPECT_EQ(ext & 3, 3);
    EXPECT_EQ(probe(7), (1ull << 38) - 1);
    EXPECT_EQ(probe(8), 1000000000);
}

TEST(hwprobe_agrees_with_hwcap) {
    uint64_t ext = probe(4);
    unsigned long hwcap = getauxval(AT_HWCAP);
#define LETTER(c) (hwcap >> ((c) - 'a') & 1)
    EXPECT_EQ(LETTER('i') && LETTER('m') && LETTER('a'), probe(3) & 1);
    EXPECT_EQ(LETTER('f') && LETTER('d'), ext & 1);
    EXPECT_EQ(LETTER('c'), ext >> 1 & 1);
    EXPECT_EQ(LETTER('v'), ext >> 2 & 1);
}

TEST(hwprobe_identity_is_one_for_all) {
    EXPECT_NE(probe(0), (uint64_t)-1);
    EXPECT_NE(probe(1), (uint64_t)-1);
    EXPECT_NE(probe(2), (uint64_t)-1);
}

TEST(hwprobe_misaligned_accesses) {
    /* Fast, by both keys; without vectors there are no accesses of theirs. */
    EXPECT_EQ(probe(5) & 7, 3);
    EXPECT_EQ(probe(9), 3);
    if (!(probe(4) & 4)) EXPECT_EQ(probe(10), 4);
}

TEST(hwprobe_block_sizes_go_with_extensions) {
    uint64_t ext = probe(4);
    if (!(ext >> 6 & 1)) EXPECT_EQ(probe(6), 0);
    EXPECT_EQ(probe(12), 0);
    EXPECT_EQ(probe(15), 0);
    EXPECT_EQ(probe(11), 0);
    EXPECT_EQ(probe(13), 0);
    EXPECT_EQ(probe(14), 0);
    EXPECT_EQ(probe(16), 0);
}

TEST(hwprobe_unknown_keys) {
    struct pair pairs[5] = {{3, 9}, {1000, 9}, {-1, 9}, {INT64_MIN, 9}, {4, 9}};
    EXPECT_EQ(syscall(HWPROBE, pairs, 5, 0, NULL, 0), 0);
    EXPECT_EQ(pairs[0].key, 3);
    EXPECT_EQ(pairs[0].value, 1);
    for (int i = 1; i < 4; i++) {
        EXPECT_EQ(pairs[i].key, -1);
        EXPECT_EQ(pairs[i].value, 0);
    }
    EXPECT_EQ(pairs[4].key, 4);
    EXPECT_EQ(pairs[4].value & 3, 3);
}

TEST(hwprobe_arguments) {
    struct pair pair = {3, 0};
    EXPECT_EQ(syscall(HWPROBE, NULL, 0, 0, NULL, 0), 0);
    EXPECT_ERRNO(EFAULT, syscall(HWPROBE, BAD_PTR, 1, 0, NULL, 0));
    EXPECT_ERRNO(EFAULT, syscall(HWPROBE, NULL, 1, 0, NULL, 0));
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 0, NULL, 2));
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 0, NULL, 3));
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 0, NULL, -1));
}

TEST(hwprobe_cpu_sets) {
    struct pair pair = {3, 0};
    cpu_set_t set;
    ASSERT_OK(sched_getaffinity(0, sizeof set, &set));
    EXPECT_EQ(syscall(HWPROBE, &pair, 1, sizeof set, &set, 0), 0);
    EXPECT_EQ(pair.value, 1);
    EXPECT_ERRNO(EFAULT, syscall(HWPROBE, &pair, 1, 8, BAD_PTR, 0));
    EXPECT_ERRNO(EFAULT, syscall(HWPROBE, &pair, 1, 8, NULL, 0));
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 0, &set, 0));
    CPU_ZERO(&set);
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, sizeof set, &set, 0));
    CPU_SET(CPU_SETSIZE - 1, &set);
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, sizeof set, &set, 0));
}

TEST(hwprobe_which_cpus) {
    struct pair pairs[2] = {{3, 1}, {4, 1}};
    cpu_set_t all, set;
    ASSERT_OK(sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&set);
    /* None means all that are there. */
    EXPECT_EQ(syscall(HWPROBE, pairs, 2, sizeof set, &set, WHICH_CPUS), 0);
    EXPECT_TRUE(CPU_EQUAL(&set, &all));
    EXPECT_EQ(syscall(HWPROBE, pairs, 2, sizeof set, &set, WHICH_CPUS), 0);
    EXPECT_TRUE(CPU_EQUAL(&set, &all));
    /* Bits that are not there match no CPU; a value must be equal. */
    pairs[1].value = 1ull << 63;
    EXPECT_EQ(syscall(HWPROBE, pairs, 2, sizeof set, &set, WHICH_CPUS), 0);
    EXPECT_EQ(CPU_COUNT(&set), 0);
    pairs[1] = (struct pair){9, 2};
    EXPECT_EQ(syscall(HWPROBE, pairs, 2, sizeof set, &set, WHICH_CPUS), 0);
    EXPECT_EQ(CPU_COUNT(&set), 0);
    pairs[1] = (struct pair){9, 3};
    EXPECT_EQ(syscall(HWPROBE, pairs, 2, sizeof set, &set, WHICH_CPUS), 0);
    EXPECT_TRUE(CPU_EQUAL(&set, &all));
    /* The older key is a set of bits. */
    pairs[1] = (struct pair){5, 1};
    EXPECT_EQ(syscall(HWPROBE, pairs, 2, sizeof set, &set, WHICH_CPUS), 0);
    EXPECT_TRUE(CPU_EQUAL(&set, &all));
    /* CPUs that are not there are dropped. */
    CPU_ZERO(&set);
    CPU_SET(CPU_SETSIZE - 1, &set);
    CPU_SET(63, &set);
    EXPECT_EQ(syscall(HWPROBE, pairs, 2, 8, &set, WHICH_CPUS), 0);
    if (!CPU_ISSET(63, &all)) EXPECT_TRUE(!CPU_ISSET(63, &set));
    EXPECT_TRUE(CPU_ISSET(CPU_SETSIZE - 1, &set));
}

TEST(hwprobe_which_cpus_with_an_unknown_key) {
    struct pair pairs[3] = {{3, 1}, {1000, 5}, {4, 1}};
    cpu_set_t set;
    CPU_ZERO(&set);
    EXPECT_EQ(syscall(HWPROBE, pairs, 3, sizeof set, &set, WHICH_CPUS), 0);
    EXPECT_EQ(CPU_COUNT(&set), 0);
    EXPECT_EQ(pairs[0].key, 3);
    EXPECT_EQ(pairs[1].key, -1);
    EXPECT_EQ(pairs[1].value, 0);
    EXPECT_EQ(pairs[2].key, 4);
}

TEST(hwprobe_which_cpus_arguments) {
    struct pair pair = {3, 1};
    cpu_set_t set;
    CPU_ZERO(&set);
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 0, NULL, WHICH_CPUS));
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 0, &set, WHICH_CPUS));
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 8, NULL, WHICH_CPUS));
    EXPECT_ERRNO(EFAULT, syscall(HWPROBE, &pair, 1, 8, BAD_PTR, WHICH_CPUS));
    EXPECT_ERRNO(EFAULT, syscall(HWPROBE, BAD_PTR, 1, sizeof set, &set, WHICH_CPUS));
    EXPECT_ERRNO(EINVAL, syscall(HWPROBE, &pair, 1, 8, &set, WHICH_CPUS | 2));
}

/* An instruction of each extension that is told, and one of an extension that is not. */
static volatile int refused;
static void skip(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    ((ucontext_t *)context)->uc_mcontext.__gregs[REG_PC] += 4;
    refused = 1;
}
#define DECODES(word)                                                           \
    ({                                                                          \
        refused = 0;                                                            \
        __asm__ volatile(".4byte " word ::: "t0", "memory");                    \
        !refused;                                                               \
    })
TEST(what_is_told_is_what_decodes) {
    struct sigaction action = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
    ASSERT_OK(sigaction(SIGILL, &action, NULL));
    uint64_t ext = probe(4);
    EXPECT_TRUE(DECODES("0x025282b3"));                       /* mul t0,t0,t0 */
    EXPECT_EQ(DECODES("0x205282b3") ? 8 : 0, ext & 8);        /* Zba: sh1add t0,t0,t0 */
    EXPECT_EQ(DECODES("0x4052f2b3") ? 16 : 0, ext & 16);      /* Zbb: andn t0,t0,t0 */
    EXPECT_EQ(DECODES("0x485292b3") ? 32 : 0, ext & 32);      /* Zbs: bclr t0,t0,t0 */
    EXPECT_EQ(DECODES("0x0c0072d7") ? 4 : 0, ext & 4);        /* V: vsetvli t0,zero,e8,m1 */
    EXPECT_EQ(DECODES("0x0e52d2b3") ? 1ull << 35 : 0, ext & 1ull << 35); /* Zicond: czero.eqz */
}
#endif
