/* Requeue and priority inheritance. Plain requeues: of the waiters that a round
 * has, each was woken, moved and woken later, or had come too late to wait; the
 * kernel's counts say so exactly. Locks of FUTEX_LOCK_PI: a counter under them
 * loses no step, though signals interrupt. Condition variables made of
 * FUTEX_WAIT_REQUEUE_PI: every token is taken once, and nobody sleeps on. */
#include "stress.h"

enum { WAITERS = 8, TAKERS = 6, LOCKERS = 6 };

/* Plain requeues. */

static uint32_t here, there, arrived, returned, late;
static int private_flag;

static void *waiter(void *arg) {
    (void)arg;
    for (long round = 0; round < stress_rounds; round++) {
        ADD(arrived, 1);
        int is_first = 1;
        while (GET(here) == (uint32_t)round) {
            long r = futex(&here, OP_WAIT | private_flag, round, 0, NULL, 0);
            if (r == -1 && errno == EAGAIN && is_first) ADD(late, 1);
            else if (r == -1 && errno != EAGAIN) lost("FUTEX_WAIT");
            is_first = 0;
            /* Once woken nothing is to wait for: the word changed before. */
            if (r == 0 && GET(here) == (uint32_t)round) lost("woken before the round's end");
            if (r == 0) is_first = 2;
        }
        if (is_first == 1) ADD(late, 1);
        ADD(returned, 1);
        /* The next round begins when this one is over for all. */
        while (GET(returned) != 0) sched_yield();
    }
    return NULL;
}

static void plain_requeues(void) {
    uint64_t random = dice_of(1);
    pthread_t threads[WAITERS];
    here = there = arrived = returned = late = 0;
    for (int i = 0; i < WAITERS; i++) threads[i] = thread_of(waiter, NULL);
    for (long round = 0; round < stress_rounds; round++) {
        while (GET(arrived) != WAITERS) sched_yield();
        SET(arrived, 0);
        spin(dice(&random) % 4000);
        uint32_t wake = dice(&random) % 3, move = dice(&random) % (WAITERS + 1);
        SET(here, (uint32_t)round + 1);
        long counted = futex(&here, OP_CMP_REQUEUE | private_flag, wake, move, &there, round + 1);
        if (counted < 0 || counted > wake + move) lost("FUTEX_CMP_REQUEUE gave %ld", counted);
        /* What it left, woken and moved together, and no more than there were. */
        long rest = futex(&here, OP_WAKE | private_flag, INT32_MAX, 0, NULL, 0);
        long moved = futex(&there, OP_WAKE | private_flag, INT32_MAX, 0, NULL, 0);
        if (rest < 0 || moved < 0 || moved > counted) lost("FUTEX_WAKE: %ld, %ld of %ld", rest, moved, counted);
        while (GET(returned) != WAITERS) sched_yield();
        if (counted + rest + GET(late) != WAITERS)
            lost("%ld requeued, %ld woken, %u late, of %d", counted, rest, GET(late), WAITERS);
        SET(late, 0);
        SET(returned, 0);
    }
    for (int i = 0; i < WAITERS; i++) pthread_join(threads[i], NULL);
}

/* Locks that inherit priority, by hand. */

