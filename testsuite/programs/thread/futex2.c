/* futex_waitv, futex_wake, futex_wait, futex_requeue (Linux 5.16 and 6.7). */
#include "futex.h"

#define U32 2
#define NUMA 4
#define MPOL 8
struct one { uint64_t value, addr; uint32_t flags, reserved; };

static long waitv(const void *list, unsigned count, unsigned flags, const void *timeout, int clock) {
    return syscall(449, list, (long)count, (long)flags, timeout, (long)clock);
}
static long wake2(void *word, unsigned long mask, int count, unsigned flags) {
    return syscall(454, word, mask, (long)count, (long)flags);
}
static long wait2(void *word, unsigned long value, unsigned long mask, unsigned flags, const void *timeout, int clock) {
    return syscall(455, word, value, mask, (long)flags, timeout, (long)clock);
}
static long requeue2(const void *pair, unsigned flags, int wake, int moved) {
    return syscall(456, pair, (long)flags, (long)wake, (long)moved);
}
#define ON(word, expected, more) {.value = (expected), .addr = (uint64_t)(word), .flags = U32 | (more)}

static uint32_t word, word2, word3;
static const struct timespec past = {0, 0};

/* A thread in one of the new calls. */
struct call { pthread_t thread; int is_v; struct one list[4]; unsigned count; unsigned long mask; const struct timespec *timeout;
              long result; int error, about; uint32_t tid; };
static void *call_main(void *arg) {
    struct call *c = arg;
    c->tid = own_tid();
    __atomic_store_n(&c->about, 1, __ATOMIC_SEQ_CST);
    c->result = c->is_v ? waitv(c->list, c->count, 0, c->timeout, CLOCK_MONOTONIC)
                        : wait2((void *)c->list[0].addr, c->list[0].value, c->mask, c->list[0].flags, c->timeout, CLOCK_MONOTONIC);
    c->error = errno;
    return NULL;
}
static void begin(struct call *c) {
    pthread_create(&c->thread, NULL, call_main, c);
    while (!__atomic_load_n(&c->about, __ATOMIC_SEQ_CST)) sched_yield();
    until_asleep(0, (int)c->tid);
}
static long ended(struct call *c) {
    pthread_join(c->thread, NULL);
    return c->result;
}

