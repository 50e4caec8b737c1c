/* How threads and their process begin and end. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

static void *end_of_the_rest(void *arg) {
    sleep_ms(100);
    syscall(SYS_exit, 0);
    return arg;
}
static void leader_first(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, end_of_the_rest, NULL);
    syscall(SYS_exit, 17);
}
TEST(the_leader_may_end_first) {
    long long start = now_ns();
    int status = in_child(leader_first);
    /* The process ends with its last thread and carries that one's status. */
    EXPECT_EXITED(0, status);
    EXPECT_GE(now_ns() - start, 90000000);
}

static void *exit_all(void *arg) {
    exit(23);
    return arg;
}
static void exit_from_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, exit_all, NULL);
    for (;;) sleep_ms(1000);
}
TEST(exit_group_from_a_thread) { EXPECT_EXITED(23, in_child(exit_from_thread)); }

static void *spin(void *arg) {
    for (volatile uint64_t n = 0;; n++) {}
    return arg;
}
static void *block(void *arg) {
    int ends[2];
    char c;
    if (pipe(ends) == 0 && read(ends[0], &c, 1) == 0) return arg;
    return arg;
}
static void exit_over_others(void) {
    pthread_t thread;
    for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, i & 1 ? spin : block, NULL);
    sleep_ms(20);
    _exit(31);
}
TEST(exit_group_ends_spinning_and_blocked_threads) { EXPECT_EXITED(31, in_child(exit_over_others)); }

static void killed_over_others(void) {
    pthread_t thread;
    for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, i & 1 ? spin : block, NULL);
    sleep_ms(20);
    raise(SIGKILL);
}
TEST(kill_ends_all_threads) { EXPECT_SIGNALED(SIGKILL, in_child(killed_over_others)); }

static void *crash(void *arg) { return *(void *volatile *)arg; }
static void crash_in_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, crash, BAD_PTR);
    pthread_join(thread, NULL);
}
TEST(a_crash_in_a_thread_is_the_process_s) { EXPECT_SIGNALED(SIGSEGV, in_child(crash_in_thread)); }

static void *add(void *arg) {
    __atomic_fetch_add((long *)arg, 1, __ATOMIC_SEQ_CST);
    return arg;
}
TEST_LIMIT(two_thousand_threads_one_by_one, 60) {
    long sum = 0;
    for (int i = 0; i < 2000; i++) {
        pthread_t thread;
        void *result;
        ASSERT_EQ(pthread_create(&thread, NULL, add, &sum), 0);
        ASSERT_EQ(pthread_join(thread, &result), 0);
        ASSERT_TRUE(result == &sum);
    }
    EXPECT_EQ(sum, 2000);
}

static pthread_barrier_t barrier;
static void *meet(void *arg) {
    pthread_barrier_wait(&barrier);
    __atomic_fetch_add((long *)arg, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
TEST_LIMIT(a_hundred_threads_at_once, 60) {
    pthread_t ids[100];
    pthread_attr_t attr;
    long sum = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    pthread_barrier_init(&barrier, NULL, 100);
    for (int i = 0; i < 100; i++) ASSERT_EQ(pthread_create(&ids[i], &attr, meet, &sum), 0);
    for (int i = 0; i < 100; i++) ASSERT_EQ(pthread_join(ids[i], NULL), 0);
    EXPECT_EQ(sum, 100);
}

TEST_LIMIT(detached_threads_are_put_away, 60) {
    pthread_attr_t attr;
    static long sum;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 500; i++) {
        pthread_t thread;
        ASSERT_EQ(pthread_create(&thread, &attr, add, &sum), 0);
    }
    for (int i = 0; i < 5000 && __atomic_load_n(&sum, __ATOMIC_SEQ_CST) < 500; i++) sleep_ms(1);
    EXPECT_EQ(sum, 500);
}

static volatile int flag;
static void *set_flag(void *arg) {
    sleep_ms(20);
    flag = 1;
    return arg;
}
TEST(a_spinning_thread_does_not_stop_others) {
    pthread_t thread;
    flag = 0;
    pthread_create(&thread, NULL, set_flag, NULL);
    while (!flag) {}
    pthread_join(thread, NULL);
}

static void *ids(void *arg) {
    long *out = arg;
    out[0] = getpid(), out[1] = syscall(SYS_gettid), out[2] = getppid();
    return NULL;
}
TEST(identity) {
    long mine[3];
    pthread_t thread;
    pthread_create(&thread, NULL, ids, mine);
    pthread_join(thread, NULL);
    EXPECT_EQ(mine[0], getpid());
    EXPECT_NE(mine[1], getpid());
    EXPECT_EQ(mine[2], getppid());
    EXPECT_EQ(syscall(SYS_gettid), getpid());
    /* It is joined a moment before it is gone. */
    for (int i = 0; i < 1000 && syscall(SYS_tgkill, getpid(), mine[1], 0) == 0; i++) sleep_ms(1);
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, getpid(), mine[1], 0));
}

