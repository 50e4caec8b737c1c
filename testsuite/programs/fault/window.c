// flags: -fno-builtin
/* What a hostile program may try against its address space: accesses at the
 * very end of it, and so many mappings that the host runs short. Another
 * process goes on unharmed. */
#include "fault.h"

/* A process that computes and checks until told to stop. */
struct neighbour {
    pid_t pid;
    int stop[2];
};

static struct neighbour neighbour_start(void) {
    struct neighbour n;
    ASSERT_OK(pipe2(n.stop, O_NONBLOCK));
    n.pid = fork();
    ASSERT_OK(n.pid);
    if (n.pid == 0) {
        size_t size = 1 << 20;
        uint64_t *mine = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mine == MAP_FAILED) _exit(2);
        uint64_t seed = 1;
        for (size_t i = 0; i < size / 8; i++) mine[i] = seed = seed * 6364136223846793005u + 1;
        close(n.stop[1]);
        for (;;) {
            seed = 1;
            for (size_t i = 0; i < size / 8; i++) {
                seed = seed * 6364136223846793005u + 1;
                if (mine[i] != seed) _exit(3);
            }
            /* It can still map and unmap. */
            char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED) _exit(4);
            p[0] = p[65535] = 1;
            if (munmap(p, 65536)) _exit(5);
            char c;
            if (read(n.stop[0], &c, 1) == 0) _exit(0);
        }
    }
    close(n.stop[0]);
    return n;
}

static void neighbour_end(struct neighbour n) {
    int status = -1;
    close(n.stop[1]);
    EXPECT_EQ(waitpid(n.pid, &status, 0), n.pid);
    EXPECT_EXITED(0, status);
}

#ifdef __riscv
TEST_LIMIT(accesses_at_the_end_of_the_window, 30) {
    struct neighbour n = neighbour_start();
    /* The user half of Sv39 and of Sv48, and around them. */
    static const uint64_t ends[] = {1ul << 38, 1ul << 39, 1ul << 47, 1ul << 48, 1ul << 63, 0};
    for (unsigned e = 0; e < sizeof ends / sizeof ends[0]; e++)
        /* All of these reach past the end; a stack may lie just below it. */
        for (int back = 1; back < 8; back++) {
            volatile uint64_t at = ends[e] - back;
            fault_catch(0);
            for (int store = 0; store < 2; store++) {
                fault_seen.signal = 0;
                if (sigsetjmp(fault_back, 1) == 0) {
                    if (store) *(volatile uint64_t *)at = 0x4141414141414141;
                    else (void)*(volatile uint64_t *)at;
                }
                EXPECT_EQ(fault_seen.signal, SIGSEGV);
            }
        }
    /* System calls do not reach there either. */
    char c = 'x';
    int ends_of_pipe[2];
    ASSERT_OK(pipe(ends_of_pipe));
    for (unsigned e = 0; e < sizeof ends / sizeof ends[0]; e++)
        for (int back = 1; back <= 9; back += 4) {
            EXPECT_EQ(write(ends_of_pipe[1], &c, 1), 1);
            EXPECT_ERRNO(EFAULT, syscall(SYS_clock_gettime, CLOCK_REALTIME, ends[e] - back));
            EXPECT_EQ(read(ends_of_pipe[0], &c, 1), 1);
            EXPECT_ERRNO(EFAULT, write(ends_of_pipe[1], (void *)ends[e], 1));
        }
    neighbour_end(n);
}

TEST(an_atomic_at_the_end_of_the_window) {
    uint64_t old;
    for (uint64_t end = 1ul << 38; end <= 1ul << 48; end <<= 1) {
        fault_seen.signal = 0;
        fault_catch(0);
        if (sigsetjmp(fault_back, 1) == 0)
            __asm__ volatile("amoor.d %0, %1, (%2)" : "=r"(old) : "r"(-1l), "r"(end) : "memory");
        EXPECT_EQ(fault_seen.signal, SIGSEGV);
        fault_seen.signal = 0;
        if (sigsetjmp(fault_back, 1) == 0) ((void (*)(void))(end))();
        EXPECT_EQ(fault_seen.signal, SIGSEGV);
    }
}
#endif

TEST(fixed_mappings_outside) {
    EXPECT_ERRNO(ENOMEM, (long)mmap((void *)(1ul << 62), 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    EXPECT_ERRNO(ENOMEM, (long)mmap(NULL, 1ul << 62, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_ERRNO(EINVAL, (long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_ERRNO(EINVAL, munmap((void *)(1ul << 62), 4096));
    EXPECT_ERRNO(ENOMEM, mprotect((void *)(1ul << 62), 4096, PROT_READ));
}

/* 100,000 changes of every other page: each would be a host mapping of its own.
 * It ends in success or in ENOMEM, never worse. */
TEST_LIMIT(alternating_mprotects, 100) {
    struct neighbour n = neighbour_start();
    const size_t pages = 200000;
    char *p = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    size_t done = 0, refused = 0;
    for (size_t i = 0; i < 100000; i++) {
        if (mprotect(p + i * 2 * 4096, 4096, PROT_READ) == 0) {
            done++;
        } else {
            if (errno != ENOMEM) FAIL("mprotect %zu: errno %d", i, errno);
            refused++;
        }
    }
    EXPECT_EQ(done + refused, 100000);
    EXPECT_GT(done, 1000);
    /* What succeeded holds. */
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, *(volatile char *)p = 1);
    *(volatile char *)(p + 4096) = 1;
    /* Giving it all back works, and then there is room again. */
    EXPECT_OK(munmap(p, pages * 4096));
    char *q = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(q != MAP_FAILED);
    EXPECT_OK(mprotect(q + 4096, 4096, PROT_READ));
    neighbour_end(n);
}

TEST_LIMIT(mappings_without_end, 100) {
    struct neighbour n = neighbour_start();
    size_t made = 0;
    for (; made < 100000; made++) {
        /* Permissions differ, so that no two are merged. */
        void *p = mmap(NULL, 4096, made & 1 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            EXPECT_EQ(errno, ENOMEM);
            break;
        }
    }
    EXPECT_GT(made, 1000);
    neighbour_end(n);
}

static void eat_memory(void) {
    struct rlimit_ { uint64_t cur, max; } limit = {256ul << 20, 256ul << 20};
    EXPECT_OK(syscall(SYS_prlimit64, 0, 9 /* RLIMIT_AS */, &limit, NULL));
    size_t total = 0;
    for (;;) {
        void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) break;
        total += 1 << 20;
        if (total > 1ul << 30) break;
    }
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_LE(total, 256ul << 20);
}
TEST(address_space_limit) { EXPECT_EXITED(0, in_child(eat_memory)); }
