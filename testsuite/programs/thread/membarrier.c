/* membarrier(2): commands, registrations, and what a barrier is worth. */
#define CHECK_ARGS after_exec
static int after_exec(int argc, char **argv);
#include "restartable.h"

enum {
    QUERY = 0, GLOBAL = 1, GLOBAL_EXPEDITED = 2, REGISTER_GLOBAL_EXPEDITED = 4,
    PRIVATE = 8, REGISTER_PRIVATE = 16, SYNC_CORE = 32, REGISTER_SYNC_CORE = 64,
    RSEQ = 128, REGISTER_RSEQ = 256, GET_REGISTRATIONS = 512,
};
#define FLAG_CPU 1

static long membarrier(int command, unsigned flags, int cpu) {
    return syscall(SYS_membarrier, command, flags, cpu);
}

TEST(query_names_every_command) { EXPECT_EQ(membarrier(QUERY, 0, 0), 0x3ff); }

TEST(unknown_commands) {
    static const int unknown[] = {3, 5, 12, 1024, -1, 1 << 30, 1 << 31};
    for (unsigned i = 0; i < sizeof unknown / sizeof *unknown; i++) EXPECT_ERRNO(EINVAL, membarrier(unknown[i], 0, 0));
}

TEST(flags_belong_to_rseq) {
    for (int command = 1; command <= 512; command *= 2) {
        EXPECT_ERRNO(EINVAL, membarrier(command, 2, 0));
        if (command != RSEQ) EXPECT_ERRNO(EINVAL, membarrier(command, FLAG_CPU, 0));
    }
    EXPECT_ERRNO(EINVAL, membarrier(QUERY, FLAG_CPU, 0));
    EXPECT_ERRNO(EINVAL, membarrier(REGISTER_RSEQ, FLAG_CPU, 0));
    /* The flag is known; what is missing is the registration. */
    EXPECT_ERRNO(EPERM, membarrier(RSEQ, FLAG_CPU, 0));
    EXPECT_ERRNO(EINVAL, membarrier(RSEQ, 3, 0));
}

TEST(private_commands_need_a_registration_each) {
    EXPECT_ERRNO(EPERM, membarrier(PRIVATE, 0, 0));
    EXPECT_ERRNO(EPERM, membarrier(SYNC_CORE, 0, 0));
    EXPECT_ERRNO(EPERM, membarrier(RSEQ, 0, 0));
    ASSERT_OK(membarrier(REGISTER_SYNC_CORE, 0, 0));
    EXPECT_EQ(membarrier(SYNC_CORE, 0, 0), 0);
    EXPECT_ERRNO(EPERM, membarrier(PRIVATE, 0, 0));
    EXPECT_ERRNO(EPERM, membarrier(RSEQ, 0, 0));
    ASSERT_OK(membarrier(REGISTER_RSEQ, 0, 0));
    EXPECT_EQ(membarrier(RSEQ, 0, 0), 0);
    EXPECT_ERRNO(EPERM, membarrier(PRIVATE, 0, 0));
    ASSERT_OK(membarrier(REGISTER_PRIVATE, 0, 0));
    EXPECT_EQ(membarrier(PRIVATE, 0, 0), 0);
}

TEST(global_commands_need_none) {
    EXPECT_EQ(membarrier(GLOBAL, 0, 0), 0);
    EXPECT_EQ(membarrier(GLOBAL_EXPEDITED, 0, 0), 0);
    EXPECT_EQ(membarrier(REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
    EXPECT_EQ(membarrier(GLOBAL_EXPEDITED, 0, 0), 0);
}

TEST(registering_twice) {
    for (int round = 0; round < 2; round++) {
        EXPECT_EQ(membarrier(REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
        EXPECT_EQ(membarrier(REGISTER_PRIVATE, 0, 0), 0);
        EXPECT_EQ(membarrier(REGISTER_SYNC_CORE, 0, 0), 0);
        EXPECT_EQ(membarrier(REGISTER_RSEQ, 0, 0), 0);
    }
}

TEST(registrations_are_told) {
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), 0);
    membarrier(REGISTER_GLOBAL_EXPEDITED, 0, 0);
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), REGISTER_GLOBAL_EXPEDITED);
    membarrier(REGISTER_PRIVATE, 0, 0);
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE);
    membarrier(REGISTER_RSEQ, 0, 0);
    membarrier(REGISTER_SYNC_CORE, 0, 0);
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0),
              REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE | REGISTER_SYNC_CORE | REGISTER_RSEQ);
}

