/* sigaltstack(2). */
#include "signals.h"
#include <setjmp.h>
#include <ucontext.h>
#include <sys/auxv.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static char area[65536] __attribute__((aligned(16)));
static stack_t stack_of(int flags, size_t size) { return (stack_t){.ss_sp = area, .ss_flags = flags, .ss_size = size}; }
static void arm(int flags) {
    stack_t stack = stack_of(flags, sizeof area);
    ASSERT_OK(sigaltstack(&stack, NULL));
}
static int is_in_area(void *p) { return (char *)p >= area && (char *)p < area + sizeof area; }

static stack_t inside, context_stack;
static void *volatile inside_sp;
static volatile int inside_set;
static void look(int sig, siginfo_t *info, void *context) {
    char here;
    (void)sig, (void)info;
    inside_sp = &here;
    sigaltstack(NULL, &inside);
    context_stack = ((ucontext_t *)context)->uc_stack;
    stack_t again = stack_of(0, 32768);
    inside_set = sigaltstack(&again, NULL) ? errno : 0;
}
static void on(int sig, int flags) {
    struct sigaction action = {.sa_sigaction = look, .sa_flags = SA_SIGINFO | flags};
    ASSERT_OK(sigaction(sig, &action, NULL));
}

TEST(none_at_first) {
    stack_t now = {.ss_flags = 77};
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_EQ(now.ss_flags, SS_DISABLE);
    EXPECT_EQ(now.ss_size, 0);
    EXPECT_TRUE(now.ss_sp == NULL);
    EXPECT_OK(sigaltstack(NULL, NULL));
}

TEST(what_was_set_is_reported) {
    stack_t new = stack_of(0, 40000), old;
    EXPECT_OK(sigaltstack(&new, &old));
    EXPECT_EQ(old.ss_flags, SS_DISABLE);
    EXPECT_OK(sigaltstack(NULL, &old));
    EXPECT_TRUE(old.ss_sp == area);
    EXPECT_EQ(old.ss_size, 40000);
    EXPECT_EQ(old.ss_flags, 0);
    /* SS_ONSTACK is taken for 0. */
    new.ss_flags = SS_ONSTACK;
    EXPECT_OK(sigaltstack(&new, NULL));
    EXPECT_OK(sigaltstack(NULL, &old));
    EXPECT_EQ(old.ss_flags, 0);
}

TEST(disable_forgets_the_rest) {
    stack_t off = stack_of(SS_DISABLE, 12345), old;
    arm(0);
    EXPECT_OK(sigaltstack(&off, &old));
    EXPECT_EQ(old.ss_size, sizeof area);
    EXPECT_OK(sigaltstack(NULL, &old));
    EXPECT_EQ(old.ss_flags, SS_DISABLE);
    EXPECT_EQ(old.ss_size, 0);
    EXPECT_TRUE(old.ss_sp == NULL);
}

TEST(errors) {
    stack_t now;
    unsigned bad[] = {3, 4, 8, 0x40000000, SS_AUTODISARM | 4, SS_ONSTACK | SS_DISABLE};
    for (int i = 0; i < 6; i++) {
        stack_t stack = stack_of((int)bad[i], sizeof area);
        EXPECT_ERRNO(EINVAL, sigaltstack(&stack, NULL));
    }
    stack_t small = stack_of(0, 100);
    EXPECT_ERRNO(ENOMEM, sigaltstack(&small, NULL));
    small.ss_size = 0;
    EXPECT_ERRNO(ENOMEM, sigaltstack(&small, NULL));
    small.ss_size = 2047;
    EXPECT_ERRNO(ENOMEM, sigaltstack(&small, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sigaltstack, BAD_PTR, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sigaltstack, NULL, BAD_PTR));
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_EQ(now.ss_flags, SS_DISABLE);
    /* A bad old pointer: the stack is set all the same. */
    stack_t good = stack_of(0, sizeof area);
    EXPECT_ERRNO(EFAULT, syscall(SYS_sigaltstack, &good, BAD_PTR));
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_EQ(now.ss_size, sizeof area);
}

TEST(the_least_size) {
    size_t least = getauxval(AT_MINSIGSTKSZ);
    stack_t stack = stack_of(0, least > 2048 ? least : 2048);
    EXPECT_OK(sigaltstack(&stack, NULL));
#ifdef __riscv
    EXPECT_EQ(least, 1088);
    stack.ss_size = 2048;
    EXPECT_OK(sigaltstack(&stack, NULL));
#endif
}