static void lock_pi(uint32_t *word) {
    uint32_t free = 0, me = own_tid();
    if (__atomic_compare_exchange_n(word, &free, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    while (futex(word, OP_LOCK_PI | private_flag, 0, 0, NULL, 0) == -1)
        if (errno != EAGAIN && errno != EINTR) lost("FUTEX_LOCK_PI");
    if ((GET(*word) & WORD_TID) != me) lost("locked, and the owner is %#x", GET(*word));
}

static void unlock_pi(uint32_t *word) {
    uint32_t me = own_tid();
    if (__atomic_compare_exchange_n(word, &me, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) return;
    MUST(futex(word, OP_UNLOCK_PI | private_flag, 0, 0, NULL, 0) == 0);
}

static uint32_t lock;
static volatile long counter, locked_by_hand;
static pid_t tids[LOCKERS];
static int lockers_busy;
static pthread_mutex_t inheriting;

static void *locker(void *arg) {
    long me = (long)arg;
    uint64_t random = dice_of(10 + me);
    SET(tids[me], own_tid());
    for (long i = 0; i < stress_rounds * 4; i++) {
        int by_hand = dice(&random) & 1;
        if (by_hand) {
            lock_pi(&lock);
            long seen = counter;
            spin(dice(&random) % 60);
            counter = seen + 1;
            unlock_pi(&lock);
            ADD(locked_by_hand, 1);
        } else {
            struct timespec far;
            clock_gettime(CLOCK_REALTIME, &far);
            far.tv_sec += 1000;
            int how = dice(&random) % 3, got = 0;
            if (how == 1 && pthread_mutex_trylock(&inheriting) == 0) got = 1;
            if (!got && how == 2) MUST(pthread_mutex_timedlock(&inheriting, &far) == 0);
            else if (!got) MUST(pthread_mutex_lock(&inheriting) == 0);
            lock_pi(&lock);
            counter++;
            unlock_pi(&lock);
            MUST(pthread_mutex_unlock(&inheriting) == 0);
        }
    }
    ADD(lockers_busy, -1);
    return NULL;
}

static void do_nothing(int sig) { (void)sig; }

static void locks(void) {
    uint64_t random = dice_of(2);
    pthread_t threads[LOCKERS];
    struct sigaction hit = {.sa_handler = do_nothing};
    sigaction(SIGUSR1, &hit, NULL);
    lock = 0;
    counter = 0;
    SET(lockers_busy, LOCKERS);
    for (long i = 0; i < LOCKERS; i++) threads[i] = thread_of(locker, (void *)i);
    while (GET(lockers_busy) > 0) {
        pid_t tid = GET(tids[dice(&random) % LOCKERS]);
        if (tid) syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
        usleep(200);
    }
    for (int i = 0; i < LOCKERS; i++) pthread_join(threads[i], NULL);
    if (counter != stress_rounds * 4 * LOCKERS) lost("%ld steps of %ld", counter, stress_rounds * 4 * LOCKERS);
    if (lock != 0) lost("the lock is left with %#x", lock);
    memset(tids, 0, sizeof tids);
}

/* A condition variable whose waiters are requeued to the lock. */

static uint32_t sequence;
/* volatile: the compiler may think that no call in between changes them. */
static volatile long tokens, taken, waits, is_over;

static void *taker(void *arg) {
    (void)arg;
    for (;;) {
        lock_pi(&lock);
        while (tokens == 0 && !is_over) {
            uint32_t seen = GET(sequence);
            unlock_pi(&lock);
            ADD(waits, 1);
            long r = futex(&sequence, OP_WAIT_REQUEUE_PI | private_flag, seen, 0, &lock, 0);
            if (r == -1) {
                if (errno != EAGAIN && errno != EINTR) lost("FUTEX_WAIT_REQUEUE_PI");
                lock_pi(&lock);
            } else if ((GET(lock) & WORD_TID) != (uint32_t)own_tid()) {
                lost("woken as owner, and the owner is %#x", GET(lock));
            }
        }
        if (tokens == 0) break;
        tokens--;
        taken++;
        unlock_pi(&lock);
    }
    unlock_pi(&lock);
    return NULL;
}

static void signal_takers(uint64_t how) {
    uint32_t now = ADD(sequence, 1) + 1;
    long r = futex(&sequence, OP_CMP_REQUEUE_PI | private_flag, 1, how, &lock, now);
    if (r == -1 && errno != EAGAIN) lost("FUTEX_CMP_REQUEUE_PI");
}

static void conditions(void) {
    uint64_t random = dice_of(3);
    pthread_t threads[TAKERS];
    long given = 0, all = stress_rounds * 8;
    tokens = taken = is_over = 0;
    for (int i = 0; i < TAKERS; i++) threads[i] = thread_of(taker, NULL);
    while (given < all) {
        long some = 1 + dice(&random) % 3;
        lock_pi(&lock);
        tokens += some;
        given += some;
        /* With as many tokens as takers wait at most: all of them are moved. */
        signal_takers(some == 1 ? 0 : INT32_MAX);
        unlock_pi(&lock);
        spin(dice(&random) % 2000);
    }
    lock_pi(&lock);
    is_over = 1;
    signal_takers(INT32_MAX);
    unlock_pi(&lock);
    for (int i = 0; i < TAKERS; i++) pthread_join(threads[i], NULL);
    if (taken != given) lost("%ld tokens, %ld taken", given, taken);
    if (lock != 0) lost("the lock is left with %#x", lock);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, 300);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    MUST(pthread_mutex_init(&inheriting, &attr) == 0);
    for (int turn = 0; turn < 2; turn++) {
        private_flag = turn ? OP_PRIVATE : 0;
        plain_requeues();
        locks();
        conditions();
    }
    nothing_is_left();
    printf("requeue: %ld rounds of requeues, %ld steps under locks (%ld by hand), %ld tokens, %ld waits for them\n",
           2 * stress_rounds, counter * 2, locked_by_hand, taken * 2, waits);
    return 0;
}