/* The kernel notes the private command with each of its kinds. */
TEST(a_kind_of_private_counts_as_private_there) {
    membarrier(REGISTER_SYNC_CORE, 0, 0);
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), REGISTER_PRIVATE | REGISTER_SYNC_CORE);
    membarrier(REGISTER_RSEQ, 0, 0);
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), REGISTER_PRIVATE | REGISTER_SYNC_CORE | REGISTER_RSEQ);
    EXPECT_ERRNO(EPERM, membarrier(PRIVATE, 0, 0));
}

static void child_has_rseq(void) {
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), REGISTER_PRIVATE | REGISTER_RSEQ);
    EXPECT_EQ(membarrier(RSEQ, 0, 0), 0);
    EXPECT_OK(membarrier(REGISTER_GLOBAL_EXPEDITED, 0, 0));
}

TEST(fork_copies_registrations) {
    membarrier(REGISTER_RSEQ, 0, 0);
    EXPECT_EXITED(0, in_child(child_has_rseq));
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), REGISTER_PRIVATE | REGISTER_RSEQ);
}

static int vm_child(void *unused) {
    (void)unused;
    membarrier(REGISTER_PRIVATE, 0, 0);
    return 0;
}

TEST(registrations_belong_to_the_memory) {
    static char stack[65536] __attribute__((aligned(16)));
    int status, pid = clone(vm_child, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    ASSERT_OK(pid);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(membarrier(GET_REGISTRATIONS, 0, 0), REGISTER_PRIVATE);
    EXPECT_EQ(membarrier(PRIVATE, 0, 0), 0);
}

static int after_exec(int argc, char **argv) {
    (void)argc, (void)argv;
    return membarrier(GET_REGISTRATIONS, 0, 0);
}

static void exec_self(void) {
    membarrier(REGISTER_GLOBAL_EXPEDITED, 0, 0);
    membarrier(REGISTER_PRIVATE, 0, 0);
    execl("/proc/self/exe", "membarrier", "@exec", NULL);
}

TEST(exec_ends_registrations) { EXPECT_EXITED(0, in_child(exec_self)); }

TEST(cpus_that_run_nothing_of_ours) {
    ASSERT_OK(membarrier(REGISTER_RSEQ, 0, 0));
    EXPECT_EQ(membarrier(RSEQ, FLAG_CPU, 0), 0);
    EXPECT_EQ(membarrier(RSEQ, FLAG_CPU, 1000000), 0);
    EXPECT_EQ(membarrier(RSEQ, FLAG_CPU, -1), 0);
    EXPECT_EQ(membarrier(RSEQ, 0, 1000000), 0);
}

/* Dekker's algorithm with a fence on one side only: the other's stands in for
 * both. Each round both sides store and then look; both seeing nothing is what
 * a store that is still on its way would show. */
#define ROUNDS 3000
static volatile int mine __attribute__((aligned(64))), theirs __attribute__((aligned(64)));
static volatile int round_now __attribute__((aligned(64))), round_done __attribute__((aligned(64)));
static volatile int saw_theirs, saw_mine;

static void *fast_side(void *unused) {
    for (int round = 1; round <= ROUNDS; round++) {
        while (round_now != round)
            if (round_now < 0) return unused;
        theirs = 1;
        __asm__ volatile("" ::: "memory");
        saw_mine = mine;
        __atomic_store_n(&round_done, round, __ATOMIC_RELEASE);
    }
    return unused;
}

static void dekker(int command) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, fast_side, NULL), 0);
    int both_blind = 0;
    long long end = now_ns() + 100000000;
    for (int round = 1; round <= ROUNDS && now_ns() < end; round++) {
        mine = theirs = 0;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        round_now = round;
        mine = 1;
        if (membarrier(command, 0, 0) != 0) {
            FAIL("membarrier: errno %d", errno);
            break;
        }
        saw_theirs = theirs;
        while (__atomic_load_n(&round_done, __ATOMIC_ACQUIRE) != round) {}
        both_blind += !saw_theirs && !saw_mine;
    }
    round_now = round_now == ROUNDS ? ROUNDS : -1;
    pthread_join(thread, NULL);
    EXPECT_EQ(both_blind, 0);
}

TEST(private_barrier_pairs_with_a_compiler_barrier) {
    ASSERT_OK(membarrier(REGISTER_PRIVATE, 0, 0));
    dekker(PRIVATE);
}

TEST(global_expedited_barrier_does_so_too) {
    ASSERT_OK(membarrier(REGISTER_GLOBAL_EXPEDITED, 0, 0));
    dekker(GLOBAL_EXPEDITED);
}

TEST(sync_core_barrier_does_so_too) {
    ASSERT_OK(membarrier(REGISTER_SYNC_CORE, 0, 0));
    dekker(SYNC_CORE);
}

