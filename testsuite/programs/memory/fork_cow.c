/* fork(2): what parent and child see of memory that was one before, whoever
 * writes it, reads it, ends or starts anew, in whatever order. */
#define CHECK_ARGS run_again
static int run_again(int argc, char **argv);
#include "cow.h"
#include <alloca.h>
#include <sys/resource.h>

static int run_again(int argc, char **argv) {
    (void)argc;
    return atoi(argv[1] + 1);
}

TEST(a_child_sees_the_moment_of_the_fork) {
    char *p = region(PAGES);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        await(&go);
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
        END_CHILD();
    }
    for (int i = 0; i < PAGES; i++) *first(p, i) = 1;
    pass(&go);
    EXPECT_CHILD_FINE(pid);
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*last(p, i), ~word_of(i));
}

TEST(a_parent_does_not_see_its_child_s_writes) {
    char *p = region(PAGES);
    struct turn done = turn(), go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        memset(p, 0xee, (size_t)PAGES * PAGE);
        pass(&done);
        await(&go);
        for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(p, i), 0xeeeeeeeeeeeeeeee);
        END_CHILD();
    }
    await(&done);
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    pass(&go);
    EXPECT_CHILD_FINE(pid);
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
}

TEST(both_write_every_page) {
    char *p = region(PAGES);
    struct turn done = turn(), go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        for (int i = PAGES; i-- > 0;) *first(p, i) += 1;
        pass(&done);
        await(&go);
        for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(p, i), word_of(i) + 1);
        for (int i = 0; i < PAGES; i++) EXPECT_EQ(*last(p, i), ~word_of(i));
        END_CHILD();
    }
    for (int i = 0; i < PAGES; i++) *first(p, i) += 2;
    await(&done);
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(p, i), word_of(i) + 2);
    pass(&go);
    EXPECT_CHILD_FINE(pid);
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*last(p, i), ~word_of(i));
}

TEST(a_page_read_before_it_is_written_elsewhere) {
    char *p = region(PAGES);
    struct turn read_it = turn(), wrote = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        for (int i = 0; i < PAGES; i += 2) EXPECT_TRUE(is_filled(p, i));
        pass(&read_it);
        await(&wrote);
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
        END_CHILD();
    }
    await(&read_it);
    for (int i = 0; i < PAGES; i++) *last(p, i) = 5;
    pass(&wrote);
    EXPECT_CHILD_FINE(pid);
}

TEST(grandchildren_of_many_generations) {
    enum { DEEP = 12 };
    char *p = region(PAGES);
    /* Each generation writes a share of the pages, forks, and writes them again. */
    for (int level = 0; level < DEEP; level++) {
        for (int i = level; i < PAGES; i += 4) *first(p, i) = level;
        pid_t pid = fork_child();
        if (pid != 0) {
            for (int i = level; i < PAGES; i += 4) *first(p, i) = 1000 + level;
            EXPECT_CHILD_FINE(pid);
            for (int i = level; i < PAGES; i += 4) EXPECT_EQ(*first(p, i), 1000 + level);
            if (level == 0) return;
            END_CHILD();
        }
    }
    for (int i = 0; i < PAGES; i++) {
        int writer = -1;
        for (int level = 0; level < DEEP; level++)
            if (i >= level && (i - level) % 4 == 0) writer = level;
        EXPECT_EQ(*first(p, i), writer);
        EXPECT_EQ(*last(p, i), ~word_of(i));
    }
    END_CHILD();
}

TEST(a_parent_that_ends_first) {
    char *p = region(PAGES);
    struct turn orphaned = turn(), done = turn();
    char *verdict = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        pid_t parent = getpid();
        *first(p, 3) = 33;
        if (fork_child() == 0) {
            await(&orphaned);
            while (getppid() == parent) sleep_ms(1);
            for (int i = 0; i < PAGES; i++) *last(p, i) = i;
            int fine = *first(p, 3) == 33 && *first(p, 4) == word_of(4);
            for (int i = 0; i < PAGES; i++) fine &= *last(p, i) == (uint64_t)i;
            *verdict = fine ? 'y' : 'n';
            pass(&done);
            _exit(0);
        }
        END_CHILD();
    }
    EXPECT_CHILD_FINE(pid);
    pass(&orphaned);
    await(&done);
    EXPECT_EQ(*verdict, 'y');
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
}

