/* System calls on memory that a fork left shared until it is touched: the kernel
 * reads it and writes it as the program itself would, and calls that change
 * mappings find the memory as it was. */
#include "cow.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/uio.h>

/* Runs the rest of the test in parent and child, both with nothing touched. */
#define IN_BOTH(pid) pid_t pid = fork_child()
#define END_BOTH(pid)                                                        \
    do {                                                                     \
        if (pid == 0) END_CHILD();                                           \
        EXPECT_CHILD_FINE(pid);                                              \
    } while (0)

TEST(read_and_write) {
    char *p = region(PAGES);
    int fd[2];
    IN_BOTH(pid);
    ASSERT_OK(pipe(fd));
    for (int i = 0; i < PAGES; i += 16) {
        ASSERT_EQ(write(fd[1], (char *)first(p, i), 16), 16);
        uint64_t got[2] = {0};
        ASSERT_EQ(read(fd[0], got, 16), 16);
        EXPECT_EQ(got[0], word_of(i));
        got[0] = 5;
        ASSERT_EQ(write(fd[1], got, 16), 16);
        ASSERT_EQ(read(fd[0], (char *)first(p, i + 1), 16), 16);
        EXPECT_EQ(*first(p, i + 1), 5);
        EXPECT_EQ(*last(p, i + 1), ~word_of(i + 1));
    }
    END_BOTH(pid);
}

TEST(long_transfers_over_many_pages) {
    char *p = region(PAGES);
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_OK(fd);
    pid_t pid = fork_child();
    if (pid == 0) {
        EXPECT_EQ(write(fd, p + 100, (PAGES - 1) * PAGE), (PAGES - 1) * PAGE);
        END_CHILD();
    }
    EXPECT_CHILD_FINE(pid);
    pid = fork_child();
    EXPECT_EQ(pread(fd, p, (PAGES - 1) * PAGE, 0), (PAGES - 1) * PAGE);
    for (int i = 1; i < PAGES - 1; i++) {
        uint64_t word;
        memcpy(&word, p + i * PAGE - 100, 8);
        EXPECT_EQ(word, word_of(i));
    }
    EXPECT_TRUE(is_filled(p, PAGES - 1));
    END_BOTH(pid);
}

TEST(readv_and_writev) {
    char *p = region(PAGES);
    int fd[2];
    IN_BOTH(pid);
    ASSERT_OK(pipe(fd));
    struct iovec *parts = (struct iovec *)(p + 500 * PAGE);
    for (int i = 0; i < 8; i++) parts[i] = (struct iovec){p + i * 20 * PAGE + PAGE - 8, 16};
    EXPECT_EQ(writev(fd[1], parts, 8), 128);
    uint64_t got[16];
    ASSERT_EQ(read(fd[0], got, 128), 128);
    for (int i = 0; i < 8; i++) {
        EXPECT_EQ(got[2 * i], ~word_of(i * 20));
        EXPECT_EQ(got[2 * i + 1], word_of(i * 20 + 1));
    }
    for (int i = 0; i < 8; i++) parts[i].iov_base = p + (300 + i * 20) * PAGE + PAGE - 8;
    ASSERT_EQ(write(fd[1], got, 128), 128);
    EXPECT_EQ(readv(fd[0], parts, 8), 128);
    for (int i = 0; i < 8; i++) {
        EXPECT_EQ(*last(p, 300 + i * 20), ~word_of(i * 20));
        EXPECT_EQ(*first(p, 301 + i * 20), word_of(i * 20 + 1));
        EXPECT_EQ(*first(p, 300 + i * 20), word_of(300 + i * 20));
    }
    END_BOTH(pid);
}

