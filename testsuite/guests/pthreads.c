/* Mutexes of all kinds, condition variables, read-write locks, barriers,
 * cancellation with clean-up handlers, thread-specific data, once, semaphores.
 * Prints the same on every machine. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS 6
#define MUST(call)                                                     \
    do {                                                               \
        int must_ = (call);                                            \
        if (must_) {                                                   \
            printf("line %d: %s: %s\n", __LINE__, #call, strerror(must_)); \
            exit(1);                                                   \
        }                                                              \
    } while (0)

static void run(void *(*body)(void *), const char *name, long expected, long *value) {
    pthread_t ids[THREADS];
    for (long i = 0; i < THREADS; i++) MUST(pthread_create(&ids[i], NULL, body, (void *)i));
    for (int i = 0; i < THREADS; i++) MUST(pthread_join(ids[i], NULL));
    printf("%s %s\n", name, *value == expected ? "exact" : "WRONG");
}

static long counter;
static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER, recursive;
static void *use_mutex(void *arg) {
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_t *m = i & 1 ? &plain : &recursive;
        MUST(pthread_mutex_lock(&plain));
        if (m == &recursive) {
            MUST(pthread_mutex_lock(m));
            MUST(pthread_mutex_lock(m));
            MUST(pthread_mutex_unlock(m));
            MUST(pthread_mutex_unlock(m));
        }
        counter++;
        MUST(pthread_mutex_unlock(&plain));
    }
    return arg;
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long turn, turns;
static void *use_cond(void *arg) {
    for (int i = 0; i < 100; i++) {
        MUST(pthread_mutex_lock(&plain));
        while (turn != (long)arg) MUST(pthread_cond_wait(&cond, &plain));
        turn = (turn + 1) % THREADS;
        turns++;
        MUST(pthread_cond_broadcast(&cond));
        MUST(pthread_mutex_unlock(&plain));
    }
    return arg;
}

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static long left, right, torn, written;
static void *use_rwlock(void *arg) {
    for (int i = 0; i < 1000; i++)
        if ((i + (long)arg) % 4 == 0) {
            MUST(pthread_rwlock_wrlock(&rw));
            left++;
            written++;
            right++;
            MUST(pthread_rwlock_unlock(&rw));
        } else {
            MUST(pthread_rwlock_rdlock(&rw));
            if (left != right) __atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
            MUST(pthread_rwlock_unlock(&rw));
        }
    return arg;
}

static pthread_barrier_t barrier;
static long arrived[100], serial, early;
static void *use_barrier(void *arg) {
    for (int i = 0; i < 100; i++) {
        __atomic_fetch_add(&arrived[i], 1, __ATOMIC_SEQ_CST);
        int r = pthread_barrier_wait(&barrier);
        if (r == PTHREAD_BARRIER_SERIAL_THREAD) __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED);
        if (__atomic_load_n(&arrived[i], __ATOMIC_SEQ_CST) != THREADS) early++;
    }
    return arg;
}

static long cleaned;
static void clean(void *arg) { __atomic_fetch_add(&cleaned, (long)arg, __ATOMIC_SEQ_CST); }
static sem_t ready, cancelled;
static int never[2];
static void *wait_in_read(void *arg) {
    char c;
    pthread_cleanup_push(clean, (void *)1);
    sem_post(&ready);
    if (read(never[0], &c, 1) >= 0) printf("read came back\n");
    pthread_cleanup_pop(0);
    return arg;
}
static void release(void *mutex) { pthread_mutex_unlock(mutex); }
static void *wait_in_cond(void *arg) {
    static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
    pthread_cleanup_push(clean, (void *)10);
    MUST(pthread_mutex_lock(&m));
    pthread_cleanup_push(release, &m);
    sem_post(&ready);
    for (;;) pthread_cond_wait(&c, &m);
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(0);
    return arg;
}
static void *spin(void *arg) {
    int old;
    pthread_cleanup_push(clean, (void *)100);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    sem_post(&ready);
    for (volatile unsigned long n = 0;; n++) {}
    pthread_cleanup_pop(0);
    return arg;
}
static void *refuse(void *arg) {
    int old;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    sem_post(&ready);
    while (sem_wait(&cancelled)) {}
    pthread_cleanup_push(clean, (void *)1000);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    pthread_testcancel();
    printf("survived\n");
    pthread_cleanup_pop(0);
    return arg;
}

static pthread_key_t key;
static long destroyed;
static void destroy(void *value) { __atomic_fetch_add(&destroyed, (long)value, __ATOMIC_SEQ_CST); }
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long once_runs;
static void first(void) { once_runs++; }
static void *use_key(void *arg) {
    MUST(pthread_once(&once, first));
    MUST(pthread_setspecific(key, (void *)((long)arg + 1)));
    return arg;
}

int main(void) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    MUST(pthread_mutex_init(&recursive, &attr));
    run(use_mutex, "mutex", THREADS * 5000, &counter);
    run(use_cond, "condvar", THREADS * 100, &turns);
    run(use_rwlock, "rwlock", THREADS * 250, &written);
    printf("torn reads %ld\n", torn);
    MUST(pthread_barrier_init(&barrier, NULL, THREADS));
    run(use_barrier, "barrier", 100, &serial);
    printf("early %ld\n", early);

    MUST(pipe(never));
    sem_init(&ready, 0, 0);
    sem_init(&cancelled, 0, 0);
    void *(*bodies[])(void *) = {wait_in_read, wait_in_cond, spin, refuse};
    pthread_t ids[4];
    for (int i = 0; i < 4; i++) MUST(pthread_create(&ids[i], NULL, bodies[i], NULL));
    for (int i = 0; i < 4; i++)
        while (sem_wait(&ready)) {}
    for (int i = 0; i < 4; i++) MUST(pthread_cancel(ids[i]));
    sem_post(&cancelled);
    for (int i = 0; i < 4; i++) {
        void *result;
        MUST(pthread_join(ids[i], &result));
        printf("cancelled %d\n", result == PTHREAD_CANCELED);
    }
    printf("cleaned %ld\n", cleaned);

    MUST(pthread_key_create(&key, destroy));
    run(use_key, "once", 1, &once_runs);
    printf("destroyed %ld\n", destroyed);

    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t checked;
    MUST(pthread_mutex_init(&checked, &attr));
    MUST(pthread_mutex_lock(&checked));
    printf("relock %d\n", pthread_mutex_lock(&checked) == EDEADLK);
    printf("trylock %d\n", pthread_mutex_trylock(&checked) == EBUSY);
    printf("unlock %d\n", pthread_mutex_unlock(&checked));
    printf("unlock again %d\n", pthread_mutex_unlock(&checked) == EPERM);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 5000000;
    if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
    MUST(pthread_mutex_lock(&plain));
    printf("timed wait %d\n", pthread_cond_timedwait(&cond, &plain, &soon) == ETIMEDOUT);
    MUST(pthread_mutex_unlock(&plain));
    return 0;
}
