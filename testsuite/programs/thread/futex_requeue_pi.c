/* FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: from a condition to its lock. */
#include "futex.h"

/* `word` is the condition, `word2` the lock. */
static uint32_t word, word2, word3;

static long lock(uint32_t *at) { return futex(at, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0); }
static long unlock(uint32_t *at) { return futex(at, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0); }
static long move(uint32_t *from, uint32_t *to, long more, uint32_t value) {
    return futex(from, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, COUNT(more), to, value);
}
#define MOVABLE(from, to) {.op = FUTEX_WAIT_REQUEUE_PI | PRIVATE, .word = (from), .word2 = (to)}
static void then_unlock(struct sleeper *s) {
    if (s->result == 0 && futex(s->word2, FUTEX_UNLOCK_PI | (s->op & PRIVATE), 0, NULL, NULL, 0)) FAIL("unlock: %d", errno);
}

TEST(one_word_for_both) {
    struct timespec bad = {0, 1000000000};
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, NULL, &word, 0));
    EXPECT_ERRNO(EINVAL, futex(BAD_PTR, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, NULL, BAD_PTR, 0));
    EXPECT_ERRNO(EINVAL, move(&word, &word, 1, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, &bad, &word2, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, BAD_PTR, &word, 0));
}
TEST(one_word_by_two_names) {
    struct timespec none = {0, 0};
    int fd = memfd_create("words", 0);
    ASSERT_OK(ftruncate(fd, 4096));
    uint32_t *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT_ERRNO(EINVAL, futex(a, FUTEX_WAIT_REQUEUE_PI, 0, &none, b, 0));
    EXPECT_ERRNO(EAGAIN, futex(a, FUTEX_WAIT_REQUEUE_PI, 1, &none, b, 0));
    EXPECT_ERRNO(EINVAL, futex(a, FUTEX_CMP_REQUEUE_PI, 1, COUNT(0), b, 0));
    EXPECT_ERRNO(EINVAL, futex(a, FUTEX_CMP_REQUEUE_PI, 1, COUNT(0), b, 9));
}
TEST(bad_arguments) {
    uint32_t *none = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 0, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 2, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, (uint32_t)-1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, move(&word, &word2, -1, 0));
    EXPECT_ERRNO(EAGAIN, move(&word, &word2, 1, 9));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_CMP_REQUEUE_PI, 1, COUNT(1), none, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, NULL, none, 0));
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, NULL, &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, NULL, (char *)&word2 + 1, 0));
    EXPECT_ERRNO(EINVAL, futex((char *)&word + 1, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, NULL, &word2, 0));
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 1, NULL, &word2, 0));
}
TEST(nobody_waits) {
    EXPECT_EQ(move(&word, &word2, 5, 0), 0);
    EXPECT_EQ(word2, 0);
    word2 = FUTEX_TID_MASK;
    EXPECT_EQ(move(&word, &word2, 5, 0), 0);
    EXPECT_EQ(word2, FUTEX_TID_MASK);
}
TEST(nobody_waits_and_the_lock_is_out_of_reach) {
    uint32_t *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(EFAULT, move(&word, none, 1, 0));
    EXPECT_ERRNO(EFAULT, move(&word, none, 0, 0));
    EXPECT_ERRNO(EFAULT, move(&word, BAD_PTR, 1, 0));
    EXPECT_ERRNO(EAGAIN, move(&word, none, 1, 9));
}
TEST(a_free_lock_goes_to_the_first) {
    struct sleeper a = MOVABLE(&word, &word2);
    start(&a);
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    /* Nobody else was to be moved: no need for the kernel at the unlock. */
    EXPECT_EQ(a.seen, a.tid);
}
TEST(a_free_lock_when_more_may_come) {
    struct sleeper a = MOVABLE(&word, &word2);
    a.then = then_unlock;
    start(&a);
    EXPECT_EQ(move(&word, &word2, 1, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, a.tid | FUTEX_WAITERS);
    EXPECT_EQ(word2, 0);
}
TEST(a_free_lock_whose_owner_died) {
    struct sleeper a = MOVABLE(&word, &word2);
    word2 = FUTEX_OWNER_DIED;
    start(&a);
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, a.tid | FUTEX_OWNER_DIED);
}
TEST(a_lock_in_use_is_waited_for) {
    struct sleeper a = MOVABLE(&word, &word2);
    a.then = then_unlock;
    ASSERT_EQ(lock(&word2), 0);
    start(&a);
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(word2, own_tid() | FUTEX_WAITERS);
    EXPECT_EQ(waiters(&word, PRIVATE), 0);
    EXPECT_ERRNO(EINVAL, futex(&word2, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0));
    EXPECT_EQ(unlock(&word2), 0);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, a.tid | FUTEX_WAITERS);
    EXPECT_EQ(word2, 0);
}
static uint32_t order[5], arrived;
static void note(struct sleeper *s) {
    order[__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST)] = s->tid;
    then_unlock(s);
}
static void several(int is_held, long more, long first, long second) {
    struct sleeper w[5];
    for (int i = 0; i < 5; i++) {
        w[i] = (struct sleeper)MOVABLE(&word, &word2);
        w[i].then = note;
        start(&w[i]);
    }
    if (is_held) EXPECT_EQ(lock(&word2), 0);
    EXPECT_EQ(move(&word, &word2, more, 0), first);
    if (!is_held) {
        /* It got the lock, used it and let go. */
        EXPECT_EQ(joined(&w[0]), 0);
        while (load(&arrived) < (uint32_t)first) sched_yield();
    }
    EXPECT_EQ(move(&word, &word2, INT_MAX, 0), second);
    if (is_held) EXPECT_EQ(unlock(&word2), 0);
    for (int i = is_held ? 0 : 1; i < 5; i++) EXPECT_EQ(joined(&w[i]), 0);
    for (int i = 0; i < 5; i++) EXPECT_EQ(order[i], w[i].tid);
    EXPECT_EQ(word2, 0);
}
TEST(several_to_a_lock_in_use) { several(1, 2, 3, 2); }
TEST(all_to_a_lock_in_use) { several(1, INT_MAX, 5, 0); }
TEST(several_to_a_free_lock) { several(0, 2, 3, 2); }
TEST(one_by_one_to_a_free_lock) { several(0, 0, 1, 4); }
TEST(another_lock_than_announced) {
    struct sleeper a = MOVABLE(&word, &word2);
    a.then = then_unlock;
    start(&a);
    EXPECT_ERRNO(EINVAL, move(&word, &word3, 1, 0));
    EXPECT_EQ(word3, 0);
    EXPECT_EQ(move(&word, &word2, 1, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(other_operations_on_such_a_waiter) {
    struct sleeper a = MOVABLE(&word, &word2);
    a.then = then_unlock;
    start(&a);
    until_locker(&word, PRIVATE);
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 2));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_REQUEUE | PRIVATE, 0, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word3, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word, FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(a_plain_waiter_cannot_be_moved) {
    struct sleeper a = WAITER(&word, PRIVATE), b = MOVABLE(&word3, &word2), c = WAITER(&word3, PRIVATE);
    b.then = then_unlock;
    start(&a);
    EXPECT_ERRNO(EINVAL, move(&word, &word2, 1, 0));
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    /* One behind another that can: that one is served, and the call fails. */
    start(&b);
    start(&c);
    EXPECT_ERRNO(EINVAL, move(&word3, &word2, 5, 0));
    EXPECT_EQ(joined(&b), 0);
    EXPECT_EQ(futex(&word3, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&c), 0);
}
TEST(times_out_before_it_is_moved) {
    struct timespec at = from_now(CLOCK_MONOTONIC, 20), real = from_now(CLOCK_REALTIME, 20), past = {0, 0};
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, &at, &word2, 0));
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_REQUEUE_PI | REALTIME | PRIVATE, 0, &real, &word2, 0));
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, &past, &word2, 0));
    EXPECT_EQ(waiters(&word, PRIVATE), 0);
    EXPECT_EQ(word2, 0);
}
TEST(times_out_after_it_was_moved) {
    struct timespec at = from_now(CLOCK_MONOTONIC, 60);
    struct sleeper a = MOVABLE(&word, &word2);
    a.timeout = &at;
    ASSERT_EQ(lock(&word2), 0);
    start(&a);
    EXPECT_LE(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(joined(&a), -1);
    EXPECT_EQ(a.error, ETIMEDOUT);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_EQ(unlock(&word2), 0);
    EXPECT_EQ(word2, 0);
}
TEST(a_signal_before_it_is_moved) {
    handle(SIGUSR1, 0);
    struct sleeper a = MOVABLE(&word, &word2);
    a.then = then_unlock;
    start(&a);
    interrupt(&a);
    /* The wait begins anew by itself. */
    until_locker(&word, PRIVATE);
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(a_signal_after_it_was_moved) {
    handle(SIGUSR1, SA_RESTART);
    struct sleeper a = MOVABLE(&word, &word2);
    ASSERT_EQ(lock(&word2), 0);
    start(&a);
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    interrupt(&a);
    EXPECT_EQ(joined(&a), -1);
    EXPECT_EQ(a.error, EAGAIN);
    EXPECT_EQ(unlock(&word2), 0);
    EXPECT_EQ(word2, 0);
}
static void *mover(void *arg) {
    long result = move(&word, &word2, 1, 0);
    return (void *)(result == -1 ? -(long)errno : result + (arg != NULL));
}
TEST(the_waiter_owns_the_lock_already) {
    struct timespec at = from_now(CLOCK_MONOTONIC, 400);
    pthread_t thread;
    ASSERT_EQ(lock(&word2), 0);
    struct sleeper a = MOVABLE(&word, &word2);
    a.timeout = &at;
    start(&a);
    store(&word2, a.tid);
    void *result;
    pthread_create(&thread, NULL, mover, NULL);
    pthread_join(thread, &result);
    EXPECT_EQ((long)result, -EDEADLK);
    /* It stays where it was. */
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0));
    store(&word2, own_tid());
    EXPECT_EQ(unlock(&word2), 0);
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(an_owner_that_does_not_exist) {
    struct sleeper a = MOVABLE(&word, &word2);
    a.then = then_unlock;
    start(&a);
    store(&word2, FUTEX_TID_MASK);
    EXPECT_ERRNO(ESRCH, move(&word, &word2, 1, 0));
    store(&word2, 0);
    EXPECT_EQ(move(&word, &word2, 0, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
static uint32_t may_die;
static void *die_owning(void *arg) {
    if (lock(arg)) FAIL("lock: %d", errno);
    while (!load(&may_die)) sched_yield();
    syscall(SYS_exit, 0);
    return NULL;
}
TEST(the_owner_ends) {
    pthread_t owner;
    struct sleeper a = MOVABLE(&word, &word2), b = MOVABLE(&word, &word2);
    a.then = b.then = then_unlock;
    may_die = 0;
    pthread_create(&owner, NULL, die_owning, &word2);
    while (!load(&word2)) sched_yield();
    start(&a);
    start(&b);
    EXPECT_EQ(move(&word, &word2, 5, 0), 2);
    store(&may_die, 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, a.tid | FUTEX_WAITERS | FUTEX_OWNER_DIED);
    EXPECT_EQ(joined(&b), 0);
    EXPECT_EQ(b.seen, b.tid | FUTEX_WAITERS);
    EXPECT_EQ(word2, 0);
}
TEST(between_processes) {
    uint32_t *page = shared_words();
    pid_t pid = fork();
    if (pid == 0) {
        if (futex(&page[0], FUTEX_WAIT_REQUEUE_PI, 0, NULL, &page[1], 0)) _exit(1);
        if (load(&page[1]) != (own_tid() | FUTEX_WAITERS)) _exit(2);
        _exit(futex(&page[1], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) ? 3 : 0);
    }
    until_locker(&page[0], 0);
    ASSERT_EQ(futex(&page[1], FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&page[0], FUTEX_CMP_REQUEUE_PI, 1, COUNT(1), &page[1], 0), 1);
    EXPECT_EQ(futex(&page[1], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(page[1], 0);
}
TEST(a_killed_waiter) {
    uint32_t *page = shared_words();
    pid_t pid = fork();
    if (pid == 0) {
        futex(&page[0], FUTEX_WAIT_REQUEUE_PI, 0, NULL, &page[1], 0);
        _exit(1);
    }
    until_locker(&page[0], 0);
    ASSERT_EQ(futex(&page[1], FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&page[0], FUTEX_CMP_REQUEUE_PI, 1, COUNT(1), &page[1], 0), 1);
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EQ(futex(&page[1], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    EXPECT_EQ(page[1], 0);
}

/* A condition variable over a lock that inherits priority, without a library. */
static uint32_t sequence, items, taken, done;
static void mutex_lock(void) {
    uint32_t old = 0;
    if (__atomic_compare_exchange_n(&word2, &old, own_tid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    if (lock(&word2)) FAIL("lock: %d", errno);
}
static void mutex_unlock(void) {
    uint32_t own = own_tid();
    if (__atomic_compare_exchange_n(&word2, &own, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    if (unlock(&word2)) FAIL("unlock: %d, word %x", errno, load(&word2));
}
static void *taker(void *timed) {
    for (;;) {
        mutex_lock();
        while (items == 0 && !done) {
            uint32_t seen = load(&sequence);
            struct timespec at = from_now(CLOCK_MONOTONIC, 2);
            mutex_unlock();
            if (futex(&sequence, FUTEX_WAIT_REQUEUE_PI | PRIVATE, seen, timed ? &at : NULL, &word2, 0) != 0) {
                if (errno != EAGAIN && errno != ETIMEDOUT) FAIL("wait: %d", errno);
                mutex_lock();
            }
            if ((load(&word2) & FUTEX_TID_MASK) != own_tid()) FAIL("awake without the lock");
        }
        if (items == 0) break;
        items--, taken++;
        mutex_unlock();
    }
    mutex_unlock();
    return NULL;
}
TEST_LIMIT(no_wake_up_is_lost, 60) {
    pthread_t thread[4];
    for (long i = 0; i < 4; i++) pthread_create(&thread[i], NULL, taker, (void *)(i & 1));
    for (int i = 0; i < 400; i++) {
        mutex_lock();
        items += 2;
        uint32_t now = __atomic_add_fetch(&sequence, 1, __ATOMIC_SEQ_CST);
        if (i % 2) mutex_unlock();
        if (futex(&sequence, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, COUNT(i % 3), &word2, now) == -1) FAIL("requeue: %d", errno);
        if (i % 2 == 0) mutex_unlock();
    }
    for (;;) {
        mutex_lock();
        int is_empty = items == 0;
        mutex_unlock();
        if (is_empty) break;
        futex(&sequence, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, COUNT(INT_MAX), &word2, load(&sequence));
        sched_yield();
    }
    mutex_lock();
    done = 1;
    uint32_t now = __atomic_add_fetch(&sequence, 1, __ATOMIC_SEQ_CST);
    mutex_unlock();
    EXPECT_OK(futex(&sequence, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, COUNT(INT_MAX), &word2, now));
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(taken, 800);
}

static pthread_mutex_t mutex;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int level;
static void *climber(void *arg) {
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        while (level <= i) pthread_cond_wait(&condition, &mutex);
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}
TEST_LIMIT(pthread_condition_over_such_a_lock, 30) {
    pthread_t thread[3];
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    ASSERT_EQ(pthread_mutex_init(&mutex, &attr), 0);
    for (int i = 0; i < 3; i++) pthread_create(&thread[i], NULL, climber, NULL);
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        level++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
        sched_yield();
    }
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(level, 100);
}

/* Everything at once: three locks in any order, a condition, time-outs, signals. */
static uint32_t locks[3], inner[3], finished;
static pthread_t crowd[6];
static __thread uint32_t tid;
static int enter(int at, unsigned *seed) {
    uint32_t free = 0;
    struct timespec limit = from_now(CLOCK_MONOTONIC, 0);
    limit.tv_nsec += rand_r(seed) % 200 * 1000;
    if (limit.tv_nsec >= 1000000000) limit.tv_sec++, limit.tv_nsec -= 1000000000;
    if (!__atomic_compare_exchange_n(&locks[at], &free, tid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
        futex(&locks[at], FUTEX_LOCK_PI2 | PRIVATE, 0, rand_r(seed) % 3 ? &limit : NULL, NULL, 0) != 0) {
        if (errno != ETIMEDOUT && errno != EDEADLK) FAIL("lock: %d, word %x", errno, load(&locks[at]));
        return 0;
    }
    if (__atomic_fetch_add(&inner[at], 1, __ATOMIC_SEQ_CST)) FAIL("two inside");
    return 1;
}
static void leave(int at) {
    uint32_t own = tid;
    __atomic_fetch_sub(&inner[at], 1, __ATOMIC_SEQ_CST);
    if (!__atomic_compare_exchange_n(&locks[at], &own, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && unlock(&locks[at]))
        FAIL("unlock: %d, word %x", errno, load(&locks[at]));
}
static void *at_random(void *arg) {
    unsigned seed = (unsigned)(long)arg * 77 + 1;
    tid = own_tid();
    for (int i = 0; i < 600; i++) {
        int one = rand_r(&seed) % 3, two = rand_r(&seed) % 3, kind = rand_r(&seed) % 4;
        uint32_t now = load(&sequence);
        struct timespec limit = from_now(CLOCK_MONOTONIC, 1);
        if (kind < 2 && enter(one, &seed)) {
            if (two != one && enter(two, &seed)) leave(two);
            leave(one);
        } else if (kind == 2) {
            if (futex(&sequence, FUTEX_WAIT_REQUEUE_PI | PRIVATE, now, &limit, &locks[0], 0) == 0) {
                if (__atomic_fetch_add(&inner[0], 1, __ATOMIC_SEQ_CST)) FAIL("woken beside another");
                leave(0);
            } else if (errno != EAGAIN && errno != ETIMEDOUT) {
                FAIL("wait: %d", errno);
            }
        } else if (kind == 3) {
            now = __atomic_add_fetch(&sequence, 1, __ATOMIC_SEQ_CST);
            if (futex(&sequence, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, COUNT(rand_r(&seed) % 3), &locks[0], now) == -1 &&
                errno != EAGAIN && errno != EDEADLK)
                FAIL("requeue: %d", errno);
        }
        if (i % 16 == 0) pthread_kill(crowd[rand_r(&seed) % 6], SIGUSR1);
    }
    /* The others may still signal it. */
    __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
    while (load(&finished) < 6) sched_yield();
    return NULL;
}
TEST_LIMIT(all_at_random, 60) {
    handle(SIGUSR1, 0);
    for (long i = 0; i < 6; i++) crowd[i] = pthread_self();
    for (long i = 0; i < 6; i++) pthread_create(&crowd[i], NULL, at_random, (void *)i);
    for (int i = 0; i < 6; i++) pthread_join(crowd[i], NULL);
    EXPECT_EQ(locks[0] | locks[1] | locks[2], 0);
    EXPECT_EQ(inner[0] | inner[1] | inner[2], 0);
    for (int i = 0; i < 3; i++) EXPECT_EQ(waiters(&locks[i], PRIVATE), 0);
}
