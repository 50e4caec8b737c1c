/* rseq(2): registration, ids, and what makes a sequence start again. */
/* Started again by exec_drops_it. */
#define CHECK_ARGS after_exec
static int after_exec(int argc, char **argv);
#include "restartable.h"
#include <sys/time.h>

TEST(registration_fills_in_the_ids) {
    drop_library();
    own.cpu_id_start = own.cpu_id = own.node_id = own.mm_cid = 77777;
    ASSERT_OK(rseq_call(&own, 32, 0, RSEQ_SIG));
    cpu_set_t set;
    ASSERT_OK(sched_getaffinity(0, sizeof set, &set));
    uint32_t cpu = *(volatile uint32_t *)&own.cpu_id;
    EXPECT_LT(cpu, CPU_SETSIZE);
    EXPECT_TRUE(CPU_ISSET(cpu, &set));
    EXPECT_LT(*(volatile uint32_t *)&own.cpu_id_start, CPU_SETSIZE);
    EXPECT_EQ(own.node_id, 0);
    EXPECT_LT(own.mm_cid, CPU_COUNT(&set));
    EXPECT_EQ(own.cs, 0);
    EXPECT_EQ(own.flags, 0);
}

TEST(auxiliary_vector_tells_size_and_alignment) {
    EXPECT_GE(getauxval(27), 28);
    EXPECT_GE(getauxval(28), 32);
#ifdef __riscv
    EXPECT_EQ(getauxval(27), 28);
    EXPECT_EQ(getauxval(28), 32);
#endif
}

TEST(the_library_registered_the_first_thread) {
    if (__rseq_size == 0) {
        /* A library that knows nothing of it, or was told to leave it alone. */
        EXPECT_OK(rseq_call(&own, 32, 0, RSEQ_SIG));
        return;
    }
    struct area *library = (struct area *)((char *)__builtin_thread_pointer() + __rseq_offset);
    cpu_set_t set;
    ASSERT_OK(sched_getaffinity(0, sizeof set, &set));
    EXPECT_TRUE(CPU_ISSET(*(volatile uint32_t *)&library->cpu_id, &set));
    EXPECT_ERRNO(EBUSY, rseq_call(library, 32, 0, RSEQ_SIG));
}

TEST(lengths) {
    drop_library();
    static const unsigned bad[] = {0, 1, 20, 24, 28, 31};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT_ERRNO(EINVAL, rseq_call(&own, bad[i], 0, RSEQ_SIG));
    }
    unsigned size = getauxval(27);
    unsigned longer = size < 33 ? 33 : size;
    ASSERT_OK(rseq_call(&own, longer, 0, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 32, UNREGISTER, RSEQ_SIG));
    EXPECT_OK(rseq_call(&own, longer, UNREGISTER, RSEQ_SIG));
    EXPECT_OK(rseq_call(&own, sizeof own, 0, RSEQ_SIG));
}

TEST(alignment) {
    static struct area two[2];
    drop_library();
    for (int at = 1; at < 32; at++) EXPECT_ERRNO(EINVAL, rseq_call((char *)two + at, 32, 0, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call((char *)two + 8, 64, 0, RSEQ_SIG));
    EXPECT_OK(rseq_call((char *)two + 32, 32, 0, RSEQ_SIG));
}

TEST(unknown_flags) {
    drop_library();
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 32, 4, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 32, -1, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 32, 1 << 31, RSEQ_SIG));
    ASSERT_OK(rseq_call(&own, 32, 0, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 32, UNREGISTER | 4, RSEQ_SIG));
}

TEST(bad_areas) {
    drop_library();
    EXPECT_ERRNO(EFAULT, rseq_call(NULL, 32, 0, RSEQ_SIG));
    EXPECT_ERRNO(EFAULT, rseq_call((void *)64, 32, 0, RSEQ_SIG));
    EXPECT_ERRNO(EFAULT, rseq_call((void *)-4096l, 32, 0, RSEQ_SIG));
    char *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(EFAULT, rseq_call(gone, 32, 0, RSEQ_SIG));
    /* Not registered by any of these. */
    EXPECT_OK(rseq_call(&own, 32, 0, RSEQ_SIG));
}