TEST(the_middle_of_three_ends_first) {
    char *p = region(PAGES);
    struct turn go = turn(), done = turn();
    char *verdict = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t middle = fork_child();
    if (middle == 0) {
        for (int i = 0; i < PAGES; i += 2) *first(p, i) = 2;
        if (fork_child() == 0) {
            await(&go);
            int fine = 1;
            for (int i = 0; i < PAGES; i++) fine &= *first(p, i) == (i % 2 ? word_of(i) : 2);
            for (int i = 1; i < PAGES; i += 2) *first(p, i) = 3;
            for (int i = 0; i < PAGES; i++) fine &= *first(p, i) == (i % 2 ? 3 : 2);
            *verdict = fine ? 'y' : 'n';
            pass(&done);
            _exit(0);
        }
        for (int i = 0; i < PAGES; i++) *first(p, i) = 4;
        END_CHILD();
    }
    EXPECT_CHILD_FINE(middle);
    for (int i = 0; i < PAGES; i += 3) *first(p, i) = 5;
    pass(&go);
    await(&done);
    EXPECT_EQ(*verdict, 'y');
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(p, i), i % 3 ? word_of(i) : 5);
}

TEST(one_fork_after_another_with_all_kept) {
    enum { COUNT = 24 };
    char *p = region(PAGES);
    struct turn go = turn();
    pid_t pids[COUNT];
    for (int n = 0; n < COUNT; n++) {
        for (int i = n; i < PAGES; i += COUNT / 4) *first(p, i) = n;
        pids[n] = fork_child();
        if (pids[n] == 0) {
            await(&go);
            for (int i = 0; i < PAGES; i++) {
                uint64_t want = word_of(i);
                for (int k = 0; k <= n; k++)
                    if (i >= k && (i - k) % (COUNT / 4) == 0) want = k;
                EXPECT_EQ(*first(p, i), want);
            }
            END_CHILD();
        }
    }
    for (int i = 0; i < PAGES; i++) *first(p, i) = 99;
    for (int n = 0; n < COUNT; n++) pass(&go);
    for (int n = 0; n < COUNT; n++) EXPECT_CHILD_FINE(pids[n]);
}

TEST(one_fork_after_another_with_none_kept) {
    char *p = region(PAGES);
    for (int n = 0; n < 40; n++) {
        pid_t pid = fork_child();
        if (pid == 0) {
            /* What the last rounds left, and what they did not write. */
            for (int i = 0; i < 40; i++) EXPECT_EQ(*first(p, i * 25), i < n ? (uint64_t)i : word_of(i * 25));
            for (int i = 0; i < PAGES; i += 5) *last(p, i) = n;
            END_CHILD();
        }
        /* Now before the child has ended, now after. */
        if (n % 2) *first(p, n * 25) = n;
        EXPECT_CHILD_FINE(pid);
        *first(p, n * 25) = n;
        for (int i = 0; i < PAGES; i++) EXPECT_EQ(*last(p, i), ~word_of(i));
    }
}

TEST(two_hundred_children_alive) {
    enum { COUNT = 200 };
    char *p = region(PAGES);
    struct turn go = turn();
    pid_t pids[COUNT];
    for (int n = 0; n < COUNT; n++) {
        *first(p, 1000) = n;
        pids[n] = fork_child();
        if (pids[n] == 0) {
            *first(p, n) = 7;
            await(&go);
            EXPECT_EQ(*first(p, 1000), n);
            EXPECT_EQ(*first(p, n), 7);
            EXPECT_TRUE(is_filled(p, n + 1));
            EXPECT_TRUE(is_filled(p, 999));
            END_CHILD();
        }
        *first(p, 999) = n;
        *first(p, 999) = word_of(999);
    }
    memset(p, 0, (size_t)PAGES * PAGE);
    for (int n = 0; n < COUNT; n++) pass(&go);
    for (int n = 0; n < COUNT; n++) EXPECT_CHILD_FINE(pids[n]);
}

/* Two counters on pages far apart; the second follows the first. */
static volatile uint64_t *ahead, *behind;
static volatile int stop;

