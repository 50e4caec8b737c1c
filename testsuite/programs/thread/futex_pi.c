/* FUTEX_LOCK_PI and its like: locks that know their owner. */
#include "futex.h"

static uint32_t word, word2, word3;

static long lock(uint32_t *at) { return futex(at, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0); }
static long unlock(uint32_t *at) { return futex(at, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0); }
static long try(uint32_t *at) { return futex(at, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0); }
#define LOCKER(at) {.op = FUTEX_LOCK_PI | PRIVATE, .word = (at)}
static void then_unlock(struct sleeper *s) {
    if (s->result == 0 && futex(s->word, FUTEX_UNLOCK_PI | (s->op & PRIVATE), 0, NULL, NULL, 0)) FAIL("unlock: %d", errno);
}

TEST(a_free_lock_is_taken) {
    EXPECT_EQ(lock(&word), 0);
    EXPECT_EQ(word, own_tid());
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(word, 0);
    EXPECT_EQ(try(&word), 0);
    EXPECT_EQ(word, own_tid());
    EXPECT_EQ(futex(&word2, FUTEX_LOCK_PI2 | PRIVATE, 0, NULL, NULL, 0), 0);
    EXPECT_EQ(word2, own_tid());
}
TEST(bits_without_an_owner) {
    /* Nobody waits in truth, but that an owner died stays known. */
    word = FUTEX_WAITERS;
    EXPECT_EQ(lock(&word), 0);
    EXPECT_EQ(word, own_tid());
    word = FUTEX_OWNER_DIED;
    EXPECT_EQ(lock(&word), 0);
    EXPECT_EQ(word, own_tid() | FUTEX_OWNER_DIED);
    word = FUTEX_OWNER_DIED | FUTEX_WAITERS;
    EXPECT_EQ(try(&word), 0);
    EXPECT_EQ(word, own_tid() | FUTEX_OWNER_DIED);
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(word, 0);
}
TEST(own_lock_again) {
    ASSERT_EQ(lock(&word), 0);
    EXPECT_ERRNO(EDEADLK, lock(&word));
    EXPECT_ERRNO(EDEADLK, try(&word));
    EXPECT_ERRNO(EDEADLK, futex(&word, FUTEX_LOCK_PI2 | PRIVATE, 0, NULL, NULL, 0));
    word |= FUTEX_OWNER_DIED;
    EXPECT_ERRNO(EDEADLK, lock(&word));
    EXPECT_EQ(word, own_tid() | FUTEX_OWNER_DIED);
}
TEST(unlocking_what_is_not_ours) {
    EXPECT_ERRNO(EPERM, unlock(&word));
    word = own_tid() + 1;
    EXPECT_ERRNO(EPERM, unlock(&word));
    word = FUTEX_WAITERS;
    EXPECT_ERRNO(EPERM, unlock(&word));
    /* The owner is looked at before the address. */
    static struct { char pad; uint32_t word; } __attribute__((packed, aligned(4))) odd;
    EXPECT_ERRNO(EPERM, futex((char *)&odd + 1, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
    odd.word = own_tid();
    EXPECT_ERRNO(EINVAL, futex((char *)&odd + 1, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
}
TEST(unlocking_clears_all_bits) {
    word = own_tid() | FUTEX_WAITERS;
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(word, 0);
    word = own_tid() | FUTEX_WAITERS | FUTEX_OWNER_DIED;
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(word, 0);
}
TEST(bad_addresses) {
    uint32_t *none = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    static const int ops[] = {FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI};
    for (int i = 0; i < 3; i++) {
        EXPECT_ERRNO(EINVAL, futex((char *)&word + 1, ops[i] | PRIVATE, 0, NULL, NULL, 0));
        EXPECT_ERRNO(EFAULT, futex(BAD_PTR, ops[i] | PRIVATE, 0, NULL, NULL, 0));
        EXPECT_ERRNO(EFAULT, futex(BAD_PTR, ops[i], 0, NULL, NULL, 0));
        EXPECT_ERRNO(EFAULT, futex(none, ops[i] | PRIVATE, 0, NULL, NULL, 0));
        EXPECT_ERRNO(EFAULT, futex(none, ops[i], 0, NULL, NULL, 0));
        EXPECT_ERRNO(EFAULT, futex(shared, ops[i], 0, NULL, NULL, 0));
    }
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
    EXPECT_ERRNO(EPERM, futex(none, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
}
TEST(bad_times) {
    struct timespec bad = {0, 1000000000}, negative = {-1, 0};
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &bad, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_LOCK_PI2 | PRIVATE, 0, &negative, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, BAD_PTR, NULL, 0));
    EXPECT_EQ(word, 0);
    /* A try has no time, whatever is there. */
    EXPECT_EQ(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, BAD_PTR, NULL, 0), 0);
}
TEST(a_thread_that_does_not_exist) {
    word = FUTEX_TID_MASK;
    EXPECT_ERRNO(ESRCH, lock(&word));
    /* The bit stays: it was set before the owner was looked for. */
    EXPECT_EQ(word, FUTEX_TID_MASK | FUTEX_WAITERS);
    word = FUTEX_TID_MASK | FUTEX_OWNER_DIED;
    EXPECT_ERRNO(ESRCH, try(&word));
    EXPECT_EQ(word, FUTEX_TID_MASK | FUTEX_OWNER_DIED | FUTEX_WAITERS);
}
TEST(a_zombie) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    siginfo_t info;
    ASSERT_OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    word = pid;
    EXPECT_ERRNO(ESRCH, lock(&word));
    word = pid;
    EXPECT_ERRNO(ESRCH, futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    waitpid(pid, NULL, 0);
}
TEST(another_process) {
    struct timespec none = {0, 0};
    /* A private lock cannot be owned from outside, */
    word = getppid();
    EXPECT_ERRNO(EPERM, lock(&word));
    EXPECT_EQ(word, getppid() | FUTEX_WAITERS);
    word = getppid();
    EXPECT_ERRNO(EPERM, try(&word));
    /* a shared one can. */
    word = getppid();
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_LOCK_PI, 0, &none, NULL, 0));
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
    EXPECT_EQ(word, getppid() | FUTEX_WAITERS);
}
TEST(a_thread_of_the_kernel) {
    /* kthreadd, where process ids are not a container's own. */
    char text[32] = "";
    int fd = open("/proc/2/comm", O_RDONLY);
    if (fd == -1 || read(fd, text, sizeof text - 1) <= 0 || strcmp(text, "kthreadd\n") != 0) SKIP("no kthreadd in sight");
    word = 2;
    EXPECT_ERRNO(EPERM, lock(&word));
    word = 2;
    EXPECT_ERRNO(EPERM, futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
}
TEST(a_lock_in_use) {
    struct sleeper a = LOCKER(&word);
    ASSERT_EQ(lock(&word), 0);
    start(&a);
    EXPECT_EQ(word, own_tid() | FUTEX_WAITERS);
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(joined(&a), 0);
    /* It was handed over, and the bit is kept. */
    EXPECT_EQ(a.seen, a.tid | FUTEX_WAITERS);
}
TEST(try_of_a_lock_in_use) {
    struct sleeper a = {.op = FUTEX_TRYLOCK_PI | PRIVATE, .word = &word};
    ASSERT_EQ(lock(&word), 0);
    ASSERT_EQ(pthread_create(&a.thread, NULL, sleeper_main, &a), 0);
    EXPECT_EQ(joined(&a), -1);
    EXPECT_EQ(a.error, EAGAIN);
    EXPECT_EQ(word, own_tid() | FUTEX_WAITERS);
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(word, 0);
}
static uint32_t order[4], arrived;
static void note(struct sleeper *s) {
    order[__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST)] = s->tid;
    then_unlock(s);
}
TEST(first_come_first_served) {
    struct sleeper w[4];
    ASSERT_EQ(lock(&word), 0);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct sleeper)LOCKER(&word);
        w[i].then = note;
        start(&w[i]);
    }
    EXPECT_EQ(unlock(&word), 0);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(joined(&w[i]), 0);
        EXPECT_EQ(order[i], w[i].tid);
    }
    EXPECT_EQ(word, 0);
}
TEST(the_owner_is_the_one_served) {
    struct sleeper a = LOCKER(&word), b = LOCKER(&word);
    a.then = b.then = then_unlock;
    ASSERT_EQ(lock(&word), 0);
    start(&a);
    start(&b);
    EXPECT_EQ(unlock(&word), 0);
    /* From this moment it is not ours, whoever has run since. */
    EXPECT_ERRNO(EPERM, unlock(&word));
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(joined(&b), 0);
    EXPECT_EQ(word, 0);
}
TEST(times_out) {
    struct timespec real = from_now(CLOCK_REALTIME, 20), past = {0, 0}, monotonic = from_now(CLOCK_MONOTONIC, 20);
    struct sleeper a[4] = {LOCKER(&word), LOCKER(&word),
                           {.op = FUTEX_LOCK_PI2 | PRIVATE, .word = &word},
                           {.op = FUTEX_LOCK_PI2 | REALTIME | PRIVATE, .word = &word}};
    ASSERT_EQ(lock(&word), 0);
    a[0].timeout = &real, a[1].timeout = &past, a[2].timeout = &monotonic, a[3].timeout = &real;
    for (int i = 0; i < 4; i++) pthread_create(&a[i].thread, NULL, sleeper_main, &a[i]);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(joined(&a[i]), -1);
        EXPECT_EQ(a[i].error, ETIMEDOUT);
    }
    /* Nobody waits any more: the kernel forgot, only the bit is left. */
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_EQ(word, own_tid() | FUTEX_WAITERS);
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(word, 0);
}
TEST(clocks_of_the_two_locks) {
    /* LOCK_PI has always been on the real-time clock: monotonic times are long past. */
    struct timespec monotonic = from_now(CLOCK_MONOTONIC, 60000), real = from_now(CLOCK_REALTIME, 30);
    struct sleeper a = LOCKER(&word), b = {.op = FUTEX_LOCK_PI2 | REALTIME | PRIVATE, .word = &word};
    a.timeout = &monotonic, b.timeout = &real;
    ASSERT_EQ(lock(&word), 0);
    long long start_ns = now_ns();
    pthread_create(&a.thread, NULL, sleeper_main, &a);
    EXPECT_EQ(joined(&a), -1);
    EXPECT_EQ(a.error, ETIMEDOUT);
    pthread_create(&b.thread, NULL, sleeper_main, &b);
    EXPECT_EQ(joined(&b), -1);
    EXPECT_EQ(b.error, ETIMEDOUT);
    EXPECT_LT(now_ns() - start_ns, 8000000000);
}
TEST(a_late_time_does_not_refuse_a_free_lock) {
    struct timespec past = {0, 0};
    EXPECT_EQ(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &past, NULL, 0), 0);
    EXPECT_EQ(futex(&word2, FUTEX_LOCK_PI2 | PRIVATE, 0, &past, NULL, 0), 0);
}
TEST(a_time_out_in_the_middle_of_the_queue) {
    struct timespec soon = from_now(CLOCK_REALTIME, 60);
    struct sleeper w[3] = {LOCKER(&word), LOCKER(&word), LOCKER(&word)};
    ASSERT_EQ(lock(&word), 0);
    w[1].timeout = &soon;
    for (int i = 0; i < 3; i++) {
        w[i].then = then_unlock;
        pthread_create(&w[i].thread, NULL, sleeper_main, &w[i]);
        if (i != 1) settle(&w[i]);
    }
    EXPECT_EQ(joined(&w[1]), -1);
    EXPECT_EQ(w[1].error, ETIMEDOUT);
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(joined(&w[0]), 0);
    EXPECT_EQ(joined(&w[2]), 0);
    EXPECT_EQ(word, 0);
}

