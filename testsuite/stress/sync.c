/* What threads synchronise with, as C libraries make it of futexes: cancellation
 * in and out of blocking calls, barriers, locks for readers and writers,
 * condition variables and a bounded queue. Built with glibc and with musl. */
#include "stress.h"
#include <semaphore.h>

enum { THREADS = 6 };

static int is_stopped;

/* Barriers: nobody runs ahead by more than a turn, one is told of each turn. */
static pthread_barrier_t barrier;
static long turns[THREADS], serial;

static void *at_barrier(void *arg) {
    long me = (long)arg;
    for (long i = 0; i < stress_rounds; i++) {
        ADD(turns[me], 1);
        int r = pthread_barrier_wait(&barrier);
        if (r == PTHREAD_BARRIER_SERIAL_THREAD) ADD(serial, 1);
        else MUST(r == 0);
        for (int n = 0; n < THREADS; n++) {
            long turn = GET(turns[n]);
            if (turn < i + 1 || turn > i + 2) lost("turn %ld beside turn %ld", turn, i + 1);
        }
    }
    return NULL;
}

/* Readers and writers: what a writer leaves half done nobody sees. */
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile long pair[2], reads, writes;

static void *reader_or_writer(void *arg) {
    uint64_t random = dice_of(100 + (long)arg);
    for (long i = 0; i < stress_rounds * 2; i++) {
        uint64_t r = dice(&random);
        if (r % 4 == 0) {
            MUST(pthread_rwlock_wrlock(&rwlock) == 0);
            pair[0]++;
            spin(r >> 40 & 63);
            pair[1]++;
            writes++;
            MUST(pthread_rwlock_unlock(&rwlock) == 0);
        } else {
            if (r % 4 == 1) {
                while (pthread_rwlock_tryrdlock(&rwlock) != 0) sched_yield();
            } else {
                MUST(pthread_rwlock_rdlock(&rwlock) == 0);
            }
            if (pair[0] != pair[1]) lost("half a write: %ld, %ld", pair[0], pair[1]);
            ADD(reads, 1);
            MUST(pthread_rwlock_unlock(&rwlock) == 0);
        }
    }
    return NULL;
}

/* A bounded queue with two conditions. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_filled = PTHREAD_COND_INITIALIZER, is_emptied = PTHREAD_COND_INITIALIZER;
static volatile long queue[4], used, put_sum, got_sum, got_count;

static void *producer(void *arg) {
    uint64_t random = dice_of(200 + (long)arg);
    for (long i = 0; i < stress_rounds * 3; i++) {
        long value = dice(&random) & 0xffff;
        pthread_mutex_lock(&mutex);
        while (used == 4) pthread_cond_wait(&is_emptied, &mutex);
        queue[used++] = value;
        put_sum += value;
        pthread_mutex_unlock(&mutex);
        pthread_cond_signal(&is_filled);
    }
    return NULL;
}

static void *consumer(void *arg) {
    uint64_t random = dice_of(300 + (long)arg);
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (used == 0 && !is_stopped) {
            /* Some with a limit: the time-out races with the signal. */
            if (dice(&random) & 1) {
                struct timespec at;
                clock_gettime(CLOCK_REALTIME, &at);
                at.tv_nsec += dice(&random) % 200000;
                if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
                int error = pthread_cond_timedwait(&is_filled, &mutex, &at);
                if (error && error != ETIMEDOUT) lost("pthread_cond_timedwait: %d", error);
                /* One that was told as it gave up must not keep it to itself. */
                if (error && used) pthread_cond_signal(&is_filled);
            } else {
                pthread_cond_wait(&is_filled, &mutex);
            }
        }
        if (used == 0) break;
        got_sum += queue[--used];
        got_count++;
        pthread_mutex_unlock(&mutex);
        pthread_cond_signal(&is_emptied);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* Cancellation: of threads that block in each kind of call, at any point of
 * their way in and out. Every one ends, its clean-up ran once, and what a
 * blocking call got before the cancellation is not lost. */
static int cleanups, ends[2], in_call;
static sem_t semaphore;
static pthread_mutex_t cancel_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

static void clean_up(void *arg) {
    if (arg) pthread_mutex_unlock(arg);
    ADD(cleanups, 1);
}

static void *cancelled(void *arg) {
    long kind = (long)arg;
    char byte;
    int old;
    if (kind == 3) pthread_mutex_lock(&cancel_mutex);
    pthread_cleanup_push(clean_up, kind == 3 ? &cancel_mutex : NULL);
    SET(in_call, 1);
    for (;;) {
        switch (kind) {
        case 0: if (read(ends[0], &byte, 1) == 1) lost("a byte from nowhere"); break;
        case 1: sem_wait(&semaphore); break;
        case 2: pause(); break;
        case 3: pthread_cond_wait(&never, &cancel_mutex); break;
        case 4: usleep(1000000); break;
        default:
            pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
            spin(200);
            pthread_setcancelstate(old, &old);
            pthread_testcancel();
        }
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancellation(void) {
    uint64_t random = dice_of(7);
    MUST(pipe(ends) == 0);
    MUST(sem_init(&semaphore, 0, 0) == 0);
    for (long i = 0; i < stress_rounds / 2; i++) {
        long kind = i % 6;
        SET(in_call, 0);
        pthread_t thread = thread_of(cancelled, (void *)kind);
        while (!GET(in_call)) sched_yield();
        spin(dice(&random) % 3000);
        MUST(pthread_cancel(thread) == 0);
        void *result = NULL;
        MUST(pthread_join(thread, &result) == 0);
        if (result != PTHREAD_CANCELED) lost("a cancelled thread ended by itself");
        if (GET(cleanups) != i + 1) lost("%d clean-ups of %ld", GET(cleanups), i + 1);
    }
    close(ends[0]);
    close(ends[1]);
}

static void all(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++) threads[i] = thread_of(body, (void *)i);
    for (int i = 0; i < THREADS; i++) MUST(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, 600);
    MUST(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    all(at_barrier);
    if (serial != stress_rounds) lost("%ld serial threads in %ld turns", serial, stress_rounds);
    all(reader_or_writer);
    if (pair[0] != writes) lost("%ld writes, %ld counted", pair[0], writes);

    pthread_t consumers[THREADS / 2];
    for (long i = 0; i < THREADS / 2; i++) consumers[i] = thread_of(consumer, (void *)i);
    all(producer);
    pthread_mutex_lock(&mutex);
    is_stopped = 1;
    pthread_mutex_unlock(&mutex);
    pthread_cond_broadcast(&is_filled);
    for (int i = 0; i < THREADS / 2; i++) pthread_join(consumers[i], NULL);
    if (put_sum != got_sum || got_count != stress_rounds * 3 * THREADS)
        lost("%ld items of %ld, sum %ld of %ld", got_count, stress_rounds * 3 * THREADS, got_sum, put_sum);

    cancellation();
    nothing_is_left();
    printf("sync: %ld turns at a barrier, %ld reads, %ld writes, %ld items, %d cancellations\n",
           stress_rounds, reads, writes, got_count, cleanups);
    return 0;
}
