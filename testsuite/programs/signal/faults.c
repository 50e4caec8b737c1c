/* Signals that an instruction causes: codes, addresses, and what happens when they are
 * blocked, ignored, or sent by somebody. */
#include "signals.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf out;
static siginfo_t fault;
static volatile uint64_t fault_pc;
static void on_fault(int sig, siginfo_t *info, void *context) {
    (void)sig;
    fault = *info;
#ifdef __riscv
    fault_pc = ((ucontext_t *)context)->uc_mcontext.__gregs[0];
#else
    fault_pc = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#endif
    siglongjmp(out, 1);
}
static void catch_faults(void) {
    int all[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    for (int i = 0; i < 5; i++) {
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
        sigaction(all[i], &action, NULL);
    }
    memset(&fault, 0, sizeof fault);
}
#define FAULT_OF(statement)                                                     \
    do {                                                                        \
        catch_faults();                                                         \
        if (sigsetjmp(out, 1) == 0) {                                           \
            statement;                                                          \
            FAIL("no fault");                                                   \
        }                                                                       \
    } while (0)
#define EXPECT_FAULT(signal, code, address)                                     \
    do {                                                                        \
        EXPECT_EQ(fault.si_signo, signal);                                      \
        EXPECT_EQ(fault.si_code, code);                                         \
        EXPECT_EQ((uint64_t)fault.si_addr, (uint64_t)(address));                \
        EXPECT_EQ(fault.si_errno, 0);                                           \
    } while (0)

static volatile char sink;
static volatile char *volatile nowhere = (volatile char *)0x18;
static char *page(int protection) {
    char *p = mmap(NULL, 8192, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    return p;
}

TEST(a_load_from_nowhere) {
    FAULT_OF(sink = *nowhere);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, 0x18);
}
TEST(a_store_to_nowhere) {
    char *p = page(PROT_READ);
    ASSERT_OK(munmap(p, 8192));
    FAULT_OF(*(volatile char *)(p + 77) = 1);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + 77);
}
TEST(a_store_to_a_constant) {
    char *p = page(PROT_READ);
    FAULT_OF(*(volatile char *)(p + 4099) = 1);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 4099);
}
TEST(a_load_without_permission) {
    char *p = page(PROT_NONE);
    FAULT_OF(sink = *(volatile char *)(p + 5));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 5);
}
TEST(a_jump_to_nowhere) {
    FAULT_OF(((void (*)(void))0x20)());
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, 0x20);
    EXPECT_EQ(fault_pc, 0x20);
}
TEST(a_jump_to_data) {
    char *p = page(PROT_READ | PROT_WRITE);
    FAULT_OF(((void (*)(void))p)());
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p);
    EXPECT_EQ(fault_pc, (uint64_t)p);
}
TEST(a_load_past_the_end_of_a_file) {
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 100));
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    p[99] = 1;
    FAULT_OF(sink = *(volatile char *)(p + 4096 + 8));
    EXPECT_FAULT(SIGBUS, BUS_ADRERR, p + 4096 + 8);
}