TEST(rseq_barrier_does_so_too) {
    ASSERT_OK(membarrier(REGISTER_RSEQ, 0, 0));
    dekker(RSEQ);
}

/* Code that another thread runs while it is replaced. */
static volatile int stop, last_value;
static int (*volatile code)(void);

static void *run_code(void *unused) {
    while (!stop) last_value = code();
    return unused;
}

static void put_constant(void *at, int value) {
#ifdef __riscv
    /* li a0, value; ret */
    uint32_t words[] = {(uint32_t)value << 20 | 0x513, 0x00008067};
    ((volatile uint32_t *)at)[1] = words[1];
    *(volatile uint32_t *)at = words[0];
#else
    /* mov $value, %eax; ret: the constant alone changes, in one aligned store. */
    unsigned char *bytes = at;
    bytes[7] = 0xb8;
    bytes[12] = 0xc3;
    *(volatile int *)(bytes + 8) = value;
#endif
}

TEST(sync_core_makes_threads_fetch_code_anew) {
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(page);
    ASSERT_OK(membarrier(REGISTER_SYNC_CORE, 0, 0));
    put_constant(page, 1);
#ifdef __riscv
    code = (int (*)(void))page;
#else
    code = (int (*)(void))(page + 7);
#endif
    ASSERT_OK(membarrier(SYNC_CORE, 0, 0));
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, run_code, NULL), 0);
    for (int value = 1; value <= 200; value++) {
        put_constant(page, value);
        ASSERT_OK(membarrier(SYNC_CORE, 0, 0));
        /* The call under way may have read the old constant; it was the last. */
        last_value = 0;
        ASSERT_OK(membarrier(SYNC_CORE, 0, 0));
        while (last_value == 0) {}
        int first = last_value;
        while (last_value == first && first != value) {}
        for (int i = 0; i < 100; i++)
            if (last_value != value) {
                FAIL("%d after it became %d", last_value, value);
                i = 100;
            }
        EXPECT_EQ(code(), value);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

/* One thread goes round in a sequence; the barrier must start it again. */
static volatile int in_sequence, aborts;
static volatile unsigned spinner_cpu;
static void *spin_on(void *cpu) {
    if (cpu) pin_to((long)cpu - 1);
    take_over();
    while (!stop) {
        spinner_cpu = *(volatile uint32_t *)&own.cpu_id;
        if (spin(&own, &spin_cs, &in_sequence) == 1) aborts++;
    }
    return NULL;
}

static void abort_spinner(unsigned flags, int pinned_to) {
    pthread_t thread;
    take_over();
    ASSERT_OK(membarrier(REGISTER_RSEQ, 0, 0));
    ASSERT_EQ(pthread_create(&thread, NULL, spin_on, (void *)(long)(pinned_to + 1)), 0);
    for (int round = 0; round < 50; round++) {
        while (!in_sequence) {}
        in_sequence = 0;
        int before = aborts;
        ASSERT_OK(membarrier(RSEQ, flags, spinner_cpu));
        while (aborts == before) {}
    }
    stop = 1;
    /* It may have looked just before. */
    while (pthread_tryjoin_np(thread, NULL) != 0) ASSERT_OK(membarrier(RSEQ, 0, 0));
    EXPECT_GE(aborts, 50);
}

TEST(rseq_barrier_aborts_sequences) { abort_spinner(0, -1); }
TEST(rseq_barrier_aborts_those_of_one_cpu) { abort_spinner(FLAG_CPU, first_cpu()); }

/* What the barrier is for: when it returns, nobody uses the old object, as a
 * sequence that had read the pointer did not commit. */
static long *volatile current;
static long objects[2][CPU_SETSIZE][8];
static void *use_current(void *unused) {
    take_over();
    while (!stop) add_through(&own, &add_through_cs, (void *)&current);
    return unused;
}

TEST(rseq_barrier_ends_the_use_of_an_old_pointer) {
    pthread_t threads[3];
    ASSERT_OK(membarrier(REGISTER_RSEQ, 0, 0));
    current = &objects[0][0][0];
    for (int i = 0; i < 3; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, use_current, NULL), 0);
    long changed = 0;
    for (int round = 0; round < 60; round++) {
        int old = round & 1;
        current = &objects[!old][0][0];
        ASSERT_OK(membarrier(RSEQ, 0, 0));
        long before = 0, after = 0;
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) before += objects[old][cpu][0];
        usleep(300);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) after += objects[old][cpu][0];
        changed += after != before;
    }
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    EXPECT_EQ(changed, 0);
}