TEST(a_wild_address_is_taken) {
    stack_t stack = {.ss_sp = (void *)0x10, .ss_size = 1 << 20}, now;
    EXPECT_OK(sigaltstack(&stack, NULL));
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_TRUE(now.ss_sp == (void *)0x10);
}

TEST(only_handlers_that_ask_use_it) {
    arm(0);
    on(SIGUSR1, 0), on(SIGUSR2, SA_ONSTACK);
    raise(SIGUSR1);
    EXPECT_TRUE(!is_in_area(inside_sp));
    EXPECT_EQ(inside.ss_flags, 0);
    arm(0);
    raise(SIGUSR2);
    EXPECT_TRUE(is_in_area(inside_sp));
    EXPECT_EQ(inside.ss_flags, SS_ONSTACK);
    EXPECT_EQ(inside_set, EPERM);
}

TEST(disabled_means_the_ordinary_stack) {
    on(SIGUSR2, SA_ONSTACK);
    raise(SIGUSR2);
    EXPECT_TRUE(!is_in_area(inside_sp));
    EXPECT_EQ(inside.ss_flags, SS_DISABLE);
}

TEST(the_context_tells_the_settings) {
    arm(0);
    on(SIGUSR2, SA_ONSTACK);
    raise(SIGUSR2);
    EXPECT_TRUE(context_stack.ss_sp == area);
    EXPECT_EQ(context_stack.ss_size, sizeof area);
    EXPECT_EQ(context_stack.ss_flags, 0);
    arm(SS_ONSTACK);
    raise(SIGUSR2);
    EXPECT_EQ(context_stack.ss_flags, SS_ONSTACK);
}

TEST(a_context_without_one) {
    on(SIGUSR1, 0);
    raise(SIGUSR1);
    EXPECT_TRUE(context_stack.ss_sp == NULL && context_stack.ss_size == 0);
    stack_t off = {.ss_flags = SS_DISABLE};
    ASSERT_OK(sigaltstack(&off, NULL));
    raise(SIGUSR1);
    EXPECT_EQ(context_stack.ss_flags, SS_DISABLE);
}

static void change_context_stack(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    ((ucontext_t *)context)->uc_stack = (stack_t){.ss_sp = area + 4096, .ss_size = 20000};
}
TEST(returning_sets_the_contexts_stack) {
    stack_t now;
    struct sigaction action = {.sa_sigaction = change_context_stack, .sa_flags = SA_SIGINFO};
    arm(0);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_TRUE(now.ss_sp == area + 4096);
    EXPECT_EQ(now.ss_size, 20000);
}

/* Nested: a second handler goes on below the first. */
static void *volatile outer_sp, *volatile nested_sp;
static void nested_look(int sig) {
    void *here = __builtin_frame_address(0);
    if (sig == SIGUSR1) {
        outer_sp = here;
        raise(SIGUSR2);
    } else {
        nested_sp = here;
    }
}
TEST(nested_handlers_share_it) {
    struct sigaction action = {.sa_handler = nested_look, .sa_flags = SA_ONSTACK};
    arm(0);
    sigaction(SIGUSR1, &action, NULL), sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR1);
    EXPECT_TRUE(is_in_area(outer_sp) && is_in_area(nested_sp));
    EXPECT_TRUE(nested_sp < outer_sp);
}

/* SS_AUTODISARM: disarmed in the handler, so it may be left by a jump, armed again by a return. */
TEST(autodisarm_disarms_and_rearms) {
    stack_t now;
    arm((int)SS_AUTODISARM);
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_EQ((unsigned)now.ss_flags, SS_AUTODISARM);
    on(SIGUSR2, SA_ONSTACK);
    raise(SIGUSR2);
    EXPECT_TRUE(is_in_area(inside_sp));
    EXPECT_EQ(inside.ss_flags, SS_DISABLE);
    EXPECT_EQ(inside.ss_size, 0);
    EXPECT_EQ(inside_set, 0);
    EXPECT_EQ((unsigned)context_stack.ss_flags, SS_AUTODISARM);
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_EQ((unsigned)now.ss_flags, SS_AUTODISARM);
    EXPECT_EQ(now.ss_size, sizeof area);
}

/* With AUTODISARM any handler disarms, on the stack or not. */
TEST(autodisarm_by_a_handler_elsewhere) {
    arm((int)SS_AUTODISARM);
    on(SIGUSR1, 0);
    raise(SIGUSR1);
    EXPECT_TRUE(!is_in_area(inside_sp));
    EXPECT_EQ(inside.ss_flags, SS_DISABLE);
}