TEST(second_registration) {
    static struct area other;
    take_over();
    EXPECT_ERRNO(EBUSY, rseq_call(&own, 32, 0, RSEQ_SIG));
    EXPECT_ERRNO(EPERM, rseq_call(&own, 32, 0, RSEQ_SIG + 1));
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 64, 0, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(&other, 32, 0, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(&other, 32, 0, RSEQ_SIG + 1));
}

TEST(unregistering) {
    static struct area other;
    take_over();
    EXPECT_ERRNO(EINVAL, rseq_call(&other, 32, UNREGISTER, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(NULL, 32, UNREGISTER, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 64, UNREGISTER, RSEQ_SIG));
    EXPECT_ERRNO(EPERM, rseq_call(&own, 32, UNREGISTER, RSEQ_SIG ^ 1));
    own.mm_cid = 5;
    EXPECT_OK(rseq_call(&own, 32, UNREGISTER, RSEQ_SIG));
    EXPECT_EQ(*(volatile uint32_t *)&own.cpu_id, 0xffffffff);
    EXPECT_EQ(own.cpu_id_start, 0);
    EXPECT_EQ(own.node_id, 0);
    EXPECT_EQ(own.mm_cid, 0);
    EXPECT_ERRNO(EINVAL, rseq_call(&own, 32, UNREGISTER, RSEQ_SIG));
    EXPECT_ERRNO(EINVAL, rseq_call(NULL, 32, UNREGISTER, 0));
}

static void unregister_what_is_gone(void) {
    drop_library();
    struct area *area = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(rseq_call(area, 32, 0, RSEQ_SIG));
    ASSERT_OK(mprotect(area, 4096, PROT_READ));
    EXPECT_ERRNO(EFAULT, rseq_call(area, 32, UNREGISTER, RSEQ_SIG));
    /* It stays registered. */
    ASSERT_OK(mprotect(area, 4096, PROT_READ | PROT_WRITE));
    EXPECT_ERRNO(EBUSY, rseq_call(area, 32, 0, RSEQ_SIG));
    EXPECT_OK(rseq_call(area, 32, UNREGISTER, RSEQ_SIG));
}
TEST(unregistering_an_area_that_is_gone) {
    /* Whoever loses its CPU while the area cannot be written is killed: once more then. */
    int status = in_child(unregister_what_is_gone);
    for (int i = 0; i < 50 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV; i++)
        status = in_child(unregister_what_is_gone);
    EXPECT_EXITED(0, status);
}

TEST(any_signature_will_do) {
    drop_library();
    EXPECT_OK(rseq_call(&own, 32, 0, 0));
    EXPECT_OK(rseq_call(&own, 32, UNREGISTER, 0));
    EXPECT_OK(rseq_call(&own, 32, 0, 0xffffffff));
    EXPECT_OK(rseq_call(&own, 32, UNREGISTER, 0xffffffff));
}

TEST(registration_clears_a_stale_sequence) {
    drop_library();
    own.cs = 8;
    ASSERT_OK(rseq_call(&own, 32, 0, RSEQ_SIG));
    EXPECT_EQ(*(volatile uint64_t *)&own.cs, 0);
}

TEST(id_is_the_cpu_it_is_pinned_to) {
    cpu_set_t set;
    ASSERT_OK(sched_getaffinity(0, sizeof set, &set));
    take_over();
    for (int round = 0; round < 4; round++)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &set)) continue;
            unsigned got = -1, node = -1;
            pin_to(cpu);
            EXPECT_EQ(*(volatile uint32_t *)&own.cpu_id, cpu);
            EXPECT_EQ(*(volatile uint32_t *)&own.cpu_id_start, cpu);
            ASSERT_OK(syscall(SYS_getcpu, &got, &node, NULL));
            EXPECT_EQ(got, cpu);
            EXPECT_EQ(node, own.node_id);
        }
}