TEST(transfers_that_end_where_memory_ends) {
    char *p = region(PAGES);
    ASSERT_OK(munmap(p + (PAGES - 1) * PAGE, PAGE));
    ASSERT_OK(mprotect(p + 400 * PAGE, PAGE, PROT_NONE));
    IN_BOTH(pid);
    int fd = open(pid ? "parent" : "child", O_CREAT | O_RDWR, 0600);
    ASSERT_OK(fd);
    EXPECT_EQ(write(fd, p + 399 * PAGE + 4000, 200), 96);
    EXPECT_ERRNO(EFAULT, write(fd, p + 400 * PAGE, 10));
    EXPECT_EQ(write(fd, p + (PAGES - 1) * PAGE - 8, 100), 8);
    uint64_t got[13];
    EXPECT_EQ(pread(fd, got, sizeof got, 0), 104);
    EXPECT_EQ(got[11], ~word_of(399));
    EXPECT_EQ(got[12], ~word_of(PAGES - 2));
    /* A read stops there too. */
    EXPECT_EQ(pread(fd, p + 700 * PAGE + PAGE - 8, 96, 0), 96);
    EXPECT_EQ(pread(fd, p + (PAGES - 1) * PAGE - 8, 96, 0), 8);
    EXPECT_ERRNO(EFAULT, pread(fd, p + 400 * PAGE, 8, 0));
    EXPECT_EQ(*first(p, 700), word_of(700));
    END_BOTH(pid);
}

TEST(names_and_structures) {
    char *p = region(PAGES);
    memcpy(p + 6 * PAGE - 3, "a-name", 7);
    IN_BOTH(pid);
    int fd = open(p + 6 * PAGE - 3, O_CREAT | O_RDWR, 0600);
    EXPECT_OK(fd);
    struct stat *st = (struct stat *)(p + 20 * PAGE - 40);
    EXPECT_OK(fstat(fd, st));
    EXPECT_TRUE(S_ISREG(st->st_mode));
    EXPECT_EQ(st->st_size, 0);
    EXPECT_OK(stat(p + 6 * PAGE - 3, st));
    EXPECT_TRUE(getcwd(p + 30 * PAGE - 4, PAGE) != NULL);
    EXPECT_EQ(p[30 * PAGE - 4], '/');
    EXPECT_EQ(*first(p, 31), word_of(31));
    END_BOTH(pid);
}

TEST(ioctl_getrandom_and_clocks) {
    char *p = region(PAGES);
    int fd[2];
    IN_BOTH(pid);
    ASSERT_OK(pipe(fd));
    ASSERT_EQ(write(fd[1], "12345", 5), 5);
    EXPECT_OK(ioctl(fd[0], FIONREAD, (int *)first(p, 10)));
    EXPECT_EQ(*(int *)first(p, 10), 5);
    EXPECT_EQ(syscall(SYS_getrandom, p + 21 * PAGE - 128, 256, 0), 256);
    EXPECT_TRUE(*first(p, 21) != word_of(21));
    EXPECT_TRUE(*last(p, 20) != ~word_of(20));
    EXPECT_EQ(*first(p, 20), word_of(20));
    struct timespec *t = (struct timespec *)(p + 31 * PAGE - 8);
    EXPECT_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, t));
    EXPECT_TRUE(t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
    EXPECT_OK(clock_gettime(CLOCK_REALTIME, (struct timespec *)first(p, 40)));
    EXPECT_TRUE(((struct timespec *)first(p, 40))->tv_sec > 1000000000);
    struct pollfd *polled = (struct pollfd *)(p + 51 * PAGE - 4);
    polled->fd = fd[0];
    polled->events = POLLIN;
    EXPECT_EQ(poll(polled, 1, 0), 1);
    EXPECT_EQ(polled->revents, POLLIN);
    END_BOTH(pid);
}

static long futex(volatile void *at, int op, uint32_t value, const void *timeout, volatile void *other, uint32_t third) {
    return syscall(SYS_futex, at, op, value, timeout, other, third);
}

static volatile uint32_t *bell;
static void *ring(void *unused) {
    __atomic_store_n(bell, 1, __ATOMIC_SEQ_CST);
    while (futex(bell, FUTEX_WAKE, 1, NULL, NULL, 0) != 1) sched_yield();
    return unused;
}