static void *name_thread(void *arg) {
    prctl(PR_SET_NAME, "a-very-long-name-for-a-thread");
    prctl(PR_GET_NAME, arg);
    return arg;
}
TEST(names_are_per_thread) {
    char theirs[17] = {0}, mine[17] = {0};
    pthread_t thread;
    prctl(PR_SET_NAME, "main");
    pthread_create(&thread, NULL, name_thread, theirs);
    pthread_join(thread, NULL);
    prctl(PR_GET_NAME, mine);
    EXPECT_STR(theirs, "a-very-long-nam");
    EXPECT_STR(mine, "main");
}

/* Dekker's idea with full fences: both may not see the other's zero. */
static volatile int x, y;
static int seen_x, seen_y;
static pthread_barrier_t both;
static void *store_y(void *arg) {
    for (int i = 0; i < 3000; i++) {
        pthread_barrier_wait(&both);
        __atomic_store_n(&y, 1, __ATOMIC_SEQ_CST);
        seen_x = __atomic_load_n(&x, __ATOMIC_SEQ_CST);
        pthread_barrier_wait(&both);
    }
    return arg;
}
TEST_LIMIT(sequential_consistency, 60) {
    pthread_t thread;
    int both_zero = 0;
    pthread_barrier_init(&both, NULL, 2);
    pthread_create(&thread, NULL, store_y, NULL);
    for (int i = 0; i < 3000; i++) {
        x = y = 0;
        pthread_barrier_wait(&both);
        __atomic_store_n(&x, 1, __ATOMIC_SEQ_CST);
        seen_y = __atomic_load_n(&y, __ATOMIC_SEQ_CST);
        pthread_barrier_wait(&both);
        both_zero += !seen_x && !seen_y;
    }
    pthread_join(thread, NULL);
    EXPECT_EQ(both_zero, 0);
}

/* Atomic read-modify-write of every width, from several threads. */
static uint64_t wide;
static uint32_t narrow;
static uint16_t half[2];
static uint8_t bytes[4];
static void *hammer(void *arg) {
    for (int i = 0; i < 20000; i++) {
        __atomic_fetch_add(&wide, 3, __ATOMIC_RELAXED);
        __atomic_fetch_add(&narrow, 5, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&half[1], 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&bytes[(uintptr_t)arg], 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}
TEST_LIMIT(atomics_of_all_widths, 60) {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, hammer, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    EXPECT_EQ(wide, 240000);
    EXPECT_EQ(narrow, 400000);
    EXPECT_EQ(half[1], 80000 % 65536);
    EXPECT_EQ(half[0], 0);
    for (int i = 0; i < 4; i++) EXPECT_EQ(bytes[i], 20000 % 256);
}

/* What the kernel writes when a thread ends goes nowhere when its place is gone,
 * and the process lives on. */
static volatile int is_set;
static void *end_with_lost_words(void *page) {
    struct { void *next; long offset; void *pending; } *list = page;
    list->next = page;
    syscall(SYS_set_tid_address, (char *)page + 64);
    syscall(SYS_set_robust_list, list, sizeof *list);
    munmap(page, 4096);
    __atomic_store_n(&is_set, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_exit, 0);
    return NULL;
}
TEST(words_written_at_the_end_may_be_gone) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(page != MAP_FAILED);
    pthread_t thread;
    ASSERT_EQ(0, pthread_create(&thread, NULL, end_with_lost_words, page));
    while (!__atomic_load_n(&is_set, __ATOMIC_SEQ_CST)) sleep_ms(1);
    /* The process has one thread again. */
    for (int n = 0; n < 1000; n++) {
        struct stat st;
        if (stat("/proc/self/task", &st) == 0 && st.st_nlink == 3) break;
        sleep_ms(1);
    }
    EXPECT_EQ(0, kill(getpid(), 0));
}
