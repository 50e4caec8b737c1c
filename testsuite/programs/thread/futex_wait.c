/* futex(2): what the C library never calls as well. */
#include "check.h"
#include <limits.h>
#include <stddef.h>
#include <linux/futex.h>
#include <pthread.h>

static long futex(void *word, int op, uint32_t value, void *timeout_or_value2, void *word2, uint32_t value3) {
    return syscall(SYS_futex, word, op, value, timeout_or_value2, word2, value3);
}

static uint32_t word, word2;

TEST(errors) {
    struct timespec bad = {0, 2000000000}, negative = {-1, 0}, soon = {0, 1000000};
    word = 1;
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex((char *)&word + 1, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex((char *)&word + 2, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_PRIVATE, 1, &bad, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_PRIVATE, 1, &negative, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAIT_PRIVATE, 1, BAD_PTR, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_WAIT_PRIVATE, 1, &soon, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(ENOSYS, futex(&word, 77, 1, NULL, NULL, 0));
    EXPECT_ERRNO(ENOSYS, futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0));
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
}

TEST(timeouts) {
    struct timespec relative = {0, 30000000}, absolute;
    word = 1;
    long long start = now_ns();
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_PRIVATE, 1, &relative, NULL, 0));
    EXPECT_GE(now_ns() - start, 30000000);
    clock_gettime(CLOCK_MONOTONIC, &absolute);
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 1, &absolute, NULL, FUTEX_BITSET_MATCH_ANY));
    clock_gettime(CLOCK_REALTIME, &absolute);
    absolute.tv_nsec += 20000000;
    if (absolute.tv_nsec >= 1000000000) absolute.tv_sec++, absolute.tv_nsec -= 1000000000;
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 1, &absolute, NULL,
                                  FUTEX_BITSET_MATCH_ANY));
}

struct waiter {
    pthread_t thread;
    uint32_t *word, mask;
    long result;
    int error, private;
    volatile int started;
};
static void *wait_for_it(void *arg) {
    struct waiter *w = arg;
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += 5;
    w->started = 1;
    w->result = futex(w->word, FUTEX_WAIT_BITSET | (w->private ? FUTEX_PRIVATE_FLAG : 0), 0, &deadline, NULL, w->mask);
    w->error = errno;
    return NULL;
}
static void start(struct waiter *w, uint32_t *on, uint32_t mask, int private) {
    w->word = on, w->mask = mask, w->private = private, w->started = 0;
    ASSERT_EQ(pthread_create(&w->thread, NULL, wait_for_it, w), 0);
    while (!w->started) sleep_ms(1);
    sleep_ms(30);
}
static long joined(struct waiter *w) {
    pthread_join(w->thread, NULL);
    return w->result;
}

TEST(bitsets_choose_waiters) {
    struct waiter a, b;
    word = 0;
    start(&a, &word, 1, 1);
    start(&b, &word, 2, 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 4), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 2), 1);
    EXPECT_EQ(joined(&b), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}

TEST(private_and_shared_are_apart) {
    struct waiter a;
    word = 0;
    start(&a, &word, ~0u, 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    start(&a, &word, ~0u, 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}

TEST(wake_order_and_count) {
    struct waiter w[4];
    word = 0;
    for (int i = 0; i < 4; i++) start(&w[i], &word, ~0u, 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&w[0]), 0);
    /* A count of zero still wakes one. */
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 0, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&w[1]), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
    EXPECT_EQ(joined(&w[2]), 0);
    EXPECT_EQ(joined(&w[3]), 0);
}

TEST(requeue) {
    struct waiter w[4];
    word = word2 = 0;
    for (int i = 0; i < 4; i++) start(&w[i], &word, ~0u, 1);
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2l, &word2, 9));
    EXPECT_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2l, &word2, 0), 3);
    EXPECT_EQ(joined(&w[0]), 0);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 2);
    EXPECT_EQ(joined(&w[1]), 0);
    EXPECT_EQ(joined(&w[2]), 0);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)1l, &word2, 0), 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&w[3]), 0);
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, -1, (void *)1l, &word2, 0));
}

TEST(wake_op) {
    struct waiter a, b;
    word = 0, word2 = 0;
    start(&a, &word, ~0u, 1);
    start(&b, &word2, ~0u, 1);
    /* word2 += 5; wake b because the old value was below 1. */
    EXPECT_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1l, &word2, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_LT, 1)), 2);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(joined(&b), 0);
    EXPECT_EQ(word2, 5);
    static const struct { int op, arg; uint32_t before, after; } ops[] = {
        {FUTEX_OP_SET, 7, 3, 7}, {FUTEX_OP_ADD, -1 & 0xfff, 3, 2}, {FUTEX_OP_OR, 4, 3, 7},
        {FUTEX_OP_ANDN, 1, 3, 2}, {FUTEX_OP_XOR, 5, 3, 6}, {FUTEX_OP_OR | 8, 6, 3, 67}};
    for (unsigned i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        word2 = ops[i].before;
        EXPECT_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1l, &word2,
                        (uint32_t)ops[i].op << 28 | FUTEX_OP_CMP_EQ << 24 | (uint32_t)ops[i].arg << 12), 0);
        EXPECT_EQ(word2, ops[i].after);
    }
    EXPECT_ERRNO(ENOSYS, futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1l, &word2, 7u << 28));
}