static void *count(void *unused) {
    (void)unused;
    while (!stop) {
        __atomic_fetch_add(ahead, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(behind, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

TEST(a_thread_writes_while_another_forks) {
    char *p = region(PAGES);
    for (int round = 0; round < 2; round++) {
        /* Once with the first to be written below, once above. */
        ahead = first(p, round ? 900 : 10);
        behind = first(p, round ? 10 : 900);
        *ahead = *behind = 0;
        stop = 0;
        pthread_t thread;
        ASSERT_EQ(pthread_create(&thread, NULL, count, NULL), 0);
        for (int n = 0; n < 12; n++) {
            pid_t pid = fork_child();
            if (pid == 0) {
                uint64_t a = *ahead, b = *behind;
                EXPECT_TRUE(a == b || a == b + 1);
                EXPECT_TRUE(is_filled(p, 500));
                EXPECT_EQ(*ahead, a);
                END_CHILD();
            }
            EXPECT_CHILD_FINE(pid);
        }
        stop = 1;
        pthread_join(thread, NULL);
        EXPECT_EQ(*ahead, *behind);
        EXPECT_EQ(wrong(p, 11, 900), 0);
    }
}

static char *touched;
static volatile int touching;
static void *touch_all(void *arg) {
    int start = (int)(intptr_t)arg;
    __atomic_fetch_add(&touching, 1, __ATOMIC_SEQ_CST);
    for (int i = start; i < PAGES; i += 2) __atomic_fetch_add(first(touched, i), 1, __ATOMIC_SEQ_CST);
    for (int i = PAGES; i-- > 0;) __atomic_fetch_add(last(touched, i), 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void touch_by_threads(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, touch_all, (void *)(intptr_t)(i % 2)), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < PAGES; i++) {
        EXPECT_EQ(*first(touched, i), word_of(i) + 2);
        EXPECT_EQ(*last(touched, i), ~word_of(i) + 4);
    }
}

TEST(many_threads_touch_the_same_pages_first) {
    touched = region(PAGES);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        touch_by_threads();
        await(&go);
        END_CHILD();
    }
    touch_by_threads();
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}

TEST(threads_touch_pages_when_the_child_is_gone) {
    touched = region(PAGES);
    pid_t pid = fork_child();
    if (pid == 0) END_CHILD();
    EXPECT_CHILD_FINE(pid);
    touch_by_threads();
}

static void *fork_and_wait(void *unused) {
    pid_t pid = fork_child();
    if (pid == 0) {
        EXPECT_EQ(wrong(touched, 0, PAGES), 0);
        memset(touched, 1, PAGES * PAGE);
        END_CHILD();
    }
    EXPECT_CHILD_FINE(pid);
    return unused;
}

TEST(a_thread_other_than_the_first_forks) {
    touched = region(PAGES);
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, fork_and_wait, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(wrong(touched, 0, PAGES), 0);
}

TEST(atomics_on_pages_not_yet_touched) {
    char *p = region(PAGES);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) await(&go);
    for (int i = 0; i < PAGES; i += 7) {
        uint64_t *word = (uint64_t *)first(p, i), seen = word_of(i);
        switch (i / 7 % 5) {
        case 0: EXPECT_EQ(__atomic_fetch_add(word, 5, __ATOMIC_SEQ_CST), word_of(i)); break;
        case 1: EXPECT_TRUE(__atomic_compare_exchange_n(word, &seen, word_of(i) + 5, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)); break;
        case 2: EXPECT_EQ(__atomic_exchange_n(word, word_of(i) + 5, __ATOMIC_SEQ_CST), word_of(i)); break;
        case 3:
            seen = 0;
            EXPECT_TRUE(!__atomic_compare_exchange_n(word, &seen, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
            EXPECT_EQ(seen, word_of(i));
            *word += 5;
            break;
        case 4: __atomic_fetch_add((uint8_t *)word, 5, __ATOMIC_SEQ_CST); *word = word_of(i) + 5; break;
        }
        EXPECT_EQ(*word, word_of(i) + 5);
    }
#ifdef __riscv
    for (int i = 1; i < PAGES; i += 7) {
        uint64_t old, failed = 1;
        for (int tries = 0; failed && tries < 100; tries++)
            __asm__ volatile("lr.d %0, (%2)\n addi %0, %0, 1\n sc.d %1, %0, (%2)"
                             : "=&r"(old), "=&r"(failed) : "r"(first(p, i)) : "memory");
        EXPECT_EQ(failed, 0);
        EXPECT_EQ(*first(p, i), word_of(i) + 1);
    }
#endif
    if (pid == 0) END_CHILD();
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}

TEST(accesses_across_two_pages) {
    char *p = region(PAGES);
    pid_t pid = fork_child();
    for (int i = 1; i < PAGES; i += 2) {
        uint64_t word;
        char *at = p + i * PAGE - 3;
        memcpy(&word, at, sizeof word);
        uint64_t low = ~word_of(i - 1), high = word_of(i);
        EXPECT_EQ(word, low >> 40 | high << 24);
        volatile uint32_t *half = (volatile uint32_t *)(p + i * PAGE - 2);
        *half = 0xabcdef01;
        EXPECT_EQ(*half, 0xabcdef01);
    }
    if (pid == 0) END_CHILD();
    EXPECT_CHILD_FINE(pid);
}

/* The stack: what is there, and what it grows by. */
static int deeper(int n) {
    volatile char block[8192];
    memset((char *)block, n, sizeof block);
    int below = n ? deeper(n - 1) : 0;
    for (unsigned i = 0; i < sizeof block; i += 512) EXPECT_EQ(block[i], (char)n);
    return below + block[100];
}

TEST(the_stack) {
    char *p = alloca((size_t)PAGES * PAGE / 2);
    p = (char *)(((uintptr_t)p + PAGE - 1) & -PAGE);
    fill(p, PAGES / 2 - 1);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        await(&go);
        EXPECT_EQ(wrong(p, 0, PAGES / 2 - 1), 0);
        deeper(100);
        memset(p, 3, (PAGES / 2 - 1) * PAGE);
        END_CHILD();
    }
    for (int i = 0; i < PAGES / 2 - 1; i += 2) *first(p, i) = 0;
    deeper(120);
    pass(&go);
    EXPECT_CHILD_FINE(pid);
    for (int i = 1; i < PAGES / 2 - 1; i += 2) EXPECT_TRUE(is_filled(p, i));
}

TEST(the_heap_by_brk) {
    char *old = sbrk(0);
    char *p = (char *)(((uintptr_t)old + PAGE - 1) & -PAGE);
    ASSERT_EQ(brk(p + PAGES * PAGE), 0);
    fill(p, PAGES);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        EXPECT_TRUE(sbrk(0) == p + PAGES * PAGE);
        await(&go);
        EXPECT_EQ(brk(p + 2 * PAGES * PAGE), 0);
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
        for (int i = PAGES; i < 2 * PAGES; i++) EXPECT_EQ(*first(p, i), 0);
        fill(p, 2 * PAGES);
        EXPECT_EQ(brk(p + 10 * PAGE), 0);
        EXPECT_EQ(wrong(p, 0, 10), 0);
        EXPECT_EQ(brk(p + 20 * PAGE), 0);
        for (int i = 10; i < 20; i++) EXPECT_EQ(*first(p, i), 0);
        END_CHILD();
    }
    EXPECT_EQ(brk(p + PAGES / 2 * PAGE), 0);
    EXPECT_EQ(brk(p + PAGES * PAGE), 0);
    for (int i = PAGES / 2; i < PAGES; i++) EXPECT_EQ(*first(p, i), 0);
    EXPECT_EQ(wrong(p, 0, PAGES / 2), 0);
    pass(&go);
    EXPECT_CHILD_FINE(pid);
    EXPECT_EQ(wrong(p, 0, PAGES / 2), 0);
}

static char *signal_region;
static volatile int handled;
static void on_signal(int sig, siginfo_t *info, void *context) {
    char here;
    handled = sig == SIGUSR1 && info->si_pid == getpid() && context != NULL && &here > signal_region &&
              &here < signal_region + PAGES * PAGE;
}

TEST(a_signal_on_a_stack_not_yet_touched) {
    char *p = signal_region = region(PAGES);
    stack_t stack = {.ss_sp = p, .ss_size = (size_t)PAGES * PAGE};
    ASSERT_OK(sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    pid_t pid = fork_child();
    handled = 0;
    EXPECT_OK(kill(getpid(), SIGUSR1));
    EXPECT_EQ(handled, 1);
    EXPECT_EQ(wrong(p, 0, PAGES / 2), 0);
    if (pid == 0) END_CHILD();
    EXPECT_CHILD_FINE(pid);
}

TEST(a_child_that_executes) {
    char *p = region(PAGES);
    char *again[] = {"again", "@23", NULL};
    for (int n = 0; n < 4; n++) {
        pid_t pid = fork_child();
        if (pid == 0) {
            *first(p, n) = 0;
            execv("/proc/self/exe", again);
            _exit(1);
        }
        for (int i = n; i < PAGES; i += 50) *first(p, i) += 1;
        int status = -1;
        waitpid(pid, &status, 0);
        EXPECT_EXITED(23, status);
        for (int i = n; i < PAGES; i += 50) *first(p, i) -= 1;
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
    }
}

TEST(a_killed_child) {
    char *p = region(PAGES);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        pass(&go);
        for (;;)
            for (int i = 0; i < PAGES; i++) *first(p, i) += 1;
    }
    await(&go);
    for (int i = 0; i < PAGES; i += 2) *first(p, i) = 0;
    EXPECT_OK(kill(pid, SIGKILL));
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_SIGNALED(SIGKILL, status);
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(p, i), i % 2 ? word_of(i) : 0);
}

TEST(vfork_shares_all_of_it) {
    char *p = region(PAGES);
    pid_t other = fork_child();
    if (other == 0) {
        for (;;) pause();
    }
    volatile pid_t pid = vfork();
    if (pid == 0) {
        for (int i = 0; i < PAGES; i += 3) *first(p, i) = 4;
        _exit(0);
    }
    EXPECT_CHILD_FINE(pid);
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(p, i), i % 3 ? word_of(i) : 4);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
}