TEST(futex_words) {
    char *p = region(PAGES);
    for (int i = 0; i < PAGES; i++) *(volatile uint32_t *)first(p, i) = 0;
    IN_BOTH(pid);
    EXPECT_ERRNO(EAGAIN, futex(first(p, 50), FUTEX_WAIT, 1, NULL, NULL, 0));
    struct timespec *soon = (struct timespec *)(p + 61 * PAGE - 8);
    soon->tv_sec = 0;
    soon->tv_nsec = 1000000;
    EXPECT_ERRNO(ETIMEDOUT, futex(first(p, 51), FUTEX_WAIT_PRIVATE, 0, soon, NULL, 0));
    /* op: set to 9, if it was 0 wake there too */
    EXPECT_EQ(futex(first(p, 52), FUTEX_WAKE_OP, 1, (void *)1, first(p, 53), FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_EQ, 0)), 0);
    EXPECT_EQ(*(uint32_t *)first(p, 53), 9);
    EXPECT_ERRNO(EAGAIN, futex(first(p, 54), FUTEX_CMP_REQUEUE, 1, (void *)1, first(p, 55), 7));
    bell = (volatile uint32_t *)first(p, 56);
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, ring, NULL), 0);
    for (;;) {
        long got = futex(bell, FUTEX_WAIT, 0, NULL, NULL, 0);
        if (got == 0) break;
        /* The bell rang before: let it find somebody. */
        EXPECT_EQ(errno, EAGAIN);
        if (errno != EAGAIN) break;
        __atomic_store_n(bell, 0, __ATOMIC_SEQ_CST);
    }
    pthread_join(thread, NULL);
    END_BOTH(pid);
}

TEST(a_private_futex_is_not_its_parent_s) {
    char *p = region(PAGES);
    *(volatile uint32_t *)first(p, 9) = 0;
    struct turn waits = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        struct timespec soon = {0, 30000000};
        pass(&waits);
        EXPECT_ERRNO(ETIMEDOUT, futex(first(p, 9), FUTEX_WAIT, 0, &soon, NULL, 0));
        END_CHILD();
    }
    await(&waits);
    for (int i = 0; i < 100; i++) EXPECT_EQ(futex(first(p, 9), FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    EXPECT_CHILD_FINE(pid);
}

static int into[2];
static char *target;
static void *read_into(void *unused) {
    EXPECT_EQ(read(into[0], target, PAGE), 8);
    return unused;
}

TEST(a_read_that_waits_while_another_thread_forks) {
    char *p = region(PAGES);
    target = (char *)first(p, 700);
    ASSERT_OK(pipe(into));
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, read_into, NULL), 0);
    sleep_ms(5);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        await(&go);
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
        END_CHILD();
    }
    ASSERT_EQ(write(into[1], "\1\0\0\0\0\0\0\0", 8), 8);
    pthread_join(thread, NULL);
    EXPECT_EQ(*first(p, 700), 1);
    EXPECT_EQ(*last(p, 700), ~word_of(700));
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}

TEST(mprotect_takes_away_and_gives_back) {
    char *p = region(PAGES);
    IN_BOTH(pid);
    ASSERT_OK(mprotect(p, PAGES * PAGE, PROT_READ));
    EXPECT_EQ(*first(p, 5), word_of(5));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, first(p, 5), *first(p, 5) = 1);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, first(p, 6), *first(p, 6) = 1);
    ASSERT_OK(mprotect(p + 100 * PAGE, 100 * PAGE, PROT_NONE));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, first(p, 150), (void)*first(p, 150));
    EXPECT_EQ(wrong(p, 0, 100), 0);
    ASSERT_OK(mprotect(p, PAGES * PAGE, RW));
    EXPECT_EQ(wrong(p, 50, PAGES), 0);
    fill(p, PAGES);
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    END_BOTH(pid);
}

TEST(memory_that_may_only_be_read) {
    char *p = region(PAGES);
    ASSERT_OK(mprotect(p, PAGES * PAGE, PROT_READ));
    IN_BOTH(pid);
    for (int i = 0; i < PAGES; i += 3) EXPECT_TRUE(is_filled(p, i));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, first(p, 1), *first(p, 1) = 1);
    ASSERT_OK(mprotect(p, PAGES * PAGE, RW));
    *first(p, 1) = 1;
    EXPECT_EQ(wrong(p, 2, PAGES), 0);
    if (pid == 0) END_CHILD();
    EXPECT_CHILD_FINE(pid);
    /* Now with nobody to share it. */
    ASSERT_OK(mprotect(p, PAGES * PAGE, PROT_READ));
    EXPECT_EQ(wrong(p, 2, PAGES), 0);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, first(p, 2), *first(p, 2) = 1);
}