TEST(between_processes) {
    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(shared != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec limit = {5, 0};
        while (__atomic_load_n(shared, __ATOMIC_SEQ_CST) == 0)
            if (futex(shared, FUTEX_WAIT, 0, &limit, NULL, 0) == -1 && errno == ETIMEDOUT) _exit(1);
        _exit(0);
    }
    sleep_ms(30);
    __atomic_store_n(shared, 1, __ATOMIC_SEQ_CST);
    EXPECT_EQ(futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}

TEST(a_file_mapped_twice_is_one_word) {
    int fd = open("futex-file", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 4096));
    uint32_t *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_TRUE(a != MAP_FAILED && b != MAP_FAILED && a != b);
    struct waiter w;
    start(&w, a + 3, ~0u, 0);
    EXPECT_EQ(futex(b + 3, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&w), 0);
}

static void nothing(int sig) { (void)sig; }
static pthread_t main_thread;
static void *signal_main(void *arg) {
    sleep_ms(50);
    pthread_kill(main_thread, SIGUSR1);
    sleep_ms(50);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return arg;
}
TEST(signals_and_restart) {
    struct timespec limit = {5, 0};
    struct sigaction action = {.sa_handler = nothing};
    main_thread = pthread_self();
    pthread_t thread;
    /* Without SA_RESTART: EINTR, with or without a time limit. */
    sigaction(SIGUSR1, &action, NULL);
    word = 0;
    pthread_create(&thread, NULL, signal_main, NULL);
    EXPECT_ERRNO(EINTR, futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    pthread_join(thread, NULL);
    /* With it: the call without a limit goes on ... */
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, NULL);
    word = 0;
    pthread_create(&thread, NULL, signal_main, NULL);
    EXPECT_OK(futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    pthread_join(thread, NULL);
    EXPECT_EQ(word, 1);
    /* ... and the one with a limit still ends. */
    word = 0;
    pthread_create(&thread, NULL, signal_main, NULL);
    EXPECT_ERRNO(EINTR, futex(&word, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0));
    pthread_join(thread, NULL);
}

/* No wake-up is lost: each of two threads sleeps until the other moves on. */
static uint32_t turn;
static void *other_player(void *arg) {
    for (uint32_t i = 0; i < 20000; i++) {
        while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != 2 * i + 1) futex(&turn, FUTEX_WAIT_PRIVATE, 2 * i, NULL, NULL, 0);
        __atomic_store_n(&turn, 2 * i + 2, __ATOMIC_SEQ_CST);
        futex(&turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    return arg;
}
TEST_LIMIT(no_lost_wake_up, 60) {
    pthread_t thread;
    turn = 0;
    pthread_create(&thread, NULL, other_player, NULL);
    for (uint32_t i = 0; i < 20000; i++) {
        __atomic_store_n(&turn, 2 * i + 1, __ATOMIC_SEQ_CST);
        futex(&turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != 2 * i + 2) futex(&turn, FUTEX_WAIT_PRIVATE, 2 * i + 1, NULL, NULL, 0);
    }
    pthread_join(thread, NULL);
    EXPECT_EQ(turn, 40000);
}

/* Robust lists: the kernel marks what a dead thread held. */
struct robust_node {
    struct robust_node *next;
    uint32_t word;
};
static struct robust_node first, second, pending;
static struct { struct robust_node *next; long offset; struct robust_node *pending; } head;
static void *die_holding(void *arg) {
    uint32_t tid = (uint32_t)syscall(SYS_gettid);
    head.next = &first, first.next = &second, second.next = (struct robust_node *)&head;
    head.offset = offsetof(struct robust_node, word);
    head.pending = &pending;
    first.word = tid, second.word = tid | FUTEX_WAITERS, pending.word = tid;
    if (syscall(SYS_set_robust_list, &head, sizeof head)) return (void *)1;
    syscall(SYS_exit, 0);
    return arg;
}
TEST(robust_list) {
    EXPECT_ERRNO(EINVAL, syscall(SYS_set_robust_list, &head, sizeof head - 1));
    pthread_t thread;
    pthread_create(&thread, NULL, die_holding, NULL);
    /* The thread ended behind the C library's back: do not join, look. */
    for (int i = 0; i < 2000 && !(__atomic_load_n(&pending.word, __ATOMIC_SEQ_CST) & FUTEX_OWNER_DIED); i++) sleep_ms(1);
    EXPECT_EQ(first.word, FUTEX_OWNER_DIED);
    EXPECT_EQ(second.word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    EXPECT_EQ(pending.word, FUTEX_OWNER_DIED);
}

TEST(robust_mutex) {
    static pthread_mutex_t mutex;
    pthread_mutexattr_t attr;
    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)mutex;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    ASSERT_EQ(pthread_mutex_init(shared, &attr), 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(shared);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EQ(pthread_mutex_lock(shared), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(shared), 0);
    EXPECT_EQ(pthread_mutex_unlock(shared), 0);
}