#ifdef __riscv
extern char trap_here[], illegal_here[], amo_here[], lr_here[], sc_here[];
TEST(ebreak_is_sigtrap_at_itself) {
    FAULT_OF(__asm__ volatile(".option push\n.option norvc\ntrap_here: ebreak\n.option pop"));
    EXPECT_FAULT(SIGTRAP, TRAP_BRKPT, trap_here);
    EXPECT_EQ(fault_pc, (uint64_t)trap_here);
}
extern char trap_short[];
TEST(the_short_ebreak_too) {
    FAULT_OF(__asm__ volatile(".option push\n.option rvc\ntrap_short: c.ebreak\n.option pop"));
    EXPECT_FAULT(SIGTRAP, TRAP_BRKPT, trap_short);
    EXPECT_EQ(fault_pc, (uint64_t)trap_short);
}
TEST(an_illegal_instruction_is_sigill_at_itself) {
    FAULT_OF(__asm__ volatile("illegal_here: .word 0xffffffff"));
    EXPECT_FAULT(SIGILL, ILL_ILLOPC, illegal_here);
    EXPECT_EQ(fault_pc, (uint64_t)illegal_here);
}
extern char zero_here[], csr_here[];
TEST(zero_is_illegal) {
    FAULT_OF(__asm__ volatile("zero_here: .half 0"));
    EXPECT_FAULT(SIGILL, ILL_ILLOPC, zero_here);
}
TEST(privileged_registers_are_illegal) {
    FAULT_OF(__asm__ volatile("csr_here: csrr t0, sstatus" ::: "t0"));
    EXPECT_FAULT(SIGILL, ILL_ILLOPC, csr_here);
}
/* Linux reports the instruction's address for misaligned atomics, not the data's. */
static int odd[4] __attribute__((aligned(16)));
TEST(a_misaligned_amo_is_sigbus_at_the_pc) {
    char *p = (char *)odd + 2;
    FAULT_OF(__asm__ volatile(".option push\n.option norvc\namo_here: amoadd.w t0, t0, (%0)\n.option pop" ::"r"(p) : "t0", "memory"));
    EXPECT_FAULT(SIGBUS, BUS_ADRALN, amo_here);
    EXPECT_EQ(fault_pc, (uint64_t)amo_here);
}
TEST(a_misaligned_lr_is_sigbus_at_the_pc) {
    char *p = (char *)odd + 1;
    FAULT_OF(__asm__ volatile("lr_here: lr.w t0, (%0)" ::"r"(p) : "t0", "memory"));
    EXPECT_FAULT(SIGBUS, BUS_ADRALN, lr_here);
}
TEST(a_misaligned_sc_is_sigbus_at_the_pc) {
    char *p = (char *)odd + 4;
    FAULT_OF(__asm__ volatile("sc_here: sc.d t0, t0, (%0)" ::"r"(p) : "t0", "memory"));
    EXPECT_FAULT(SIGBUS, BUS_ADRALN, sc_here);
}
TEST(misaligned_loads_and_stores_work) {
    char *p = (char *)odd + 1;
    uint32_t got;
    __asm__ volatile("sw %1, 0(%2)\n lw %0, 0(%2)" : "=&r"(got) : "r"(0x12345678), "r"(p) : "memory");
    EXPECT_EQ(got, 0x12345678);
}
TEST(division_by_zero_is_no_fault) {
    long quotient, rest;
    __asm__ volatile("div %0, %2, x0\n rem %1, %2, x0" : "=&r"(quotient), "=&r"(rest) : "r"(77l));
    EXPECT_EQ(quotient, -1);
    EXPECT_EQ(rest, 77);
}
TEST(a_pc_with_bit_0_is_rounded) {
    /* jalr clears it. */
    static uint32_t *code;
    code = (uint32_t *)page(PROT_READ | PROT_WRITE | PROT_EXEC);
    code[0] = 0x00008067; /* ret */
    __builtin___clear_cache((char *)code, (char *)code + 4);
    ((void (*)(void))((char *)code + 1))();
}
#endif

/* Registers changed in the handler are those the program goes on with. */
static volatile int skips;
static void skip(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    skips++;
#ifdef __riscv
    uint64_t *pc = (uint64_t *)&((ucontext_t *)context)->uc_mcontext.__gregs[0];
    *pc += (*(uint16_t *)*pc & 3) == 3 ? 4 : 2;
#else
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
#endif
}
TEST(a_handler_may_step_over_it) {
    struct sigaction action = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    for (int i = 0; i < 3; i++)
#ifdef __riscv
        __asm__ volatile(".word 0xffffffff");
#else
        __asm__ volatile("ud2");
#endif
    EXPECT_EQ(skips, 3);
}