TEST(shared_memory_among_private) {
    char *p = region(PAGES);
    char *shared = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fill(shared, PAGES);
    struct turn done = turn(), go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        for (int i = 0; i < PAGES; i++) *first(shared, i) = *first(p, i) + 1;
        pass(&done);
        await(&go);
        EXPECT_EQ(*last(shared, 9), 9);
        EXPECT_TRUE(is_filled(p, 9));
        END_CHILD();
    }
    await(&done);
    for (int i = 0; i < PAGES; i++) EXPECT_EQ(*first(shared, i), word_of(i) + 1);
    *last(shared, 9) = *last(p, 9) = 9;
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}

TEST(a_private_mapping_of_a_file) {
    enum { N = 300 };
    char page[PAGE];
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_OK(fd);
    for (int i = 0; i < N; i++) {
        memset(page, i, PAGE);
        ASSERT_EQ(write(fd, page, PAGE), PAGE);
    }
    char *p = mmap(NULL, N * PAGE, RW, MAP_PRIVATE, fd, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    for (int i = 0; i < N; i += 2) *first(p, i) = word_of(i);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) {
        await(&go);
        for (int i = 0; i < N; i++) EXPECT_EQ(*first(p, i), i % 2 ? (i & 255) * 0x0101010101010101u : word_of(i));
        for (int i = 0; i < N; i++) *first(p, i) = 1;
        END_CHILD();
    }
    for (int i = 0; i < N; i += 2) *first(p, i) = 2;
    pass(&go);
    EXPECT_CHILD_FINE(pid);
    for (int i = 0; i < N; i++) EXPECT_EQ(*first(p, i), i % 2 ? (i & 255) * 0x0101010101010101u : 2);
    for (int i = 0; i < N; i++) {
        ASSERT_EQ(pread(fd, page, PAGE, i * PAGE), PAGE);
        EXPECT_EQ(page[7], (char)i);
    }
}