TEST(memory_that_may_not_be_accessed) {
    char *p = region(PAGES);
    ASSERT_OK(mprotect(p, PAGES * PAGE, PROT_NONE));
    IN_BOTH(pid);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, first(p, 1), (void)*first(p, 1));
    ASSERT_OK(mprotect(p, PAGES * PAGE, RW));
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    END_BOTH(pid);
}

TEST(mremap_moves_it) {
    char *p = region(PAGES);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) await(&go);
    char *to = room(3 * PAGES);
    char *q = mremap(p, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    ASSERT_TRUE(q == to);
    EXPECT_EQ(wrong(q, 0, PAGES), 0);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p, (void)*(volatile char *)p);
    q = mremap(q, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE);
    ASSERT_TRUE(q != MAP_FAILED);
    EXPECT_EQ(wrong(q, 0, PAGES), 0);
    for (int i = PAGES; i < 2 * PAGES; i++) EXPECT_EQ(*first(q, i), 0);
    fill(q, 2 * PAGES);
    if (pid == 0) END_CHILD();
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}

TEST(mremap_of_a_part) {
    char *p = region(PAGES);
    IN_BOTH(pid);
    char *q = mremap(p + 100 * PAGE, 50 * PAGE, 80 * PAGE, MREMAP_MAYMOVE);
    ASSERT_TRUE(q != MAP_FAILED);
    for (int i = 0; i < 50; i++) EXPECT_EQ(*first(q, i), word_of(100 + i));
    for (int i = 50; i < 80; i++) EXPECT_EQ(*first(q, i), 0);
    EXPECT_EQ(wrong(p, 0, 100), 0);
    EXPECT_EQ(wrong(p, 150, PAGES), 0);
    ASSERT_TRUE(mremap(p + 150 * PAGE, (PAGES - 150) * PAGE, 200 * PAGE, 0) == p + 150 * PAGE);
    EXPECT_EQ(wrong(p, 150, 350), 0);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, first(p, 350), (void)*first(p, 350));
    END_BOTH(pid);
}

TEST(munmap_and_mmap_over_it) {
    char *p = region(PAGES);
    IN_BOTH(pid);
    ASSERT_OK(munmap(p + 100 * PAGE, 100 * PAGE));
    EXPECT_EQ(wrong(p, 90, 100), 0);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, first(p, 120), (void)*first(p, 120));
    place(p + 150 * PAGE, 20, RW);
    for (int i = 150; i < 170; i++) EXPECT_EQ(*first(p, i), 0);
    place(p + 300 * PAGE, 20, RW);
    for (int i = 300; i < 320; i++) EXPECT_EQ(*last(p, i), 0);
    EXPECT_EQ(wrong(p, 200, 300), 0);
    EXPECT_EQ(wrong(p, 320, PAGES), 0);
    EXPECT_EQ(wrong(p, 0, 100), 0);
    END_BOTH(pid);
}

TEST(madvise_dontneed) {
    char *p = region(PAGES);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) await(&go);
    *first(p, 110) = 1;
    EXPECT_OK(madvise(p + 100 * PAGE, 100 * PAGE, MADV_DONTNEED));
    for (int i = 100; i < 200; i++) EXPECT_EQ(*first(p, i), 0);
    EXPECT_EQ(wrong(p, 0, 100), 0);
    EXPECT_EQ(wrong(p, 200, PAGES), 0);
    for (int i = 100; i < 200; i++) *last(p, i) = i;
    EXPECT_OK(madvise(p, PAGES * PAGE, MADV_DONTNEED));
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*last(p, i), 0);
    fill(p, PAGES);
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    if (pid == 0) END_CHILD();
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}

TEST(madvise_free) {
    char *p = region(PAGES);
    IN_BOTH(pid);
    for (int i = 0; i < 50; i++) *first(p, i) = *last(p, i) = 77;
    EXPECT_OK(madvise(p, 100 * PAGE, MADV_FREE));
    for (int i = 0; i < 50; i++) EXPECT_TRUE(*first(p, i) == 77 || *first(p, i) == 0);
    for (int i = 50; i < 100; i++) EXPECT_TRUE(*first(p, i) == word_of(i) || *first(p, i) == 0);
    fill(p, 100);
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    END_BOTH(pid);
}

