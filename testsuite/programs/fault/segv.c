/* SIGSEGV and SIGBUS: code, address, and life after the handler. */
#include "fault.h"

#define READ8(p) (void)*(volatile uint8_t *)(p)
#define READ64(p) (void)*(volatile uint64_t *)(p)
#define WRITE64(p) *(volatile uint64_t *)(p) = 1

static const char rodata[64] = "constant";

TEST(null_dereference) {
    volatile uintptr_t zero = 0;
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, 0, READ8(zero));
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, 0x18, READ64(zero + 0x18));
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, 0x20, WRITE64(zero + 0x20));
}

TEST(unmapped) {
    char *p = page(PROT_READ | PROT_WRITE);
    munmap(p, 4096);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + 100, READ8(p + 100));
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + 104, WRITE64(p + 104));
}

TEST(no_access) {
    char *p = page(PROT_NONE);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 8, READ8(p + 8));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 16, WRITE64(p + 16));
}

TEST(write_to_read_only) {
    char *p = page(PROT_READ);
    READ64(p);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 24, WRITE64(p + 24));
    EXPECT_EQ(p[24], 0);
}

TEST(write_to_rodata) {
    volatile uintptr_t at = (uintptr_t)rodata;
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, rodata, *(volatile char *)at = 'C');
    EXPECT_EQ(rodata[0], 'c');
}

TEST(write_to_code) {
    volatile uintptr_t at = (uintptr_t)fault_catch;
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, at, *(volatile char *)at = 0);
}

TEST(write_to_read_only_file_mapping) {
    make_file("f", "some text in a file");
    int fd = open("f", O_RDONLY);
    char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    EXPECT_EQ(p[0], 's');
    EXPECT_EQ(p[4000], 0);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 1, *(volatile char *)(p + 1) = 'x');
}

TEST(jump_to_data) {
    uint32_t *p = page(PROT_READ | PROT_WRITE);
    p[0] = 0x00008067; /* ret, were it code */
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, ((void (*)(void))p)());
    EXPECT_EQ(fault_seen.pc, (uintptr_t)p);
}

TEST(jump_to_nothing) {
    char *p = page(PROT_READ);
    munmap(p, 4096);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + 4, ((void (*)(void))(p + 4))());
    EXPECT_EQ(fault_seen.pc, (uintptr_t)p + 4);
    volatile uintptr_t zero = 0;
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, 0, ((void (*)(void))zero)());
}

TEST(access_across_the_end_of_a_mapping) {
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    munmap(p + 4096, 4096);
    memset(p, 7, 4096);
    fault_seen.signal = 0;
    fault_catch(0);
    if (sigsetjmp(fault_back, 1) == 0) WRITE64(p + 4092);
    EXPECT_EQ(fault_seen.signal, SIGSEGV);
    EXPECT_EQ(fault_seen.code, SEGV_MAPERR);
}

TEST(access_across_two_pages_works) {
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    *(volatile uint64_t *)(p + 4092) = 0x1122334455667788;
    EXPECT_EQ((unsigned char)p[4096], 0x44);
    EXPECT_EQ(*(volatile uint64_t *)(p + 4092), 0x1122334455667788);
}

TEST(mprotect_takes_effect_both_ways) {
    char *p = page(PROT_READ | PROT_WRITE);
    for (int i = 0; i < 50; i++) {
        WRITE64(p);
        ASSERT_OK(mprotect(p, 4096, PROT_READ));
        EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, WRITE64(p));
        ASSERT_OK(mprotect(p, 4096, PROT_NONE));
        EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, READ8(p));
        ASSERT_OK(mprotect(p, 4096, PROT_READ | PROT_WRITE));
    }
}

TEST(read_past_a_truncated_file) {
    int fd = open("t", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 12288));
    for (int shared = 0; shared < 2; shared++) {
        ASSERT_OK(ftruncate(fd, 12288));
        char *p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
        ASSERT_TRUE(p != MAP_FAILED);
        READ8(p + 8192);
        ASSERT_OK(ftruncate(fd, 5000));
        READ8(p + 4096);
        EXPECT_FAULT(SIGBUS, BUS_ADRERR, p + 8200, READ8(p + 8200));
        EXPECT_FAULT(SIGBUS, BUS_ADRERR, p + 8208, WRITE64(p + 8208));
        /* The rest of the last page is still there. */
        READ8(p + 8191);
        munmap(p, 12288);
    }
}

TEST(mapping_beyond_the_end_of_a_file) {
    make_file("short", "abc");
    int fd = open("short", O_RDONLY);
    char *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    EXPECT_EQ(p[2], 'c');
    EXPECT_FAULT(SIGBUS, BUS_ADRERR, p + 4096, READ8(p + 4096));
    char c;
    int ends[2];
    ASSERT_OK(pipe(ends));
    EXPECT_ERRNO(EFAULT, write(ends[1], p + 4096, 1));
    (void)c;
}