TEST(wake_flags) {
    /* Of all flags, a size of 32 bits with private, node and policy. */
    static struct { uint32_t word, node; } __attribute__((aligned(8))) pair;
    for (unsigned flags = 0; flags < 0x400; flags++) {
        pair.node = 0;
        if ((flags & ~(NUMA | MPOL | PRIVATE)) == U32)
            EXPECT_EQ(wake2(&pair, 1, 1, flags), 0);
        else
            EXPECT_ERRNO(EINVAL, wake2(&pair, 1, 1, flags));
    }
    EXPECT_ERRNO(EINVAL, wake2(&pair, 1, 1, U32 | 1u << 31));
}
TEST(wake_masks) {
    EXPECT_ERRNO(EINVAL, wake2(&word, 0, 1, U32 | PRIVATE));
    EXPECT_ERRNO(EINVAL, wake2(&word, 1UL << 32, 1, U32 | PRIVATE));
    EXPECT_ERRNO(EINVAL, wake2(&word, -1UL, 1, U32 | PRIVATE));
    EXPECT_EQ(wake2(&word, UINT_MAX, 1, U32 | PRIVATE), 0);
}
TEST(wake_addresses) {
    EXPECT_ERRNO(EINVAL, wake2((char *)&word + 1, 1, 1, U32 | PRIVATE));
    EXPECT_ERRNO(EINVAL, wake2((char *)&word + 1, 1, 0, U32 | PRIVATE));
    EXPECT_ERRNO(EFAULT, wake2(BAD_PTR, 1, 1, U32));
    EXPECT_ERRNO(EFAULT, wake2(BAD_PTR, 1, 0, U32));
    EXPECT_EQ(wake2(BAD_PTR, 1, 1, U32 | PRIVATE), 0);
}
TEST(wake_of_none_wakes_none) {
    struct sleeper a = WAITER(&word, PRIVATE), b = WAITER(&word, PRIVATE);
    start(&a);
    start(&b);
    EXPECT_EQ(wake2(&word, 1, 0, U32 | PRIVATE), 0);
    EXPECT_EQ(waiters(&word, PRIVATE), 2);
    EXPECT_EQ(wake2(&word, 1, -7, U32 | PRIVATE), 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(wake2(&word, 1, INT_MAX, U32 | PRIVATE), 1);
    EXPECT_EQ(joined(&b), 0);
}
TEST(wake_of_a_locks_waiter) {
    struct sleeper a = {.op = FUTEX_LOCK_PI | PRIVATE, .word = &word};
    ASSERT_EQ(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0), 0);
    start(&a);
    EXPECT_ERRNO(EINVAL, wake2(&word, 1, 1, U32 | PRIVATE));
    EXPECT_EQ(wake2(&word, 1, 0, U32 | PRIVATE), 0);
    EXPECT_EQ(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0), 0);
    EXPECT_EQ(joined(&a), 0);
}
TEST(wait_arguments) {
    struct timespec bad = {0, 1000000000};
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1, 0, NULL, 0));
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1, U32 | 16, NULL, 0));
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 0, U32, NULL, 0));
    EXPECT_ERRNO(EINVAL, wait2(&word, 1UL << 32, 1, U32, NULL, 0));
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1UL << 32, U32, NULL, 0));
    EXPECT_ERRNO(EAGAIN, wait2(&word, 1, 1, U32, NULL, 0));
    EXPECT_ERRNO(EINVAL, wait2((char *)&word + 2, 0, 1, U32, NULL, 0));
    EXPECT_ERRNO(EFAULT, wait2(BAD_PTR, 0, 1, U32 | PRIVATE, NULL, 0));
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1, U32, &bad, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EFAULT, wait2(&word, 0, 1, U32, BAD_PTR, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EFAULT, wait2(&word, 0, 0, U32, BAD_PTR, CLOCK_MONOTONIC));
}
TEST(wait_clocks) {
    EXPECT_ERRNO(ETIMEDOUT, wait2(&word, 0, 1, U32, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(ETIMEDOUT, wait2(&word, 0, 1, U32, &past, CLOCK_REALTIME));
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1, U32, &past, CLOCK_PROCESS_CPUTIME_ID));
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1, U32, &past, CLOCK_BOOTTIME));
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1, U32, &past, -1));
    /* The clock comes before its time, and counts only with one. */
    EXPECT_ERRNO(EINVAL, wait2(&word, 0, 1, U32, BAD_PTR, 7));
    EXPECT_ERRNO(EAGAIN, wait2(&word, 1, 1, U32, NULL, 99));
}
TEST(wait_until) {
    struct timespec at = from_now(CLOCK_MONOTONIC, 20), real = from_now(CLOCK_REALTIME, 20);
    EXPECT_ERRNO(ETIMEDOUT, wait2(&word, 0, 1, U32 | PRIVATE, &at, CLOCK_MONOTONIC));
    struct timespec now = from_now(CLOCK_MONOTONIC, 0);
    EXPECT_TRUE(now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec));
    EXPECT_ERRNO(ETIMEDOUT, wait2(&word, 0, 1, U32 | PRIVATE, &real, CLOCK_REALTIME));
}
TEST(old_and_new_calls_meet) {
    struct sleeper a = {.op = FUTEX_WAIT_BITSET | PRIVATE, .word = &word, .value3 = 2};
    struct call b = {.list = {ON(&word, 0, PRIVATE)}, .mask = 4};
    start(&a);
    begin(&b);
    EXPECT_EQ(wake2(&word, 1, 9, U32 | PRIVATE), 0);
    EXPECT_EQ(wake2(&word, 2, 9, U32), 0);
    EXPECT_EQ(wake2(&word, 2, 9, U32 | PRIVATE), 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 9, NULL, NULL, 6), 1);
    EXPECT_EQ(ended(&b), 0);
}
TEST(wait_restarts_with_and_without_a_time) {
    struct timespec at = from_now(CLOCK_MONOTONIC, 9000);
    for (int timed = 0; timed < 2; timed++) {
        handle(SIGUSR1, SA_RESTART);
        struct call a = {.list = {ON(&word, 0, PRIVATE)}, .mask = 4, .timeout = timed ? &at : NULL};
        begin(&a);
        pthread_kill(a.thread, SIGUSR1);
        while (!handled) sched_yield();
        until_waiters(&word, PRIVATE, 1);
        while (wake2(&word, 4, 1, U32 | PRIVATE) == 0) sched_yield();
        EXPECT_EQ(ended(&a), 0);
        handle(SIGUSR1, 0);
        struct call b = {.list = {ON(&word, 0, PRIVATE)}, .mask = 4, .timeout = timed ? &at : NULL};
        begin(&b);
        pthread_kill(b.thread, SIGUSR1);
        EXPECT_EQ(ended(&b), -1);
        EXPECT_EQ(b.error, EINTR);
    }
}