TEST(autodisarm_of_a_disabled_stack_reads_back) {
    stack_t off = {.ss_flags = (int)(SS_AUTODISARM | SS_DISABLE)}, now;
    EXPECT_OK(sigaltstack(&off, NULL));
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_EQ((unsigned)now.ss_flags, SS_AUTODISARM | SS_DISABLE);
}

/* Left by a jump, the stack is free again. */
static sigjmp_buf back;
static void jump_out(int sig) {
    (void)sig;
    siglongjmp(back, 1);
}
TEST(leaving_by_a_jump_frees_it) {
    struct sigaction action = {.sa_handler = jump_out, .sa_flags = SA_ONSTACK};
    arm(0);
    sigaction(SIGUSR1, &action, NULL);
    for (volatile int i = 0; i < 50; i++)
        if (sigsetjmp(back, 1) == 0) raise(SIGUSR1);
    stack_t now;
    EXPECT_OK(sigaltstack(NULL, &now));
    EXPECT_EQ(now.ss_flags, 0);
    EXPECT_OK(sigaltstack(&now, NULL));
}

/* The stack overflows, and the handler runs all the same. */
static volatile int overflow_code;
static void *volatile overflow_addr, *volatile overflow_sp;
static void overflowed(int sig, siginfo_t *info, void *context) {
    char here;
    (void)sig, (void)context;
    overflow_sp = &here;
    overflow_code = info->si_code;
    overflow_addr = info->si_addr;
    siglongjmp(back, 1);
}
static volatile int bottomless = 1;
static __attribute__((noinline)) int descend(volatile char *above) {
    volatile char frame[4096];
    frame[0] = above ? above[0] : 1;
    return (bottomless ? descend(frame) : 0) + frame[0];
}
static void *overflow_thread(void *unused) {
    stack_t stack = stack_of(0, sizeof area);
    EXPECT_OK(sigaltstack(&stack, NULL));
    if (sigsetjmp(back, 1) == 0) descend(NULL);
    stack.ss_flags = SS_DISABLE;
    EXPECT_OK(sigaltstack(&stack, NULL));
    return unused;
}
TEST(sigsegv_on_it_after_an_overflow) {
    struct sigaction action = {.sa_sigaction = overflowed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    pthread_t thread;
    pthread_attr_t attr;
    size_t size = 256 << 10;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(stack != MAP_FAILED);
    ASSERT_OK(mprotect(stack, 16384, PROT_NONE));
    sigaction(SIGSEGV, &action, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, size);
    ASSERT_EQ(pthread_create(&thread, &attr, overflow_thread, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT_TRUE(is_in_area(overflow_sp));
    EXPECT_EQ(overflow_code, SEGV_ACCERR);
    EXPECT_TRUE((char *)overflow_addr >= stack && (char *)overflow_addr < stack + 16384);
}

/* Without an alternate stack there is no room for the frame: the end. */
static void overflow_without(void) {
    struct sigaction action = {.sa_sigaction = overflowed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct rlimit small = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_STACK, &small);
    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(back, 1) == 0) descend(NULL);
}
TEST(an_overflow_without_it_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(overflow_without)); }

/* An alternate stack that is full is no place for a frame either. */
static volatile int filled;
static void fill_up(int sig) {
    (void)sig;
    if (filled++) _exit(3);
    char here;
    volatile char *rest = __builtin_alloca((uintptr_t)&here - (uintptr_t)area - 700);
    rest[0] = 1;
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
}
static void overflow_the_alternate(void) {
    struct sigaction action = {.sa_handler = fill_up, .sa_flags = SA_ONSTACK | SA_NODEFER};
    arm(0);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}
TEST(overflow_of_the_alternate_stack_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(overflow_the_alternate)); }

/* Who has it. */
static void *report_thread(void *to) {
    sigaltstack(NULL, to);
    return NULL;
}
TEST(threads_begin_without_it) {
    pthread_t thread;
    stack_t theirs = {0};
    arm(0);
    pthread_create(&thread, NULL, report_thread, &theirs);
    pthread_join(thread, NULL);
    EXPECT_EQ(theirs.ss_flags, SS_DISABLE);
    EXPECT_EQ(theirs.ss_size, 0);
}
TEST(forked_children_keep_it) {
    arm(0);
    pid_t pid = fork();
    if (pid == 0) {
        stack_t now;
        sigaltstack(NULL, &now);
        _exit(now.ss_sp != area || now.ss_size != sizeof area || now.ss_flags != 0);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}
TEST(exec_drops_it) {
    arm(0);
    pid_t pid = fork();
    if (pid == 0) {
        char self[256];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n < 0 ? 0 : n] = 0;
        execl(self, self, "--no-fork", "none_at_first", NULL);
        _exit(9);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}