static void fork_child(void) {
    EXPECT_ERRNO(EBUSY, rseq_call(&own, 32, 0, RSEQ_SIG));
    cpu_set_t set;
    ASSERT_OK(sched_getaffinity(0, sizeof set, &set));
    EXPECT_TRUE(CPU_ISSET(*(volatile uint32_t *)&own.cpu_id, &set));
    EXPECT_OK(rseq_call(&own, 32, UNREGISTER, RSEQ_SIG));
}

TEST(fork_keeps_it) {
    take_over();
    EXPECT_EXITED(0, in_child(fork_child));
    EXPECT_ERRNO(EBUSY, rseq_call(&own, 32, 0, RSEQ_SIG));
}

static int vm_child(void *area) {
    if (rseq_call(area, 32, UNREGISTER, RSEQ_SIG) != -1 || errno != EINVAL) return 1;
    if (rseq_call(area, 32, 0, RSEQ_SIG) != 0) return 2;
    if (((volatile struct area *)area)->cpu_id >= CPU_SETSIZE) return 3;
    return rseq_call(area, 32, UNREGISTER, RSEQ_SIG) == 0 ? 0 : 4;
}

TEST(a_child_in_the_same_memory_has_none) {
    static char stack[65536] __attribute__((aligned(16)));
    static struct area other;
    take_over();
    int pid = clone(vm_child, stack + sizeof stack, CLONE_VM | SIGCHLD, &other);
    ASSERT_OK(pid);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
    EXPECT_ERRNO(EBUSY, rseq_call(&own, 32, 0, RSEQ_SIG));
}

static void *register_own(void *unused) {
    take_over();
    EXPECT_LT(*(volatile uint32_t *)&own.cpu_id, CPU_SETSIZE);
    EXPECT_ERRNO(EBUSY, rseq_call(&own, 32, 0, RSEQ_SIG));
    return unused;
}

TEST(each_thread_has_its_own) {
    pthread_t threads[6];
    take_over();
    for (int i = 0; i < 6; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, register_own, NULL), 0);
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
}

static int after_exec(int argc, char **argv) {
    (void)argc, (void)argv;
    /* The library was told to leave it alone. */
    if (__rseq_size != 0) return 1;
    if (rseq_call(&own, 32, UNREGISTER, RSEQ_SIG) != -1) return 2;
    return rseq_call(&own, 32, 0, RSEQ_SIG) == 0 ? 0 : 3;
}

static void exec_self(void) {
    take_over();
    char *argv[] = {"rseq", "@exec", NULL};
    char *envp[] = {"GLIBC_TUNABLES=glibc.pthread.rseq=0", NULL};
    execve("/proc/self/exe", argv, envp);
    FAIL("execve: errno %d", errno);
}

TEST(exec_drops_it) { EXPECT_EXITED(0, in_child(exec_self)); }

/* What the last handler saw. */
static volatile uint64_t seen_pc, seen_cs, seen_cpu;
static volatile int seen;

static void look(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    seen_pc = context_pc(context);
    seen_cs = *(volatile uint64_t *)&own.cs;
    seen_cpu = *(volatile uint32_t *)&own.cpu_id;
    seen++;
}

TEST(a_signal_aborts_the_sequence) {
    volatile int ready = 0;
    take_over();
    on_signal(SIGALRM, look);
    struct itimerval timer = {{0, 1000}, {0, 1000}}, none = {{0, 0}, {0, 0}};
    ASSERT_OK(setitimer(ITIMER_REAL, &timer, NULL));
    /* Preemption aborts it too, so the signal may find it elsewhere. */
    while (seen_pc != (uintptr_t)spin_abort) {
        EXPECT_EQ(spin(&own, &spin_cs, &ready), 1);
        EXPECT_TRUE(seen_pc < (uintptr_t)spin_start || seen_pc >= (uintptr_t)spin_end);
        EXPECT_EQ(seen_cs, 0);
        EXPECT_EQ(*(volatile uint64_t *)&own.cs, 0);
    }
    ASSERT_OK(setitimer(ITIMER_REAL, &none, NULL));
}