TEST(dontfork_and_wipeonfork) {
    char *p = region(PAGES);
    EXPECT_OK(madvise(p + 100 * PAGE, 200 * PAGE, MADV_DONTFORK));
    EXPECT_OK(madvise(p + 400 * PAGE, 200 * PAGE, MADV_WIPEONFORK));
    for (int n = 0; n < 2; n++) {
        pid_t pid = fork_child();
        if (pid == 0) {
            EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, first(p, 200), (void)*first(p, 200));
            for (int i = 400; i < 600; i++) EXPECT_EQ(*first(p, i), 0);
            EXPECT_EQ(wrong(p, 0, 100) + wrong(p, 300, 400) + wrong(p, 600, PAGES), 0);
            END_CHILD();
        }
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
        EXPECT_CHILD_FINE(pid);
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
    }
    /* Once it is shared, with a child that stays. */
    struct turn go = turn();
    pid_t other = fork_child();
    if (other == 0) {
        await(&go);
        END_CHILD();
    }
    EXPECT_OK(madvise(p, 100 * PAGE, MADV_WIPEONFORK));
    EXPECT_OK(madvise(p + 100 * PAGE, 200 * PAGE, MADV_DOFORK));
    EXPECT_OK(madvise(p + 400 * PAGE, 200 * PAGE, MADV_KEEPONFORK));
    EXPECT_OK(madvise(p + 700 * PAGE, 100 * PAGE, MADV_DONTFORK));
    pid_t pid = fork_child();
    if (pid == 0) {
        for (int i = 0; i < 100; i++) EXPECT_EQ(*first(p, i), 0);
        EXPECT_EQ(wrong(p, 100, 700), 0);
        EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, first(p, 750), (void)*first(p, 750));
        END_CHILD();
    }
    EXPECT_CHILD_FINE(pid);
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    pass(&go);
    EXPECT_CHILD_FINE(other);
}

TEST(populate_mincore_and_mlock) {
    char *p = region(PAGES);
    unsigned char in[PAGES];
    IN_BOTH(pid);
    EXPECT_OK(mincore(p, PAGES * PAGE, in));
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(in[i] & 1, 1);
    EXPECT_OK(madvise(p, 100 * PAGE, MADV_POPULATE_READ));
    EXPECT_OK(madvise(p + 100 * PAGE, 100 * PAGE, MADV_POPULATE_WRITE));
    EXPECT_OK(mlock(p + 200 * PAGE, 4 * PAGE));
    EXPECT_OK(munlock(p + 200 * PAGE, 4 * PAGE));
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    END_BOTH(pid);
}

TEST(many_small_mappings) {
    enum { N = 60, EACH = 130 };
    char *p = mmap(NULL, N * EACH * PAGE, RW, ANON, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    fill(p, N * EACH);
    for (int n = 0; n < N; n += 2) ASSERT_OK(mprotect(p + n * EACH * PAGE, EACH * PAGE, PROT_READ));
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) await(&go);
    EXPECT_EQ(wrong(p, 0, N * EACH), 0);
    ASSERT_OK(mprotect(p, N * EACH * PAGE, RW));
    for (int i = 0; i < N * EACH; i += 7) *first(p, i) = 3;
    for (int i = 0; i < N * EACH; i++) EXPECT_EQ(*first(p, i), i % 7 ? word_of(i) : 3);
    ASSERT_OK(munmap(p, N * EACH * PAGE));
    if (pid == 0) END_CHILD();
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}

TEST(a_mapping_cut_by_protections_after_the_fork) {
    char *p = region(PAGES);
    pid_t pid = fork_child();
    if (pid == 0) {
        for (;;) pause();
    }
    for (int i = 0; i < PAGES; i += 64) ASSERT_OK(mprotect(p + i * PAGE, 16 * PAGE, PROT_READ));
    for (int i = 0; i < PAGES; i += 10) EXPECT_TRUE(is_filled(p, i));
    kill(pid, SIGKILL);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    for (int i = PAGES; i-- > 0;) EXPECT_TRUE(is_filled(p, i));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, first(p, 64), *first(p, 64) = 1);
    for (int i = 32; i < PAGES; i += 64) *first(p, i) = 1;
    pid = fork_child();
    if (pid == 0) {
        for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(p, i), i % 64 == 32 ? 1 : word_of(i));
        END_CHILD();
    }
    EXPECT_CHILD_FINE(pid);
}