/* Also where no jump leads: bit 0 is set. */
static void go_to_1(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
#ifdef __riscv
    ((ucontext_t *)context)->uc_mcontext.__gregs[0] = 1;
#else
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = 1;
#endif
}
TEST(a_handler_may_go_on_anywhere) {
    struct sigaction action = {.sa_sigaction = go_to_1, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    FAULT_OF(raise(SIGUSR1));
    EXPECT_EQ(fault.si_signo, SIGSEGV);
    EXPECT_EQ(fault.si_code, SEGV_MAPERR);
#ifdef __riscv
    /* sepc has no bit 0. */
    EXPECT_EQ((uintptr_t)fault.si_addr, 0);
#endif
}

/* A fault cannot wait: blocked or ignored, it kills. */
static void read_nowhere(void) { sink = *nowhere; }
static void blocked_fault(void) {
    catch_with(SIGSEGV, 0);
    block(SIGSEGV);
    read_nowhere();
}
static void ignored_fault(void) {
    signal(SIGSEGV, SIG_IGN);
    read_nowhere();
}
TEST(a_blocked_fault_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(blocked_fault)); }
TEST(an_ignored_fault_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(ignored_fault)); }
static void fault_in_handler(int sig) {
    (void)sig;
    read_nowhere();
}
static void nested_fault(void) {
    signal(SIGSEGV, fault_in_handler);
    read_nowhere();
}
TEST(a_fault_in_its_own_handler_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(nested_fault)); }

static volatile int depth;
static void deeper(int sig) {
    (void)sig;
    if (++depth < 5) read_nowhere();
    siglongjmp(out, 1);
}
TEST(with_nodefer_it_nests) {
    struct sigaction action = {.sa_handler = deeper, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(out, 1) == 0) read_nowhere();
    EXPECT_EQ(depth, 5);
}

/* One that was sent is like any other signal: it can wait and be ignored. */
TEST(a_sent_sigsegv_waits) {
    catch_with(SIGSEGV, 0);
    block(SIGSEGV);
    raise(SIGSEGV);
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(is_pending(SIGSEGV), 1);
    unblock(SIGSEGV);
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(seen_info[0].si_code, SI_TKILL);
    signal(SIGSEGV, SIG_IGN);
    raise(SIGSEGV);
}

/* The thread that faults gets it, whoever else could. */
static volatile int faulted_tid;
static void note_thread(int sig) {
    (void)sig;
    faulted_tid = gettid();
    siglongjmp(out, 1);
}
static void *fault_there(void *tid) {
    *(int *)tid = gettid();
    if (sigsetjmp(out, 1) == 0) read_nowhere();
    return NULL;
}
TEST(the_faulting_thread_takes_it) {
    pthread_t thread;
    int tid = 0;
    signal(SIGSEGV, note_thread);
    pthread_create(&thread, NULL, fault_there, &tid);
    pthread_join(thread, NULL);
    EXPECT_EQ(faulted_tid, tid);
}

/* A system call answers EFAULT; nothing is raised. */
TEST(system_calls_do_not_fault) {
    catch_with(SIGSEGV, 0);
    EXPECT_ERRNO(EFAULT, syscall(SYS_clock_gettime, 0, BAD_PTR));
    EXPECT_ERRNO(EFAULT, syscall(SYS_uname, page(PROT_READ)));
    EXPECT_EQ(seen, 0);
}

TEST(sigpipe_goes_to_the_writer) {
    int ends[2];
    ASSERT_OK(pipe(ends));
    close(ends[0]);
    catch_with(SIGPIPE, 0);
    EXPECT_ERRNO(EPIPE, write(ends[1], "x", 1));
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(seen_info[0].si_code, SI_USER);
    EXPECT_EQ(seen_info[0].si_pid, getpid());
    EXPECT_EQ(seen_info[0].si_uid, getuid());
    signal(SIGPIPE, SIG_IGN);
    EXPECT_ERRNO(EPIPE, write(ends[1], "x", 1));
}

TEST(sigxfsz_above_the_file_limit) {
    struct rlimit limit;
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 10;
    ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
    catch_with(SIGXFSZ, 0);
    EXPECT_EQ(write(fd, "0123456789abcdef", 16), 10);
    EXPECT_EQ(seen, 0);
    EXPECT_ERRNO(EFBIG, write(fd, "x", 1));
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(seen_info[0].si_code, SI_USER);
    EXPECT_EQ(seen_info[0].si_pid, getpid());
    EXPECT_ERRNO(EFBIG, ftruncate(fd, 11));
    EXPECT_EQ(seen, 2);
}
