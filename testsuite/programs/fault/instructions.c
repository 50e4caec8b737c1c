/* Illegal instructions, breakpoints, misaligned atomics, division by zero. */
#include "fault.h"

#ifdef __riscv

static uint32_t *code_page(void) {
    uint32_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    return p;
}

static void expect_illegal(uint32_t word) {
    uint32_t *p = code_page();
    p[0] = word;
    p[1] = 0x00008067;
    __builtin___clear_cache((char *)p, (char *)p + 8);
    EXPECT_FAULT(SIGILL, ILL_ILLOPC, p, ((void (*)(void))p)());
    EXPECT_EQ(fault_seen.pc, (uintptr_t)p);
    munmap(p, 4096);
}

TEST(illegal_instructions) {
    expect_illegal(0x00000000); /* defined illegal */
    expect_illegal(0xffffffff);
    expect_illegal(0x0000707f);
    expect_illegal(0x30200073); /* mret, a machine-mode instruction */
    expect_illegal(0x30001073); /* csrw mstatus, zero */
    expect_illegal(0x10500073 | 1u << 7); /* reserved */
    expect_illegal(0xc0001073); /* csrw cycle, zero: read-only */
}

TEST(breakpoint) {
    uint32_t *p = code_page();
    p[0] = 0x00100073;
    p[1] = 0x00008067;
    __builtin___clear_cache((char *)p, (char *)p + 8);
    EXPECT_FAULT(SIGTRAP, TRAP_BRKPT, p, ((void (*)(void))p)());
    EXPECT_EQ(fault_seen.pc, (uintptr_t)p);
    p[0] = 0x00019002; /* c.ebreak */
    __builtin___clear_cache((char *)p, (char *)p + 8);
    EXPECT_FAULT(SIGTRAP, TRAP_BRKPT, p, ((void (*)(void))p)());
}

TEST(misaligned_atomics) {
    uint64_t word[2] = {1, 2};
    char *p = (char *)word;
    uint64_t result;
    fault_seen.signal = 0;
    fault_catch(0);
    if (sigsetjmp(fault_back, 1) == 0) __asm__ volatile("amoadd.w %0, %1, (%2)" : "=r"(result) : "r"(1), "r"(p + 2) : "memory");
    EXPECT_EQ(fault_seen.signal, SIGBUS);
    EXPECT_EQ(fault_seen.code, BUS_ADRALN);
    fault_seen.signal = 0;
    if (sigsetjmp(fault_back, 1) == 0) __asm__ volatile("lr.d %0, (%1)" : "=r"(result) : "r"(p + 4) : "memory");
    EXPECT_EQ(fault_seen.signal, SIGBUS);
    fault_seen.signal = 0;
    if (sigsetjmp(fault_back, 1) == 0)
        __asm__ volatile("sc.d %0, %1, (%2)" : "=&r"(result) : "r"(1), "r"(p + 4) : "memory");
    EXPECT_EQ(fault_seen.signal, SIGBUS);
    EXPECT_EQ(word[0], 1);
    EXPECT_EQ(word[1], 2);
}

TEST(misaligned_loads_and_stores_work) {
    unsigned char bytes[32];
    for (int i = 0; i < 32; i++) bytes[i] = i;
    for (int i = 0; i < 16; i++) {
        uint64_t v;
        __asm__ volatile("ld %0, 0(%1)" : "=r"(v) : "r"(bytes + i) : "memory");
        EXPECT_EQ(v, 0x0706050403020100 + 0x0101010101010101 * i);
    }
    __asm__ volatile("sd %0, 0(%1)" ::"r"(0x1122334455667788), "r"(bytes + 3) : "memory");
    EXPECT_EQ(bytes[3], 0x88);
    EXPECT_EQ(bytes[10], 0x11);
    EXPECT_EQ(bytes[11], 11);
}

TEST(division_by_zero_and_overflow) {
    volatile int64_t zero = 0, min = INT64_MIN, minus = -1;
    int64_t q, r;
    __asm__ volatile("div %0, %2, %3\n rem %1, %2, %3" : "=&r"(q), "=&r"(r) : "r"(min), "r"(zero));
    EXPECT_EQ(q, -1);
    EXPECT_EQ(r, INT64_MIN);
    __asm__ volatile("div %0, %2, %3\n rem %1, %2, %3" : "=&r"(q), "=&r"(r) : "r"(min), "r"(minus));
    EXPECT_EQ(q, INT64_MIN);
    EXPECT_EQ(r, 0);
    __asm__ volatile("divu %0, %2, %3\n remuw %1, %2, %3" : "=&r"(q), "=&r"(r) : "r"(7l), "r"(zero));
    EXPECT_EQ(q, -1);
    EXPECT_EQ(r, 7);
}

TEST(sc_needs_a_reservation) {
    uint64_t word = 5, first, second, old;
    __asm__ volatile(
        "lr.d %2, (%3)\n"
        "sc.d %0, %4, (%3)\n"
        "sc.d %1, zero, (%3)\n"
        : "=&r"(first), "=&r"(second), "=&r"(old)
        : "r"(&word), "r"(6ul)
        : "memory");
    EXPECT_EQ(old, 5);
    EXPECT_EQ(first, 0);
    EXPECT_NE(second, 0);
    EXPECT_EQ(word, 6);
}