TEST(memory_that_was_never_touched) {
    enum { MANY = 16 * PAGES };
    char *p = mmap(NULL, (size_t)MANY * PAGE, RW, ANON | MAP_NORESERVE, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    fill(p, PAGES / 2);
    pid_t pid = fork_child();
    for (int i = PAGES / 2; i < MANY; i += 61) EXPECT_EQ(*first(p, i), 0);
    for (int i = PAGES / 2; i < MANY; i += 61) *first(p, i) = i;
    for (int i = PAGES / 2; i < MANY; i += 61) EXPECT_EQ(*first(p, i), i);
    for (int i = PAGES; i < MANY; i += 61) EXPECT_EQ(*last(p, i), 0);
    EXPECT_EQ(wrong(p, 0, PAGES / 2), 0);
    if (pid == 0) END_CHILD();
    EXPECT_CHILD_FINE(pid);
    EXPECT_EQ(*first(p, PAGES / 2 + 61), PAGES / 2 + 61);
    EXPECT_EQ(wrong(p, 0, PAGES / 2), 0);
}

/* Field of /proc/self/status in KiB. */
static long status_kib(const char *field) {
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0) kib = atol(line + strlen(field));
    fclose(file);
    return kib;
}

TEST(what_is_shared_counts_as_resident) {
    char *p = region(4 * PAGES);
    long before = status_kib("VmRSS:");
    pid_t pid = fork_child();
    /* Some kernels count by estimate: a few hundred pages may be missing. */
    EXPECT_GE(status_kib("VmRSS:"), 3 * PAGES * 4);
    EXPECT_LE(status_kib("VmRSS:"), before + 2 * PAGES * 4);
    for (int i = 0; i < 4 * PAGES; i += 2) *first(p, i) = 1;
    EXPECT_GE(status_kib("VmRSS:"), 3 * PAGES * 4);
    EXPECT_LE(status_kib("VmRSS:"), before + 2 * PAGES * 4);
    if (pid == 0) END_CHILD();
    EXPECT_CHILD_FINE(pid);
    struct rusage usage;
    EXPECT_OK(getrusage(RUSAGE_CHILDREN, &usage));
    EXPECT_GE(usage.ru_maxrss, 3 * PAGES * 4);
}

