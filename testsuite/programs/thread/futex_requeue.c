/* FUTEX_REQUEUE and FUTEX_CMP_REQUEUE, and the condition variables they were made for. */
#include "futex.h"

static uint32_t word, word2;

TEST(bad_arguments) {
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_REQUEUE | PRIVATE, (uint32_t)-1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_REQUEUE | PRIVATE, 1, COUNT(-1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, (uint32_t)INT_MIN, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex((char *)&word + 1, FUTEX_REQUEUE | PRIVATE, 1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_REQUEUE | PRIVATE, 1, COUNT(1), (char *)&word2 + 2, 0));
}
TEST(bad_addresses) {
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_REQUEUE, 1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_REQUEUE, 1, COUNT(1), BAD_PTR, 0));
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_CMP_REQUEUE | PRIVATE, 1, COUNT(1), &word2, 0));
    /* Private and without a value to compare: no memory is looked at. */
    EXPECT_EQ(futex(BAD_PTR, FUTEX_REQUEUE | PRIVATE, 1, COUNT(1), (void *)16, 0), 0);
    EXPECT_EQ(futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, COUNT(1), BAD_PTR, 0), 0);
}
TEST(the_value_has_to_match) {
    struct sleeper a = WAITER(&word, PRIVATE);
    start(&a);
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, COUNT(1), &word2, 9));
    EXPECT_EQ(waiters(&word, PRIVATE), 1);
    EXPECT_EQ(futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, COUNT(1), &word2, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
static void start_all(struct sleeper *w, int count, uint32_t *at) {
    for (int i = 0; i < count; i++) {
        w[i] = (struct sleeper)WAITER(at, PRIVATE);
        start(&w[i]);
    }
}
TEST(counts_woken_and_moved) {
    struct sleeper w[6];
    start_all(w, 6, &word);
    EXPECT_EQ(futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, COUNT(2), &word2, 0), 3);
    EXPECT_EQ(joined(&w[0]), 0);
    EXPECT_EQ(waiters(&word, PRIVATE), 3);
    EXPECT_EQ(waiters(&word2, PRIVATE), 2);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(1), &word2, 0), 1);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(0), &word2, 0), 0);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, INT_MAX, COUNT(INT_MAX), &word2, 0), 2);
    EXPECT_EQ(joined(&w[4]), 0);
    EXPECT_EQ(joined(&w[5]), 0);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 3);
    for (int i = 1; i < 4; i++) EXPECT_EQ(joined(&w[i]), 0);
}
TEST(who_was_moved_waits_at_the_target_only) {
    struct sleeper a = WAITER(&word, PRIVATE);
    start(&a);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(1), &word2, 0), 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    /* The target's value does not matter to it. */
    store(&word2, 77);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(a_move_keeps_the_order) {
    struct sleeper w[4];
    start_all(w, 4, &word);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(4), &word2, 0), 4);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(futex(&word2, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
        EXPECT_EQ(joined(&w[i]), 0);
    }
}
TEST(a_move_keeps_the_bitset) {
    struct sleeper a = {.op = FUTEX_WAIT_BITSET | PRIVATE, .word = &word, .value3 = 4};
    start(&a);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(1), &word2, 0), 1);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 3), 0);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 6), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(there_and_back) {
    struct sleeper w[3];
    start_all(w, 3, &word);
    for (int i = 0; i < 50; i++) {
        EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(3), &word2, 0), 3);
        EXPECT_EQ(futex(&word2, FUTEX_REQUEUE | PRIVATE, 0, COUNT(3), &word, 0), 3);
    }
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 3);
    for (int i = 0; i < 3; i++) EXPECT_EQ(joined(&w[i]), 0);
}
TEST(to_the_same_word) {
    struct sleeper w[3];
    start_all(w, 3, &word);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 1, COUNT(1), &word, 0), 2);
    EXPECT_EQ(joined(&w[0]), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 2);
    EXPECT_EQ(joined(&w[1]), 0);
    EXPECT_EQ(joined(&w[2]), 0);
}
TEST(a_time_out_after_a_move) {
    struct timespec limit = {0, 40000000};
    struct sleeper a = WAITER(&word, PRIVATE);
    a.timeout = &limit;
    start(&a);
    EXPECT_LE(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(1), &word2, 0), 1);
    EXPECT_EQ(joined(&a), -1);
    EXPECT_EQ(a.error, ETIMEDOUT);
    EXPECT_EQ(waiters(&word, PRIVATE), 0);
    EXPECT_EQ(waiters(&word2, PRIVATE), 0);
}
TEST(a_signal_after_a_move) {
    struct sleeper a = WAITER(&word, PRIVATE);
    handle(SIGUSR1, SA_RESTART);
    start(&a);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(1), &word2, 0), 1);
    interrupt(&a);
    /* The call begins anew: at its own word. */
    until_waiters(&word, PRIVATE, 1);
    EXPECT_EQ(waiters(&word2, PRIVATE), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(private_and_shared_do_not_meet) {
    struct sleeper a = WAITER(&word, PRIVATE), b = WAITER(&word, 0);
    start(&a);
    start(&b);
    EXPECT_EQ(futex(&word, FUTEX_REQUEUE, 0, COUNT(9), &word2, 0), 1);
    EXPECT_EQ(waiters(&word2, PRIVATE), 0);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE, 9, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&b), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 9, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(moved_to_another_process) {
    uint32_t *page = shared_words();
    pid_t pid = fork();
    if (pid == 0) _exit(futex(&page[0], FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 0 : 1);
    until_waiters(&page[0], 0, 1);
    EXPECT_EQ(futex(&page[0], FUTEX_CMP_REQUEUE, 0, COUNT(1), &page[64], 0), 1);
    pid_t other = fork();
    if (other == 0) _exit(futex(&page[64], FUTEX_WAKE, 1, NULL, NULL, 0) == 1 ? 0 : 1);
    int status;
    waitpid(other, &status, 0);
    EXPECT_EXITED(0, status);
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}

/* A condition variable as libraries built it on requeues: a broadcast wakes one
 * and moves the rest to the lock. */
static uint32_t lock, sequence, inside, served;
static void acquire(void) {
    uint32_t old = 0;
    if (__atomic_compare_exchange_n(&lock, &old, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    while (__atomic_exchange_n(&lock, 2, __ATOMIC_SEQ_CST) != 0) futex(&lock, FUTEX_WAIT | PRIVATE, 2, NULL, NULL, 0);
}
static void release(void) {
    if (__atomic_exchange_n(&lock, 0, __ATOMIC_SEQ_CST) == 2) futex(&lock, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0);
}
static void *condition_waiter(void *arg) {
    for (int i = 0; i < 50; i++) {
        acquire();
        uint32_t seen = load(&sequence);
        while (load(&sequence) == seen) {
            release();
            futex(&sequence, FUTEX_WAIT | PRIVATE, seen, NULL, NULL, 0);
            while (__atomic_exchange_n(&lock, 2, __ATOMIC_SEQ_CST) != 0) futex(&lock, FUTEX_WAIT | PRIVATE, 2, NULL, NULL, 0);
        }
        if (__atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST) != 0) FAIL("two inside");
        __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
        release();
    }
    __atomic_fetch_add(&served, 1, __ATOMIC_SEQ_CST);
    return arg;
}
TEST_LIMIT(broadcast_by_requeue, 30) {
    pthread_t thread[5];
    for (int i = 0; i < 5; i++) pthread_create(&thread[i], NULL, condition_waiter, NULL);
    while (load(&served) != 5) {
        acquire();
        uint32_t now = __atomic_add_fetch(&sequence, 1, __ATOMIC_SEQ_CST);
        release();
        while (futex(&sequence, FUTEX_CMP_REQUEUE | PRIVATE, 1, COUNT(INT_MAX), &lock, now) == -1) now = load(&sequence);
        /* Who was moved waits for a lock that the one woken lets go of. */
        sched_yield();
        if (load(&lock) == 0) futex(&lock, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0);
    }
    for (int i = 0; i < 5; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(waiters(&lock, PRIVATE), 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int slots[4], used, produced, consumed;
static void *producer(void *arg) {
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&mutex);
        while (used == 4) pthread_cond_wait(&not_full, &mutex);
        slots[used++] = 1, produced++;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}
static void *consumer(void *arg) {
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&mutex);
        while (used == 0) pthread_cond_wait(&not_empty, &mutex);
        consumed += slots[--used];
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}
TEST_LIMIT(pthread_conditions, 30) {
    pthread_t thread[6];
    for (int i = 0; i < 6; i++) pthread_create(&thread[i], NULL, i % 2 ? producer : consumer, NULL);
    for (int i = 0; i < 6; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(produced, 3000);
    EXPECT_EQ(consumed, 3000);
}
static int generation;
static void *broadcast_member(void *arg) {
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 40; i++) {
        used++;
        pthread_cond_signal(&not_full);
        while (generation <= i) pthread_cond_wait(&not_empty, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    return arg;
}
TEST_LIMIT(pthread_broadcast, 30) {
    pthread_t thread[6];
    used = generation = 0;
    for (int i = 0; i < 6; i++) pthread_create(&thread[i], NULL, broadcast_member, NULL);
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 40; i++) {
        while (used < 6) pthread_cond_wait(&not_full, &mutex);
        used = 0, generation++;
        pthread_cond_broadcast(&not_empty);
    }
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 6; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(generation, 40);
}
TEST(pthread_timed_condition) {
    struct timespec at = from_now(CLOCK_REALTIME, 20);
    pthread_mutex_lock(&mutex);
    int error;
    while ((error = pthread_cond_timedwait(&not_empty, &mutex, &at)) == 0) {}
    EXPECT_EQ(error, ETIMEDOUT);
    at = from_now(CLOCK_MONOTONIC, 20);
    while ((error = pthread_cond_clockwait(&not_empty, &mutex, CLOCK_MONOTONIC, &at)) == 0) {}
    EXPECT_EQ(error, ETIMEDOUT);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
}