TEST(code_written_at_run_time) {
    uint32_t *p = code_page();
    for (int i = 0; i < 500; i++) {
        p[0] = 0x00000513 | (uint32_t)i << 20; /* li a0, i */
        p[1] = 0x00008067;
        __asm__ volatile("fence.i" ::: "memory");
        ASSERT_EQ(((long (*)(void))p)(), i);
    }
    /* By way of a second mapping and the system call. */
    for (int i = 0; i < 50; i++) {
        p[0] = 0x00000513 | (uint32_t)i << 20;
        __builtin___clear_cache((char *)p, (char *)p + 8);
        ASSERT_EQ(((long (*)(void))p)(), i);
    }
    /* Without execute permission it stops being code. */
    ASSERT_OK(mprotect(p, 4096, PROT_READ | PROT_WRITE));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, ((void (*)(void))p)());
    ASSERT_OK(mprotect(p, 4096, PROT_READ | PROT_EXEC));
    EXPECT_EQ(((long (*)(void))p)(), 49);
}

TEST(execute_only_pages_run) {
    uint32_t *p = code_page();
    p[0] = 0x02a00513;
    p[1] = 0x00008067;
    __builtin___clear_cache((char *)p, (char *)p + 8);
    ASSERT_OK(mprotect(p, 4096, PROT_EXEC));
    EXPECT_EQ(((long (*)(void))p)(), 42);
}

TEST(execute_only_pages_cannot_be_read) {
    uint32_t *p = code_page();
    p[0] = 0x00008067;
    ASSERT_OK(mprotect(p, 4096, PROT_EXEC));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, (void)*(volatile uint32_t *)p);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, *(volatile uint32_t *)p = 0);
    int fds[2];
    ASSERT_OK(pipe(fds));
    EXPECT_ERRNO(EFAULT, write(fds[1], p, 4));
}

TEST(an_instruction_across_a_page_end) {
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    uint32_t li = 0x02a00513, ret = 0x00008067;
    memcpy(p + 4094, &li, 4);
    memcpy(p + 4098, &ret, 4);
    __builtin___clear_cache(p, p + 8192);
    EXPECT_EQ(((long (*)(void))(p + 4094))(), 42);
    /* The second page is gone: the fetch faults there. */
    munmap(p + 4096, 4096);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + 4096, ((void (*)(void))(p + 4094))());
    EXPECT_EQ(fault_seen.pc, (uintptr_t)p + 4094);
}

/* All registers as they were at the fault, and as the handler left them. */
static uint64_t at_fault[32];
static double fp_at_fault;
static void register_handler(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    ucontext_t *uc = context;
    for (int i = 0; i < 32; i++) at_fault[i] = uc->uc_mcontext.__gregs[i];
    uint64_t bits = uc->uc_mcontext.__fpregs.__d.__f[8];
    memcpy(&fp_at_fault, &bits, 8);
    uc->uc_mcontext.__gregs[18] = 1818; /* s2 */
    double changed = 2.5;
    memcpy(&uc->uc_mcontext.__fpregs.__d.__f[9], &changed, 8); /* fs1 */
    uc->uc_mcontext.__gregs[0] += 4;
}
TEST(registers_in_the_frame) {
    struct sigaction action = {.sa_sigaction = register_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    uint64_t s2, s3, t1;
    double fs1, fs0 = 1.25;
    __asm__ volatile(
        "fmv.d fs0, %4\n"
        "li s2, 202\n li s3, 303\n li t1, 106\n li a5, 115\n"
        ".option push\n.option norvc\n"
        "lw zero, 24(zero)\n"
        ".option pop\n"
        "mv %0, s2\n mv %1, s3\n mv %2, t1\n fmv.d %3, fs1\n"
        : "=&r"(s2), "=&r"(s3), "=&r"(t1), "=&f"(fs1)
        : "f"(fs0)
        : "s2", "s3", "t1", "a5", "fs0", "fs1", "memory");
    EXPECT_EQ(at_fault[18], 202);
    EXPECT_EQ(at_fault[19], 303);
    EXPECT_EQ(at_fault[6], 106);
    EXPECT_EQ(at_fault[15], 115);
    EXPECT_TRUE(fp_at_fault == 1.25);
    EXPECT_EQ(s2, 1818);
    EXPECT_EQ(s3, 303);
    EXPECT_EQ(t1, 106);
    EXPECT_TRUE(fs1 == 2.5);
}

static void frame_layout_handler(int sig, siginfo_t *info, void *context) {
    uintptr_t frame = (uintptr_t)info, uc = (uintptr_t)context;
    EXPECT_EQ(sig, SIGUSR1);
    EXPECT_EQ(frame % 16, 0);
    EXPECT_EQ(uc - frame, 128);
    EXPECT_EQ(*(int *)frame, SIGUSR1);
    uintptr_t pc = (uintptr_t)&((ucontext_t *)context)->uc_mcontext;
    EXPECT_EQ(pc - uc, 176);
    uint32_t *trampoline = __builtin_return_address(0);
    EXPECT_EQ(trampoline[0], 0x08b00893);
    EXPECT_EQ(trampoline[1], 0x00000073);
}
TEST(frame_layout_and_trampoline) {
    struct sigaction action = {.sa_sigaction = frame_layout_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

static void die_illegal(void) { __asm__ volatile(".word 0\n .word 0"); }
static void die_ebreak(void) { __asm__ volatile("ebreak"); }
TEST(unhandled_kill) {
    EXPECT_SIGNALED(SIGILL, in_child(die_illegal));
    EXPECT_SIGNALED(SIGTRAP, in_child(die_ebreak));
}

#else

TEST(illegal_instruction) {
    fault_seen.signal = 0;
    fault_catch(0);
    if (sigsetjmp(fault_back, 1) == 0) __asm__ volatile("ud2");
    EXPECT_EQ(fault_seen.signal, SIGILL);
}
TEST(breakpoint) {
    fault_seen.signal = 0;
    fault_catch(0);
    if (sigsetjmp(fault_back, 1) == 0) __asm__ volatile("int3");
    EXPECT_EQ(fault_seen.signal, SIGTRAP);
}

#endif