static volatile int *resume_page;
static void skip_handler(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    uint64_t *pc = fault_pc(context);
#ifdef __riscv
    /* Length of the instruction from its two lowest bits. */
    *pc += (*(uint16_t *)*pc & 3) == 3 ? 4 : 2;
#else
    *pc += 2; /* mov (%rax),%ecx */
#endif
}
TEST(handler_edits_the_saved_pc) {
    struct sigaction action = {.sa_sigaction = skip_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    resume_page = page(PROT_NONE);
    for (int i = 0; i < 1000; i++) {
        long value = 42;
#ifdef __riscv
        __asm__ volatile("lw %0, 0(%1)" : "+r"(value) : "r"(resume_page) : "memory");
#else
        int v = 42;
        __asm__ volatile("mov (%%rax), %%ecx" : "+c"(v) : "a"(resume_page) : "memory");
        value = v;
#endif
        ASSERT_EQ(value, 42);
    }
}

static void mend_handler(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    mprotect((void *)((uintptr_t)info->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}
TEST(handler_mends_the_mapping_and_retries) {
    struct sigaction action = {.sa_sigaction = mend_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < 200; i++) {
        char *p = page(i & 1 ? PROT_NONE : PROT_READ);
        *(volatile uint64_t *)(p + 8 * (i % 100)) = i;
        EXPECT_EQ(*(volatile uint64_t *)(p + 8 * (i % 100)), i);
        munmap(p, 4096);
    }
}

TEST(siglongjmp_out_many_times) {
    volatile uintptr_t zero = 0;
    volatile int count = 0;
    fault_catch(0);
    while (count < 2000)
        if (sigsetjmp(fault_back, 1) == 0) READ8(zero);
        else count++;
    EXPECT_EQ(count, 2000);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);
}

/* Deep recursion that a compiler cannot make a loop of. */
static volatile int always = 1;
__attribute__((noinline)) static long recurse(volatile char *above) {
    volatile char frame[1024];
    frame[0] = above ? above[0] : 1;
    long below = always ? recurse(frame) : 0;
    return below + frame[0];
}
TEST(stack_overflow_on_an_alternate_stack) {
    static char alternate[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    ASSERT_OK(sigaltstack(&stack, NULL));
    fault_catch(SA_ONSTACK);
    fault_seen.signal = 0;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (sigsetjmp(fault_back, 1) == 0) recurse(NULL);
    EXPECT_EQ(fault_seen.signal, SIGSEGV);
    uintptr_t depth = here - (uintptr_t)fault_seen.addr;
    EXPECT_LT(depth, 9 << 20);
    EXPECT_GT(depth, 7 << 20);
    /* And once more: the first one left nothing broken. */
    fault_seen.signal = 0;
    if (sigsetjmp(fault_back, 1) == 0) recurse(NULL);
    EXPECT_EQ(fault_seen.signal, SIGSEGV);
}

static void overflow(void) { recurse(NULL); }
static void overflow_with_useless_handler(void) {
    fault_catch(0);
    recurse(NULL);
}
static void die_null(void) { READ8((volatile uintptr_t){0}); }
static void die_blocked(void) {
    sigset_t set;
    fault_catch(0);
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    READ8((volatile uintptr_t){0});
}
static void die_ignored(void) {
    signal(SIGSEGV, SIG_IGN);
    READ8((volatile uintptr_t){0});
}
static void die_bus(void) {
    int fd = open("e", O_RDWR | O_CREAT, 0600);
    char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    READ8(p);
}
TEST(unhandled_faults_kill) {
    EXPECT_SIGNALED(SIGSEGV, in_child(overflow));
    EXPECT_SIGNALED(SIGSEGV, in_child(overflow_with_useless_handler));
    EXPECT_SIGNALED(SIGSEGV, in_child(die_null));
    EXPECT_SIGNALED(SIGSEGV, in_child(die_blocked));
    EXPECT_SIGNALED(SIGSEGV, in_child(die_ignored));
    EXPECT_SIGNALED(SIGBUS, in_child(die_bus));
}

static void double_fault_handler(int sig) {
    (void)sig;
    READ8((volatile uintptr_t){0});
}
static void die_in_handler(void) {
    signal(SIGSEGV, double_fault_handler);
    READ8((volatile uintptr_t){0});
}
TEST(a_fault_in_the_handler_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(die_in_handler)); }

TEST(system_calls_give_efault_instead) {
    char *p = page(PROT_READ), *none = page(PROT_NONE);
    int ends[2];
    ASSERT_OK(pipe(ends));
    EXPECT_EQ(write(ends[1], "12345678", 8), 8);
    EXPECT_ERRNO(EFAULT, read(ends[0], p, 1));
    EXPECT_ERRNO(EFAULT, read(ends[0], none, 1));
    EXPECT_ERRNO(EFAULT, write(ends[1], none, 1));
    EXPECT_ERRNO(EFAULT, open((char *)none, O_RDONLY));
    EXPECT_ERRNO(EFAULT, read(ends[0], (void *)-8, 1));
    EXPECT_ERRNO(EFAULT, write(ends[1], (void *)0x7fffffffffffff00, 1));
    char c;
    EXPECT_EQ(read(ends[0], &c, 1), 1);
    EXPECT_EQ(c, '1');
}