TEST(the_maps_of_parent_and_child) {
    char *p = region(PAGES);
    ASSERT_OK(mprotect(p + 100 * PAGE, 50 * PAGE, PROT_READ));
    uintptr_t start, end, s, e;
    char perms[8], q[8];
    ASSERT_TRUE(maps_line(p + 100 * PAGE, &start, &end, perms, NULL));
    pid_t pid = fork_child();
    for (int i = 0; i < 2; i++) {
        EXPECT_TRUE(maps_line(p + 100 * PAGE, &s, &e, q, NULL));
        EXPECT_EQ(s, start);
        EXPECT_EQ(e, end);
        EXPECT_STR(q, perms);
        EXPECT_EQ(wrong(p, 0, PAGES), 0);
        *first(p, 1) = 0;
        *first(p, 1) = word_of(1);
    }
    if (pid == 0) END_CHILD();
    EXPECT_CHILD_FINE(pid);
    EXPECT_EQ(wrong(p, 0, PAGES), 0);
    EXPECT_TRUE(maps_line(p + 100 * PAGE, &s, &e, q, NULL));
    EXPECT_EQ(s, start);
    EXPECT_EQ(e, end);
}

/* A function that returns 42. */
#ifdef __riscv
static const unsigned char forty_two[] = {0x13, 0x05, 0xa0, 0x02, 0x67, 0x80, 0x00, 0x00};
#else
static const unsigned char forty_two[] = {0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3};
#endif

TEST(code_on_pages_not_yet_touched) {
    char *p = mmap(NULL, PAGES * PAGE, RW | PROT_EXEC, ANON, -1, 0);
    if (p == MAP_FAILED) SKIP("no memory that can be written and executed");
    for (int i = 0; i < PAGES; i++) memcpy(p + i * PAGE + PAGE - 4, forty_two, sizeof forty_two > 4 && i < PAGES - 1 ? sizeof forty_two : 4);
    __builtin___clear_cache(p, p + PAGES * PAGE);
    struct turn go = turn();
    pid_t pid = fork_child();
    if (pid == 0) await(&go);
    for (int i = 0; i < PAGES - 1; i += 9) {
        /* It lies across two pages. */
        int (*call)(void) = (int (*)(void))(p + i * PAGE + PAGE - 4);
        EXPECT_EQ(call(), 42);
    }
    if (pid == 0) END_CHILD();
    pass(&go);
    EXPECT_CHILD_FINE(pid);
}