TEST(waitv_arguments) {
    struct one good[129] = {ON(&word, 0, 0)};
    struct timespec bad = {0, 1000000000};
    for (int i = 0; i < 129; i++) good[i] = good[0];
    EXPECT_ERRNO(EINVAL, waitv(good, 0, 0, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EINVAL, waitv(good, 129, 0, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EINVAL, waitv(good, 1, 1, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EINVAL, waitv(NULL, 1, 0, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EFAULT, waitv(BAD_PTR, 1, 0, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EINVAL, waitv(good, 1, 0, &bad, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EFAULT, waitv(good, 1, 0, BAD_PTR, CLOCK_MONOTONIC));
    EXPECT_ERRNO(EINVAL, waitv(good, 1, 0, &past, CLOCK_BOOTTIME));
    EXPECT_ERRNO(EINVAL, waitv(BAD_PTR, 1, 0, BAD_PTR, CLOCK_BOOTTIME));
    EXPECT_ERRNO(ETIMEDOUT, waitv(good, 128, 0, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(ETIMEDOUT, waitv(good, 1, 0, &past, CLOCK_REALTIME));
}
static void check_entry(int error, struct one entry) {
    struct one pair[2] = {ON(&word, 0, 0), entry};
    EXPECT_ERRNO(error, waitv(&entry, 1, 0, &past, CLOCK_MONOTONIC));
    EXPECT_ERRNO(error, waitv(pair, 2, 0, &past, CLOCK_MONOTONIC));
    EXPECT_EQ(waiters(&word, 0), 0);
}
TEST(waitv_entries) {
    check_entry(ETIMEDOUT, (struct one){0, (uint64_t)&word2, U32, 0});
    check_entry(EAGAIN, (struct one){1, (uint64_t)&word2, U32, 0});
    check_entry(EINVAL, (struct one){0, (uint64_t)&word2, U32, 1});
    check_entry(EINVAL, (struct one){0, (uint64_t)&word2, 0, 0});
    check_entry(EINVAL, (struct one){0, (uint64_t)&word2, 3, 0});
    check_entry(EINVAL, (struct one){0, (uint64_t)&word2, U32 | 16, 0});
    check_entry(EINVAL, (struct one){1UL << 32, (uint64_t)&word2, U32, 0});
    check_entry(EINVAL, (struct one){0, (uint64_t)&word2 + 1, U32, 0});
    check_entry(EFAULT, (struct one){0, 8, U32, 0});
    check_entry(EFAULT, (struct one){0, 8, U32 | PRIVATE, 0});
}
TEST(waitv_looks_at_shared_addresses_first) {
    struct one list[2] = {ON(&word, 9, 0), {0, 8, U32, 0}};
    EXPECT_ERRNO(EFAULT, waitv(list, 2, 0, NULL, 0));
    list[1].flags |= PRIVATE;
    EXPECT_ERRNO(EAGAIN, waitv(list, 2, 0, NULL, 0));
}
TEST(waitv_tells_which) {
    uint32_t *at[3] = {&word, &word2, &word3};
    for (int i = 0; i < 3; i++) {
        struct call a = {.is_v = 1, .count = 3, .list = {ON(&word, 0, PRIVATE), ON(&word2, 0, PRIVATE), ON(&word3, 0, PRIVATE)}};
        begin(&a);
        for (int n = 0; n < 3; n++) EXPECT_EQ(waiters(at[n], PRIVATE), 1);
        EXPECT_EQ(futex(at[i], FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 1);
        EXPECT_EQ(ended(&a), i);
        for (int n = 0; n < 3; n++) EXPECT_EQ(waiters(at[n], PRIVATE), 0);
    }
}
TEST(waitv_with_one_word_twice) {
    struct call a = {.is_v = 1, .count = 3, .list = {ON(&word, 0, PRIVATE), ON(&word2, 0, PRIVATE), ON(&word, 0, PRIVATE)}};
    begin(&a);
    EXPECT_EQ(waiters(&word, PRIVATE), 2);
    /* Each place in the list is a waiter of its own; the last one is told. */
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 2);
    EXPECT_EQ(ended(&a), 2);
}
TEST(waitv_of_private_and_shared) {
    struct call a = {.is_v = 1, .count = 2, .list = {ON(&word, 0, PRIVATE), ON(&word, 0, 0)}};
    begin(&a);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(ended(&a), 1);
}
TEST(waitv_can_be_moved) {
    struct call a = {.is_v = 1, .count = 2, .list = {ON(&word, 0, PRIVATE), ON(&word2, 0, PRIVATE)}};
    begin(&a);
    EXPECT_EQ(futex(&word2, FUTEX_REQUEUE | PRIVATE, 0, COUNT(1), &word3, 0), 1);
    EXPECT_EQ(wake2(&word3, 1, 1, U32 | PRIVATE), 1);
    EXPECT_EQ(ended(&a), 1);
    EXPECT_EQ(waiters(&word, PRIVATE), 0);
}
TEST(waitv_times_out) {
    struct timespec at = from_now(CLOCK_MONOTONIC, 20);
    struct one list[2] = {ON(&word, 0, PRIVATE), ON(&word2, 0, PRIVATE)};
    EXPECT_ERRNO(ETIMEDOUT, waitv(list, 2, 0, &at, CLOCK_MONOTONIC));
    EXPECT_EQ(waiters(&word, PRIVATE) + waiters(&word2, PRIVATE), 0);
}
TEST(waitv_restarts) {
    struct timespec at = from_now(CLOCK_MONOTONIC, 9000);
    handle(SIGUSR1, SA_RESTART);
    struct call a = {.is_v = 1, .count = 1, .timeout = &at, .list = {ON(&word, 0, PRIVATE)}};
    begin(&a);
    pthread_kill(a.thread, SIGUSR1);
    while (!handled) sched_yield();
    until_waiters(&word, PRIVATE, 1);
    while (wake2(&word, 1, 1, U32 | PRIVATE) == 0) sched_yield();
    EXPECT_EQ(ended(&a), 0);
    handle(SIGUSR1, 0);
    struct call b = {.is_v = 1, .count = 1, .list = {ON(&word, 0, PRIVATE)}};
    begin(&b);
    pthread_kill(b.thread, SIGUSR1);
    EXPECT_EQ(ended(&b), -1);
    EXPECT_EQ(b.error, EINTR);
}
static void *waitv_player(void *arg) {
    for (uint32_t i = 0; i < 2000; i++) {
        struct one list[2] = {ON(&word2, 0, PRIVATE), ON(&word, 2 * i, PRIVATE)};
        while (load(&word) != 2 * i + 1) waitv(list, 2, 0, NULL, 0);
        store(&word, 2 * i + 2);
        futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0);
    }
    return arg;
}
TEST_LIMIT(waitv_loses_no_wake_up, 60) {
    pthread_t thread;
    pthread_create(&thread, NULL, waitv_player, NULL);
    for (uint32_t i = 0; i < 2000; i++) {
        store(&word, 2 * i + 1);
        wake2(&word, 1, 1, U32 | PRIVATE);
        while (load(&word) != 2 * i + 2) wait2(&word, 2 * i + 1, 1, U32 | PRIVATE, NULL, 0);
    }
    pthread_join(thread, NULL);
    EXPECT_EQ(word, 4000);
}

TEST(requeue_arguments) {
    struct one pair[2] = {ON(&word, 0, 0), ON(&word2, 0, 0)};
    EXPECT_EQ(requeue2(pair, 0, 1, 1), 0);
    EXPECT_ERRNO(EINVAL, requeue2(pair, 1, 1, 1));
    EXPECT_ERRNO(EINVAL, requeue2(NULL, 0, 1, 1));
    EXPECT_ERRNO(EFAULT, requeue2(BAD_PTR, 0, 1, 1));
    EXPECT_ERRNO(EINVAL, requeue2(pair, 0, -1, 1));
    EXPECT_ERRNO(EINVAL, requeue2(pair, 0, 1, -1));
    pair[1].flags |= PRIVATE;
    EXPECT_ERRNO(EINVAL, requeue2(pair, 0, 1, 1));
    pair[0].flags |= PRIVATE;
    EXPECT_EQ(requeue2(pair, 0, 1, 1), 0);
    pair[1].flags |= MPOL;
    EXPECT_ERRNO(EINVAL, requeue2(pair, 0, 1, 1));
    pair[1] = (struct one)ON(&word2, 1UL << 32, PRIVATE);
    EXPECT_ERRNO(EINVAL, requeue2(pair, 0, 1, 1));
    pair[1] = (struct one){0, (uint64_t)&word2, U32 | PRIVATE, 1};
    EXPECT_ERRNO(EINVAL, requeue2(pair, 0, 1, 1));
    pair[1] = (struct one){0, 8, U32, 0}, pair[0].flags = U32;
    EXPECT_ERRNO(EFAULT, requeue2(pair, 0, 1, 1));
}
TEST(requeue_compares_and_moves) {
    struct one pair[2] = {ON(&word, 5, PRIVATE), ON(&word2, 777, PRIVATE)};
    struct sleeper w[3];
    for (int i = 0; i < 3; i++) {
        w[i] = (struct sleeper)WAITER(&word, PRIVATE);
        start(&w[i]);
    }
    EXPECT_ERRNO(EAGAIN, requeue2(pair, 0, 1, 1));
    pair[0].value = 0;
    EXPECT_EQ(requeue2(pair, 0, 0, 0), 0);
    EXPECT_EQ(requeue2(pair, 0, 1, 1), 2);
    EXPECT_EQ(joined(&w[0]), 0);
    EXPECT_EQ(waiters(&word, PRIVATE), 1);
    EXPECT_EQ(waiters(&word2, PRIVATE), 1);
    EXPECT_EQ(requeue2(pair, 0, 0, INT_MAX), 1);
    EXPECT_EQ(wake2(&word2, 1, INT_MAX, U32 | PRIVATE), 2);
    EXPECT_EQ(joined(&w[1]), 0);
    EXPECT_EQ(joined(&w[2]), 0);
}

/* FUTEX2_NUMA: the word after the futex names the memory node. */
static struct { uint32_t word, node; } __attribute__((aligned(8))) noded;
TEST(node_is_chosen) {
    noded.node = UINT_MAX;
    EXPECT_EQ(wake2(&noded, 1, 1, U32 | NUMA), 0);
    EXPECT_NE(noded.node, UINT_MAX);
    noded.node = UINT_MAX;
    EXPECT_ERRNO(EAGAIN, wait2(&noded, 1, 1, U32 | NUMA | PRIVATE, NULL, 0));
    EXPECT_NE(noded.node, UINT_MAX);
}
TEST(node_has_to_exist) {
    noded.node = UINT_MAX - 1;
    EXPECT_ERRNO(EINVAL, wake2(&noded, 1, 1, U32 | NUMA));
    noded.node = 1 << 20;
    EXPECT_ERRNO(EINVAL, wait2(&noded, 0, 1, U32 | NUMA | PRIVATE, NULL, 0));
    EXPECT_EQ(noded.node, 1 << 20);
    EXPECT_ERRNO(EINVAL, wake2(&noded.node, 1, 1, U32 | NUMA));
    EXPECT_ERRNO(EFAULT, wake2(BAD_PTR, 1, 1, U32 | NUMA | PRIVATE));
}
TEST(node_and_waiters) {
    for (unsigned private = 0; private <= PRIVATE; private += PRIVATE) {
        noded.node = UINT_MAX;
        struct call a = {.list = {ON(&noded, 0, NUMA | private)}, .mask = 1};
        begin(&a);
        EXPECT_EQ(noded.node, 0);
        EXPECT_EQ(wake2(&noded, 1, 1, U32 | NUMA | private), 1);
        EXPECT_EQ(ended(&a), 0);
    }
}