TEST(a_signal_outside_a_sequence_only_forgets_it) {
    take_over();
    on_signal(SIGUSR1, look);
    *(volatile uint64_t *)&own.cs = (uintptr_t)&spin_cs;
    ASSERT_OK(raise(SIGUSR1));
    EXPECT_EQ(seen, 1);
    EXPECT_NE(seen_pc, (uintptr_t)spin_abort);
    EXPECT_EQ(seen_cs, 0);
}

TEST(a_handler_finds_fresh_ids) {
    take_over();
    on_signal(SIGUSR1, look);
    *(volatile uint32_t *)&own.cpu_id = 54321;
    ASSERT_OK(raise(SIGUSR1));
    EXPECT_LT(seen_cpu, CPU_SETSIZE);
    EXPECT_LT(*(volatile uint32_t *)&own.cpu_id, CPU_SETSIZE);
}

static void skip_illegal(int sig, siginfo_t *info, void *context) {
    look(sig, info, context);
    if (seen_pc == (uintptr_t)trap_after_end) set_context_pc(context, seen_pc + ILLEGAL_SIZE);
}

TEST(the_first_instruction_is_inside) {
    take_over();
    on_signal(SIGILL, skip_illegal);
    EXPECT_EQ(trap_first(&own, &trap_first_cs), 1);
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(seen_pc, (uintptr_t)trap_first_abort);
    EXPECT_EQ(seen_cs, 0);
}

TEST(the_instruction_behind_the_commit_is_outside) {
    take_over();
    on_signal(SIGILL, skip_illegal);
    EXPECT_EQ(trap_after(&own, &trap_after_cs), 0);
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(seen_pc, (uintptr_t)trap_after_end);
    EXPECT_EQ(seen_cs, 0);
}

/* Each of these is a defect that a signal inside the sequence brings to light. */
static struct sequence broken;
static void exit_3(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info, (void)context;
    _exit(3);
}

static void (*on_fault)(int, siginfo_t *, void *);
static void trap_in_broken(void) {
    take_over();
    on_signal(SIGILL, skip_illegal);
    if (on_fault) on_signal(SIGSEGV, on_fault);
    own.flags = 0;
    trap_first(&own, &broken);
}

static int broken_by(void (*change)(void)) {
    broken = trap_first_cs;
    change();
    return in_child(trap_in_broken);
}

static void nothing(void) {}
static void wrong_version(void) { broken.version = 1; }
static void with_flags(void) { broken.flags = 1; }
static void unknown_cs_flags(void) { broken.flags = 0x80000000; }
static void abort_without_signature(void) { broken.abort = (uintptr_t)trap_first_abort + 2; }
static void abort_inside(void) { broken.abort = broken.start; }
static void length_overflows(void) { broken.length = -16; }
static void abort_in_the_kernel(void) { broken.abort = -4096; }
static void start_in_the_kernel(void) { broken.start = -4096; broken.length = 16; }
static void abort_at_nothing(void) { broken.abort = 8; }

static void (*const changes[])(void) = {
    wrong_version, abort_without_signature, abort_inside, length_overflows,
    abort_in_the_kernel, start_in_the_kernel, abort_at_nothing,
};
#define CHANGES (sizeof changes / sizeof *changes)

TEST(broken_descriptors_raise_sigsegv) {
    EXPECT_EXITED(0, broken_by(nothing));
    EXPECT_SIGNALED(SIGSEGV, broken_by(with_flags));
    EXPECT_SIGNALED(SIGSEGV, broken_by(unknown_cs_flags));
    for (unsigned i = 0; i < CHANGES; i++) EXPECT_SIGNALED(SIGSEGV, broken_by(changes[i]));
}