/* Threads that hold one lock and want the next. */
struct link { uint32_t *holds, *wants; long result; int error; uint32_t tid, holding; pthread_t thread; };
static void *link_main(void *arg) {
    struct link *l = arg;
    l->tid = own_tid();
    if (lock(l->holds)) FAIL("lock: %d", errno);
    __atomic_store_n(&l->holding, 1, __ATOMIC_SEQ_CST);
    l->result = lock(l->wants);
    l->error = errno;
    if (l->result == 0) unlock(l->wants);
    unlock(l->holds);
    return NULL;
}
static void hold(struct link *l) {
    pthread_create(&l->thread, NULL, link_main, l);
    while (!__atomic_load_n(&l->holding, __ATOMIC_SEQ_CST)) sched_yield();
    until_asleep(0, (int)l->tid);
}
TEST(a_circle_of_two) {
    struct link a = {.holds = &word2, .wants = &word};
    ASSERT_EQ(lock(&word), 0);
    hold(&a);
    EXPECT_ERRNO(EDEADLK, lock(&word2));
    EXPECT_ERRNO(EAGAIN, try(&word2));
    EXPECT_EQ(unlock(&word), 0);
    pthread_join(a.thread, NULL);
    EXPECT_EQ(a.result, 0);
    EXPECT_EQ(word, 0);
    EXPECT_EQ(word2, 0);
}
TEST(a_circle_of_three) {
    struct link a = {.holds = &word2, .wants = &word}, b = {.holds = &word3, .wants = &word2};
    ASSERT_EQ(lock(&word), 0);
    hold(&a);
    hold(&b);
    EXPECT_ERRNO(EDEADLK, lock(&word3));
    EXPECT_ERRNO(EDEADLK, lock(&word2));
    EXPECT_EQ(unlock(&word), 0);
    pthread_join(a.thread, NULL);
    pthread_join(b.thread, NULL);
    EXPECT_EQ(a.result | b.result, 0);
}
TEST(a_chain_is_no_circle) {
    struct link a = {.holds = &word2, .wants = &word}, b = {.holds = &word3, .wants = &word2};
    struct sleeper c = LOCKER(&word3);
    c.then = then_unlock;
    ASSERT_EQ(lock(&word), 0);
    hold(&a);
    hold(&b);
    start(&c);
    EXPECT_EQ(unlock(&word), 0);
    pthread_join(a.thread, NULL);
    pthread_join(b.thread, NULL);
    EXPECT_EQ(joined(&c), 0);
    EXPECT_EQ(a.result | b.result, 0);
    EXPECT_EQ(word | word2 | word3, 0);
}
TEST(a_circle_that_a_time_out_opens) {
    struct timespec none = {0, 0};
    struct link a = {.holds = &word2, .wants = &word};
    ASSERT_EQ(lock(&word), 0);
    hold(&a);
    EXPECT_ERRNO(EDEADLK, futex(&word2, FUTEX_LOCK_PI | PRIVATE, 0, &none, NULL, 0));
    EXPECT_EQ(unlock(&word), 0);
    pthread_join(a.thread, NULL);
    EXPECT_EQ(lock(&word2), 0);
}
TEST(a_plain_waiter_at_a_lock) {
    struct sleeper a = {.op = FUTEX_WAIT | PRIVATE, .word = &word, .value = 5};
    word = 5;
    start(&a);
    store(&word, own_tid());
    EXPECT_ERRNO(EINVAL, unlock(&word));
    store(&word, own_tid() + 1);
    EXPECT_ERRNO(EINVAL, lock(&word));
    store(&word, 0);
    EXPECT_ERRNO(EINVAL, try(&word));
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(a_word_that_was_tampered_with) {
    struct sleeper a = LOCKER(&word);
    a.then = then_unlock;
    ASSERT_EQ(lock(&word), 0);
    start(&a);
    uint32_t good = load(&word);
    store(&word, a.tid);
    EXPECT_ERRNO(EPERM, unlock(&word));
    EXPECT_ERRNO(EINVAL, lock(&word));
    EXPECT_ERRNO(EINVAL, try(&word));
    store(&word, FUTEX_WAITERS);
    EXPECT_ERRNO(EINVAL, lock(&word));
    store(&word, good | FUTEX_OWNER_DIED);
    EXPECT_ERRNO(EDEADLK, lock(&word));
    store(&word, good);
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(joined(&a), 0);
}

/* The end of an owner. */
static uint32_t may_die;
static void *die_owning(void *arg) {
    uint32_t *at = arg;
    if (lock(at)) FAIL("lock: %d", errno);
    while (!load(&may_die)) sched_yield();
    syscall(SYS_exit, 0);
    return NULL;
}
TEST(the_owner_ends) {
    pthread_t owner;
    struct sleeper a = LOCKER(&word);
    may_die = 0;
    pthread_create(&owner, NULL, die_owning, &word);
    while (!load(&word)) sched_yield();
    start(&a);
    store(&may_die, 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, a.tid | FUTEX_WAITERS | FUTEX_OWNER_DIED);
    /* That thread is gone as well, and nobody waited: nothing is left to find it by. */
    EXPECT_ERRNO(ESRCH, lock(&word));
}
TEST(the_owner_ends_and_several_wait) {
    pthread_t owner;
    struct sleeper w[3];
    may_die = 0, arrived = 0;
    pthread_create(&owner, NULL, die_owning, &word);
    while (!load(&word)) sched_yield();
    for (int i = 0; i < 3; i++) {
        w[i] = (struct sleeper)LOCKER(&word);
        w[i].then = note;
        start(&w[i]);
    }
    store(&may_die, 1);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(joined(&w[i]), 0);
        EXPECT_EQ(order[i], w[i].tid);
    }
    EXPECT_EQ(w[0].seen, w[0].tid | FUTEX_WAITERS | FUTEX_OWNER_DIED);
    /* The first one unlocked it properly. */
    EXPECT_EQ(w[1].seen, w[1].tid | FUTEX_WAITERS);
    EXPECT_EQ(word, 0);
}
static int end_of_owner(void (*end)(void)) {
    uint32_t *page = shared_words();
    pid_t pid = fork();
    if (pid == 0) {
        if (futex(page, FUTEX_LOCK_PI, 0, NULL, NULL, 0)) _exit(1);
        while (!(load(page) & FUTEX_WAITERS)) sched_yield();
        while (!load(&page[1])) sched_yield();
        end();
    }
    while (!load(page)) sched_yield();
    struct sleeper a = {.op = FUTEX_LOCK_PI, .word = page};
    start(&a);
    store(&page[1], 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, a.tid | FUTEX_WAITERS | FUTEX_OWNER_DIED);
    int status;
    waitpid(pid, &status, 0);
    return status;
}
static void end_by_exit(void) { _exit(3); }
static void end_by_signal(void) { raise(SIGKILL); }
static void end_by_exec(void) {
    execl("/proc/self/exe", "self", "--list", NULL);
    _exit(1);
}
TEST(the_owning_process_exits) { EXPECT_EXITED(3, end_of_owner(end_by_exit)); }
TEST(the_owning_process_is_killed) { EXPECT_SIGNALED(SIGKILL, end_of_owner(end_by_signal)); }
TEST(the_owning_process_execs) {
#ifdef __riscv
    if (access("/proc/self/exe", X_OK)) SKIP("no /proc/self/exe");
#endif
    fflush(NULL);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    EXPECT_EXITED(0, end_of_owner(end_by_exec));
}
TEST(a_killed_waiter) {
    uint32_t *page = shared_words();
    ASSERT_EQ(futex(page, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        futex(page, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
        _exit(1);
    }
    until_locker(page, 0);
    struct sleeper a = {.op = FUTEX_LOCK_PI, .word = page, .then = then_unlock};
    start(&a);
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_SIGNALED(SIGKILL, status);
    /* The next in line gets it. */
    EXPECT_EQ(futex(page, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(page[0], 0);
}
TEST(signals_do_not_end_a_wait) {
    handle(SIGUSR1, 0);
    struct sleeper a = LOCKER(&word);
    a.then = then_unlock;
    ASSERT_EQ(lock(&word), 0);
    start(&a);
    for (int i = 0; i < 5; i++) interrupt(&a);
    settle(&a);
    EXPECT_EQ(unlock(&word), 0);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(handled, 5);
}
TEST(signals_do_not_lengthen_a_timed_wait) {
    handle(SIGUSR1, 0);
    struct timespec at = from_now(CLOCK_REALTIME, 50);
    struct sleeper a = LOCKER(&word);
    a.timeout = &at;
    ASSERT_EQ(lock(&word), 0);
    start(&a);
    interrupt(&a);
    EXPECT_EQ(joined(&a), -1);
    EXPECT_EQ(a.error, ETIMEDOUT);
}

/* What the C library makes of it. */
static pthread_mutex_t mutex;
static long counter;
static void make_mutex(pthread_mutex_t *at, int type, int robust, int shared) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    ASSERT_EQ(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT), 0);
    pthread_mutexattr_settype(&attr, type);
    if (robust) pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (shared) pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    ASSERT_EQ(pthread_mutex_init(at, &attr), 0);
}
static void *incrementer(void *arg) {
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}
TEST_LIMIT(pthread_mutual_exclusion, 30) {
    pthread_t thread[4];
    make_mutex(&mutex, PTHREAD_MUTEX_NORMAL, 0, 0);
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, incrementer, NULL);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(counter, 8000);
}
static void *locks_in_vain(void *arg) {
    struct timespec at = from_now(CLOCK_REALTIME, 20), monotonic = from_now(CLOCK_MONOTONIC, 20);
    EXPECT_EQ(pthread_mutex_trylock(arg), EBUSY);
    EXPECT_EQ(pthread_mutex_timedlock(arg, &at), ETIMEDOUT);
    EXPECT_EQ(pthread_mutex_clocklock(arg, CLOCK_MONOTONIC, &monotonic), ETIMEDOUT);
    EXPECT_EQ(pthread_mutex_unlock(arg), EPERM);
    return NULL;
}
TEST(pthread_errors) {
    pthread_t thread;
    make_mutex(&mutex, PTHREAD_MUTEX_ERRORCHECK, 0, 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), EDEADLK);
    pthread_create(&thread, NULL, locks_in_vain, &mutex);
    pthread_join(thread, NULL);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), EPERM);
}
static void *lock_and_end(void *arg) {
    pthread_mutex_lock(arg);
    return NULL;
}
TEST(pthread_robust) {
    pthread_t thread;
    make_mutex(&mutex, PTHREAD_MUTEX_NORMAL, 1, 0);
    pthread_create(&thread, NULL, lock_and_end, &mutex);
    pthread_join(thread, NULL);
    EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    pthread_create(&thread, NULL, lock_and_end, &mutex);
    pthread_join(thread, NULL);
    EXPECT_EQ(pthread_mutex_trylock(&mutex), EOWNERDEAD);
    /* Not made consistent. */
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
}
static void *lock_and_be_told(void *arg) {
    long result = pthread_mutex_lock(arg);
    pthread_mutex_consistent(arg);
    pthread_mutex_unlock(arg);
    return (void *)result;
}
TEST(pthread_robust_between_processes) {
    pthread_mutex_t *at = (void *)shared_words();
    uint32_t *flag = (uint32_t *)at + 512;
    make_mutex(at, PTHREAD_MUTEX_NORMAL, 1, 1);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(at);
        store(flag, 1);
        while (load(flag) != 2) sched_yield();
        _exit(0);
    }
    while (load(flag) != 1) sched_yield();
    pthread_t thread;
    pthread_create(&thread, NULL, lock_and_be_told, at);
    until_locker((uint32_t *)at, 0);
    store(flag, 2);
    void *result;
    pthread_join(thread, &result);
    EXPECT_EQ((long)result, EOWNERDEAD);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(pthread_mutex_lock(at), 0);
}
TEST_LIMIT(pthread_between_processes, 30) {
    pthread_mutex_t *at = (void *)shared_words();
    uint32_t *sum = (uint32_t *)at + 512;
    make_mutex(at, PTHREAD_MUTEX_NORMAL, 0, 1);
    pid_t pid[3];
    for (int i = 0; i < 3; i++)
        if ((pid[i] = fork()) == 0) {
            for (int n = 0; n < 1000; n++) {
                pthread_mutex_lock(at);
                *(volatile uint32_t *)sum += 1;
                pthread_mutex_unlock(at);
            }
            _exit(0);
        }
    for (int i = 0; i < 3; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        EXPECT_EXITED(0, status);
    }
    EXPECT_EQ(*sum, 3000);
}
