/* Which words are one word: private, shared and file keys (futex(2)). */
#include "futex.h"
#include <semaphore.h>

static uint32_t word;

TEST(private_and_shared_of_private_memory) {
    struct sleeper a = WAITER(&word, PRIVATE), b = WAITER(&word, 0);
    start(&a);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 0);
    start(&b);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&b), 0);
}
TEST(private_and_shared_of_shared_memory) {
    uint32_t *page = shared_words();
    struct sleeper a = WAITER(page, PRIVATE);
    start(&a);
    EXPECT_EQ(futex(page, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(page, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
static uint32_t *map_file(int fd, off_t at, int how, int prot) {
    uint32_t *page = mmap(NULL, 4096, prot, how, fd, at);
    ASSERT_TRUE(page != MAP_FAILED);
    return page;
}
#define RW (PROT_READ | PROT_WRITE)
static void meets(uint32_t *waits, uint32_t *wakes, long expected) {
    struct sleeper a = {.op = FUTEX_WAIT, .word = waits, .value = *waits};
    start(&a);
    EXPECT_EQ(futex(wakes, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), expected);
    if (!expected) EXPECT_EQ(futex(waits, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(a_file_mapped_twice) {
    int fd = open("words", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 3 * 4096));
    uint32_t *a = map_file(fd, 0, MAP_SHARED, RW), *b = map_file(fd, 0, MAP_SHARED, RW);
    uint32_t *later = map_file(fd, 4096, MAP_SHARED, RW);
    meets(a + 3, b + 3, 1);
    meets(a + 3, b + 4, 0);
    meets(a + 3, later + 3, 0);
    uint32_t *both = mmap(NULL, 8192, RW, MAP_SHARED, fd, 0);
    meets(later + 3, both + 1024 + 3, 1);
}
TEST(a_file_opened_twice) {
    int fd = open("words", O_RDWR | O_CREAT, 0600), other = open("words", O_RDWR);
    ASSERT_OK(ftruncate(fd, 4096));
    ASSERT_OK(link("words", "name"));
    int third = open("name", O_RDWR);
    uint32_t *a = map_file(fd, 0, MAP_SHARED, RW);
    meets(a, map_file(other, 0, MAP_SHARED, RW), 1);
    meets(map_file(third, 0, MAP_SHARED, RW), a, 1);
}
TEST(two_files) {
    int fd = open("a", O_RDWR | O_CREAT, 0600), other = open("b", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 4096));
    ASSERT_OK(ftruncate(other, 4096));
    meets(map_file(fd, 0, MAP_SHARED, RW), map_file(other, 0, MAP_SHARED, RW), 0);
}
TEST(a_memfd) {
    int fd = memfd_create("words", 0), other = memfd_create("words", 0);
    ASSERT_OK(ftruncate(fd, 4096));
    ASSERT_OK(ftruncate(other, 4096));
    uint32_t *a = map_file(fd, 0, MAP_SHARED, RW);
    meets(a, map_file(fd, 0, MAP_SHARED, RW), 1);
    meets(a, map_file(other, 0, MAP_SHARED, RW), 0);
}
TEST(two_shared_anonymous_pages) { meets(shared_words(), shared_words(), 0); }
TEST(a_private_mapping_of_a_file) {
    int fd = open("words", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 4096));
    uint32_t *shared = map_file(fd, 0, MAP_SHARED, RW);
    /* Memory of its own, even before it is written to. */
    meets(map_file(fd, 0, MAP_PRIVATE, RW), shared, 0);
    /* What cannot be written to is the file's. */
    uint32_t *readonly = map_file(fd, 0, MAP_PRIVATE, PROT_READ);
    meets(readonly, shared, 1);
    meets(shared, readonly, 1);
    EXPECT_ERRNO(EFAULT, futex(readonly, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
}
TEST(readonly_memory) {
    uint32_t *both = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_EQ(futex(both, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    meets(both, both, 1);
    uint32_t *own = mmap(NULL, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *own = 5;
    ASSERT_OK(mprotect(own, 4096, PROT_READ));
    EXPECT_ERRNO(EFAULT, futex(own, FUTEX_WAKE, 1, NULL, NULL, 0));
    EXPECT_EQ(futex(own, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
}
TEST(beyond_the_end_of_a_file) {
    int fd = open("words", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 4096));
    uint32_t *pages = mmap(NULL, 8192, RW, MAP_SHARED, fd, 0);
    EXPECT_EQ(futex(pages + 1023, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    EXPECT_ERRNO(EFAULT, futex(pages + 1024, FUTEX_WAKE, 1, NULL, NULL, 0));
    EXPECT_EQ(futex(pages + 1024, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_ERRNO(EFAULT, futex(pages + 1024, FUTEX_WAIT | PRIVATE, 0, NULL, NULL, 0));
}
TEST(a_moved_mapping) {
    uint32_t *page = shared_words();
    /* The thread looks at its second word afterwards, which stays. */
    struct sleeper a = {.op = FUTEX_WAIT, .word = page, .word2 = &word};
    start(&a);
    uint32_t *moved = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == moved);
    EXPECT_EQ(futex(moved, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(the_stack) {
    uint32_t here = 0;
    meets(&here, &here, 1);
}

/* Processes. */
static pid_t child_waits(uint32_t *at, int flags) {
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec limit = {8, 0};
        _exit(futex(at, FUTEX_WAIT | flags, 0, &limit, NULL, 0) == 0 ? 0 : errno);
    }
    return pid;
}
static int status_of(pid_t pid) {
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}
TEST(shared_memory_after_fork) {
    uint32_t *page = shared_words();
    pid_t pid = child_waits(page, 0);
    until_waiters(page, 0, 1);
    EXPECT_EQ(futex(page, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    EXPECT_EXITED(0, status_of(pid));
}
TEST(private_keys_end_at_the_process) {
    uint32_t *page = shared_words();
    pid_t pid = child_waits(page, PRIVATE);
    until_asleep(pid, pid);
    EXPECT_EQ(futex(page, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(page, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    kill(pid, SIGKILL);
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
}
TEST(private_memory_after_fork) {
    pid_t pid = child_waits(&word, 0);
    until_asleep(pid, pid);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    kill(pid, SIGKILL);
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
}
TEST(a_file_in_two_processes) {
    int fd = open("words", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 8192));
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec limit = {8, 0};
        int own = open("words", O_RDWR);
        uint32_t *pages = mmap(NULL, 8192, RW, MAP_SHARED, own, 0);
        _exit(futex(pages + 1024 + 7, FUTEX_WAIT, 0, &limit, NULL, 0) == 0 ? 0 : errno);
    }
    uint32_t *page = map_file(fd, 4096, MAP_SHARED, RW);
    until_waiters(page + 7, 0, 1);
    EXPECT_EQ(futex(page + 7, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    EXPECT_EXITED(0, status_of(pid));
}
TEST(threads_share_private_keys_with_vfork_children) {
    struct sleeper a = WAITER(&word, PRIVATE);
    start(&a);
    pid_t pid = vfork();
    if (pid == 0) _exit((int)futex(&word, FUTEX_WAKE | PRIVATE, 9, NULL, NULL, 0));
    int status = status_of(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) futex(&word, FUTEX_WAKE | PRIVATE, 9, NULL, NULL, 0);
    EXPECT_EXITED(1, status);
    EXPECT_EQ(joined(&a), 0);
}

/* What the C library builds on it, between processes. */
struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    pthread_rwlock_t rwlock;
    pthread_barrier_t barrier;
    sem_t empty, full;
    volatile int value, readers, most_readers, serial, slot, sum;
};
static struct shared *make_shared(int processes) {
    struct shared *s = (void *)shared_words();
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;
    pthread_rwlockattr_t rwlock;
    pthread_barrierattr_t barrier;
    pthread_mutexattr_init(&mutex), pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_condattr_init(&condition), pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
    pthread_rwlockattr_init(&rwlock), pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
    pthread_barrierattr_init(&barrier), pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
    ASSERT_EQ(pthread_mutex_init(&s->mutex, &mutex), 0);
    ASSERT_EQ(pthread_cond_init(&s->condition, &condition), 0);
    ASSERT_EQ(pthread_rwlock_init(&s->rwlock, &rwlock), 0);
    ASSERT_EQ(pthread_barrier_init(&s->barrier, &barrier, processes), 0);
    ASSERT_OK(sem_init(&s->empty, 1, 1));
    ASSERT_OK(sem_init(&s->full, 1, 0));
    return s;
}
static void in_processes(struct shared *s, int count, void (*body)(struct shared *, int)) {
    pid_t pid[8];
    for (int i = 0; i < count; i++)
        if ((pid[i] = fork()) == 0) {
            check_failures = 0;
            body(s, i);
            _exit(check_failures ? 1 : 0);
        }
    for (int i = 0; i < count; i++) EXPECT_EXITED(0, status_of(pid[i]));
}
static void take_turns(struct shared *s, int who) {
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&s->mutex);
        while (s->value % 3 != who) pthread_cond_wait(&s->condition, &s->mutex);
        s->value++;
        pthread_cond_broadcast(&s->condition);
        pthread_mutex_unlock(&s->mutex);
    }
}
TEST_LIMIT(pthread_mutex_and_condition_between_processes, 30) {
    struct shared *s = make_shared(3);
    in_processes(s, 3, take_turns);
    EXPECT_EQ(s->value, 150);
}
static void read_and_write(struct shared *s, int who) {
    for (int i = 0; i < 200; i++) {
        if ((i + who) % 4 == 0) {
            pthread_rwlock_wrlock(&s->rwlock);
            if (s->readers) FAIL("a reader beside the writer");
            int seen = s->value;
            sched_yield();
            s->value = seen + 1;
            pthread_rwlock_unlock(&s->rwlock);
        } else {
            pthread_rwlock_rdlock(&s->rwlock);
            __atomic_fetch_add(&s->readers, 1, __ATOMIC_SEQ_CST);
            sched_yield();
            __atomic_fetch_sub(&s->readers, 1, __ATOMIC_SEQ_CST);
            pthread_rwlock_unlock(&s->rwlock);
        }
    }
}
TEST_LIMIT(pthread_rwlock_between_processes, 30) {
    struct shared *s = make_shared(4);
    in_processes(s, 4, read_and_write);
    EXPECT_EQ(s->value, 200);
}
static void meet(struct shared *s, int who) {
    (void)who;
    for (int i = 0; i < 30; i++) {
        int expected = s->serial;
        int result = pthread_barrier_wait(&s->barrier);
        if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
            if (s->serial != expected) FAIL("two were last");
            s->serial++;
        } else if (result) {
            FAIL("barrier: %d", result);
        }
        pthread_barrier_wait(&s->barrier);
    }
}
TEST_LIMIT(pthread_barrier_between_processes, 30) {
    struct shared *s = make_shared(3);
    in_processes(s, 3, meet);
    EXPECT_EQ(s->serial, 30);
}
static void pass_slots(struct shared *s, int who) {
    for (int i = 1; i <= 300; i++) {
        if (who == 0) {
            sem_wait(&s->empty);
            s->slot = i;
            sem_post(&s->full);
        } else {
            sem_wait(&s->full);
            s->sum += s->slot;
            sem_post(&s->empty);
        }
    }
}
TEST_LIMIT(semaphores_between_processes, 30) {
    struct shared *s = make_shared(2);
    in_processes(s, 2, pass_slots);
    EXPECT_EQ(s->sum, 300 * 301 / 2);
}

/* And within one. */
static struct shared own;
static void *reader_or_writer(void *arg) {
    read_and_write(&own, (int)(long)arg);
    return NULL;
}
static void *member(void *arg) {
    meet(&own, 0);
    return arg;
}
TEST_LIMIT(pthread_rwlock_and_barrier_of_threads, 30) {
    pthread_t thread[4];
    pthread_rwlock_init(&own.rwlock, NULL);
    pthread_barrier_init(&own.barrier, NULL, 4);
    for (long i = 0; i < 4; i++) pthread_create(&thread[i], NULL, reader_or_writer, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(own.value, 200);
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, member, NULL);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(own.serial, 30);
}
static void *gives(void *arg) {
    for (int i = 0; i < 500; i++) sem_post(arg);
    return NULL;
}
TEST_LIMIT(semaphores_of_threads, 30) {
    pthread_t thread[2];
    struct timespec at = from_now(CLOCK_REALTIME, 10);
    sem_init(&own.full, 0, 0);
    EXPECT_ERRNO(ETIMEDOUT, sem_timedwait(&own.full, &at));
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, gives, &own.full);
    for (int i = 0; i < 1000; i++) EXPECT_OK(sem_wait(&own.full));
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    EXPECT_ERRNO(EAGAIN, sem_trywait(&own.full));
}