/* A preemption between the handler's first instruction and its _exit meets the defect
 * as well, and is then the end: on a busy machine the handler needs another chance. */
static int broken_undisturbed_by(void (*change)(void)) {
    int status = broken_by(change);
    for (int i = 0; i < 20 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV; i++)
        status = broken_by(change);
    return status;
}

TEST(whose_handler_runs_before_anything_else) {
    on_fault = exit_3;
    EXPECT_EXITED(3, broken_undisturbed_by(with_flags));
    EXPECT_EXITED(3, broken_undisturbed_by(unknown_cs_flags));
    for (unsigned i = 0; i < CHANGES; i++) EXPECT_EXITED(3, broken_undisturbed_by(changes[i]));
}

/* Delivering SIGSEGV itself meets the same defect, so that its return is the end. */
TEST(whose_handler_does_not_help) {
    on_fault = look;
    for (unsigned i = 0; i < CHANGES; i++) EXPECT_SIGNALED(SIGSEGV, broken_by(changes[i]));
}

static uint64_t cs_to_set;
static uint32_t flags_to_set;
static void signal_with(void) {
    take_over();
    on_signal(SIGUSR1, look);
    *(volatile uint64_t *)&own.cs = cs_to_set;
    *(volatile uint32_t *)&own.flags = flags_to_set;
    raise(SIGUSR1);
    EXPECT_EQ(seen, 1);
}

TEST(bad_pointers_to_a_descriptor_are_fatal) {
    flags_to_set = 0;
    cs_to_set = 16;
    EXPECT_SIGNALED(SIGSEGV, in_child(signal_with));
    cs_to_set = -64;
    EXPECT_SIGNALED(SIGSEGV, in_child(signal_with));
    cs_to_set = (uintptr_t)&spin_cs;
    EXPECT_EXITED(0, in_child(signal_with));
    cs_to_set = 0;
    EXPECT_EXITED(0, in_child(signal_with));
}

static void trap_with_area_flags(void) {
    take_over();
    on_signal(SIGSEGV, exit_3);
    on_signal(SIGILL, skip_illegal);
    own.flags = 2;
    trap_first(&own, &trap_first_cs);
}

TEST(flags_of_the_area_matter_inside_a_sequence) {
    EXPECT_EXITED(3, in_child(trap_with_area_flags));
    flags_to_set = 2;
    cs_to_set = (uintptr_t)&spin_cs;
    EXPECT_EXITED(0, in_child(signal_with));
}

static void lose_the_area(void) {
    drop_library();
    struct area *area = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(rseq_call(area, 32, 0, RSEQ_SIG));
    on_signal(SIGUSR1, look);
    if (on_fault) on_signal(SIGSEGV, on_fault);
    munmap(area, 4096);
    raise(SIGUSR1);
}

TEST(an_area_that_is_gone_is_fatal) {
    EXPECT_SIGNALED(SIGSEGV, in_child(lose_the_area));
    on_fault = exit_3;
    EXPECT_EXITED(3, in_child(lose_the_area));
}

/* A handler and the sequence add to one counter; a sequence that went on
 * after the handler would take its addition back. */
static long counters[CPU_SETSIZE][8];
static volatile long handled;

static void add_in_handler(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info, (void)context;
    counters[*(volatile uint32_t *)&own.cpu_id][0]++;
    handled++;
}

TEST(no_signal_lets_a_sequence_commit_half) {
    take_over();
    on_signal(SIGALRM, add_in_handler);
    struct itimerval timer = {{0, 200}, {0, 200}}, none = {{0, 0}, {0, 0}};
    ASSERT_OK(setitimer(ITIMER_REAL, &timer, NULL));
    long done = 0, aborted = 0;
    long long end = now_ns() + 100000000;
    while (now_ns() < end)
        for (int i = 0; i < 500; i++)
            if (add_on_cpu(&own, &add_on_cpu_cs, counters)) aborted++;
            else done++;
    ASSERT_OK(setitimer(ITIMER_REAL, &none, NULL));
    long sum = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) sum += counters[cpu][0];
    EXPECT_GT(handled, 10);
    EXPECT_EQ(sum, done + handled);
    EXPECT_LT(aborted, done);
}

