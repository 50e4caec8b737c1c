/* Catching a fault: what it was, where, and going on. */
#ifndef FAULT_H
#define FAULT_H
#include "check.h"
#include <setjmp.h>
#include <ucontext.h>

struct fault {
    int signal, code;
    void *addr;
    uint64_t pc;
};
static volatile struct fault fault_seen;
static sigjmp_buf fault_back;

static inline uint64_t *fault_pc(void *context) {
    ucontext_t *uc = context;
#ifdef __riscv
    return (uint64_t *)&uc->uc_mcontext.__gregs[REG_PC];
#else
    return (uint64_t *)&uc->uc_mcontext.gregs[REG_RIP];
#endif
}

static void fault_handler(int sig, siginfo_t *info, void *context) {
    fault_seen.signal = sig;
    fault_seen.code = info->si_code;
    fault_seen.addr = info->si_addr;
    fault_seen.pc = *fault_pc(context);
    siglongjmp(fault_back, 1);
}

__attribute__((unused)) static void fault_catch(int flags) {
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | flags};
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, NULL);
}

/* Runs the statement and expects this fault. */
#define EXPECT_FAULT(sig, si, address, statement)                            \
    do {                                                                     \
        fault_seen.signal = 0;                                               \
        fault_catch(0);                                                      \
        if (sigsetjmp(fault_back, 1) == 0) {                                 \
            statement;                                                       \
        }                                                                    \
        EXPECT_EQ(fault_seen.signal, sig);                                   \
        EXPECT_EQ(fault_seen.code, si);                                      \
        EXPECT_EQ((uintptr_t)fault_seen.addr, (uintptr_t)(address));         \
    } while (0)

__attribute__((unused)) static void *page(int prot) {
    void *p = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    return p;
}
#endif