#define ADDITIONS 60000
static void *add_many(void *unused) {
    take_over();
    for (long done = 0; done < ADDITIONS;) done += add_on_cpu(&own, &add_on_cpu_cs, counters) == 0;
    return unused;
}

TEST(a_cpu_belongs_to_one_thread_at_a_time) {
    pthread_t threads[7];
    for (int i = 0; i < 7; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 7; i++) pthread_join(threads[i], NULL);
    long sum = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) sum += counters[cpu][0];
    EXPECT_EQ(sum, 7l * ADDITIONS);
}

static void *add_and_yield(void *unused) {
    take_over();
    for (long done = 0; done < 4000; done++) {
        while (add_on_cpu(&own, &add_on_cpu_cs, counters)) {}
        if (done % 16 == 0) sched_yield();
        if (done % 64 == 0) usleep(1);
    }
    return unused;
}

TEST(so_it_does_when_threads_sleep_and_yield) {
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, add_and_yield, NULL), 0);
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    long sum = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) sum += counters[cpu][0];
    EXPECT_EQ(sum, 6l * 4000);
}

static void *add_pinned(void *cpu) {
    pin_to((long)cpu);
    take_over();
    for (long done = 0; done < 20000;) {
        if (add_on_cpu(&own, &add_on_cpu_cs, counters) == 0) done++;
        if (own.cpu_id != (long)cpu) {
            FAIL("on CPU %u instead of %ld", own.cpu_id, (long)cpu);
            break;
        }
    }
    return NULL;
}

TEST(threads_share_the_cpu_they_are_pinned_to) {
    pthread_t threads[4];
    long cpu = first_cpu();
    for (int i = 0; i < 4; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, add_pinned, (void *)cpu), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    EXPECT_EQ(counters[cpu][0], 80000);
}

/* Processes that share a file's memory rely on the ids as well. */
TEST(a_cpu_belongs_to_one_process_at_a_time) {
    long(*shared)[8] = mmap(NULL, sizeof counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(shared);
    int pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            take_over();
            for (long done = 0; done < ADDITIONS;) done += add_on_cpu(&own, &add_on_cpu_cs, shared) == 0;
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        EXPECT_EXITED(0, status);
    }
    long sum = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) sum += shared[cpu][0];
    EXPECT_EQ(sum, 4l * ADDITIONS);
}

static volatile int release;
static void *wait_for_release(void *unused) {
    while (!release) {}
    return unused;
}

/* A spinning thread waits for one that has no CPU yet: it has to be given one. */
TEST(a_spinner_does_not_keep_its_cpu) {
    pthread_t threads[5];
    for (int i = 0; i < 5; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, wait_for_release, NULL), 0);
    usleep(2000);
    release = 1;
    for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
    EXPECT_EQ(release, 1);
}

static void *one_of_two(void *unused) {
    take_over();
    for (int i = 0; i < 20000; i++)
        if (*(volatile uint32_t *)&own.mm_cid > 1) {
            FAIL("mm_cid %u with two threads", own.mm_cid);
            break;
        }
    return unused;
}

TEST(memory_ids_are_compact) {
    pthread_t thread;
    take_over();
    ASSERT_EQ(pthread_create(&thread, NULL, one_of_two, NULL), 0);
    for (int i = 0; i < 20000; i++)
        if (*(volatile uint32_t *)&own.mm_cid > 1) {
            FAIL("mm_cid %u with two threads", own.mm_cid);
            break;
        }
    pthread_join(thread, NULL);
}
