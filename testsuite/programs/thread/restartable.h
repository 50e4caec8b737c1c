/* Restartable sequences without a library (linux/rseq.h). */
#ifndef RESTARTABLE_H
#define RESTARTABLE_H
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/rseq.h>

#undef RSEQ_SIG
#ifdef __riscv
#define RSEQ_SIG 0xf1401073u
#else
#define RSEQ_SIG 0x53053053u
#endif
#define UNREGISTER 1

struct area {
    uint32_t cpu_id_start, cpu_id;
    uint64_t cs;
    uint32_t flags, node_id, mm_cid, end;
    uint32_t rest[8];
} __attribute__((aligned(64)));

struct sequence {
    uint32_t version, flags;
    uint64_t start, length, abort;
} __attribute__((aligned(32)));

static __thread struct area own;

__attribute__((unused)) static long rseq_call(void *area, unsigned len, int flags, unsigned sig) {
    return syscall(SYS_rseq, area, len, flags, sig);
}

/* The C library registers its threads, but not those that a thread makes which
 * is registered no longer; a test wants its own area. */
__attribute__((unused)) static void drop_library(void) {
    char *at = (char *)__builtin_thread_pointer() + __rseq_offset;
    if (rseq_call(at, 32, UNREGISTER, RSEQ_SIG) == -1) ASSERT_EQ(errno, EINVAL);
}

__attribute__((unused)) static void take_over(void) {
    drop_library();
    ASSERT_OK(rseq_call(&own, 32, 0, RSEQ_SIG));
}

/* One CPU that this thread may use. */
__attribute__((unused)) static int first_cpu(void) {
    cpu_set_t set;
    ASSERT_OK(sched_getaffinity(0, sizeof set, &set));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set)) return cpu;
    return -1;
}

__attribute__((unused)) static void pin_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    ASSERT_OK(sched_setaffinity(0, sizeof set, &set));
}

#define AS_TEXT_(x) #x
#define AS_TEXT(x) AS_TEXT_(x)

/* Each routine NAME has the labels NAME_start, NAME_end (behind the commit) and
 * NAME_abort; the word before the last is the signature. */
#ifdef __riscv
#define ROUTINE_SIG ".4byte 0xf1401073\n"
#define ILLEGAL ".2byte 0\n"
#define ILLEGAL_SIZE 2
#else
#define ROUTINE_SIG ".byte 0x0f, 0xb9, 0x3d\n.long 0x53053053\n"
#define ILLEGAL "ud2\n"
#define ILLEGAL_SIZE 2
#endif

#define LABELS(name)                                                            \
    extern char name##_start[], name##_end[], name##_abort[];                   \
    extern struct sequence name##_cs
#define DESCRIPTOR(name)                                                        \
    ".data\n.p2align 5\n.globl " #name "_cs\n" #name "_cs:\n"                    \
    ".4byte 0, 0\n.8byte " #name "_start, " #name "_end - " #name "_start, " #name "_abort\n"

/* long add_on_cpu(struct area *, struct sequence *, long (*counters)[8]): adds one to the
 * counter of the CPU it runs on; 0 when done, 1 when aborted. */
LABELS(add_on_cpu);
long add_on_cpu(struct area *, struct sequence *, void *counters);
/* As add_on_cpu, with counters found through a pointer that is read inside. */
LABELS(add_through);
long add_through(struct area *, struct sequence *, void *where_counters_are);
/* long spin(struct area *, struct sequence *, volatile int *ready): stores 1 to
 * ready, then goes round inside the sequence until aborted. */
LABELS(spin);
long spin(struct area *, struct sequence *, volatile int *ready);
/* void trap_first(area, sequence): its first instruction is illegal.
 * trap_after: the one behind the commit is. */
LABELS(trap_first);
long trap_first(struct area *, struct sequence *);
LABELS(trap_after);
long trap_after(struct area *, struct sequence *);

#ifdef __riscv
__asm__(".text\n.p2align 2\n"
        ".globl add_on_cpu\nadd_on_cpu:\n"
        "sd a1, 8(a0)\n"
        "add_on_cpu_start:\n"
        "lwu t0, 4(a0)\n"
        "slli t0, t0, 6\n"
        "add t0, t0, a2\n"
        "ld t1, (t0)\n"
        "addi t1, t1, 1\n"
        "nop\nnop\n"
        "sd t1, (t0)\n"
        "add_on_cpu_end:\n"
        "sd zero, 8(a0)\n"
        "li a0, 0\n"
        "ret\n"
        ".p2align 2\n" ROUTINE_SIG
        "add_on_cpu_abort:\n"
        "li a0, 1\n"
        "ret\n"
        ".p2align 2\n.globl add_through\nadd_through:\n"
        "sd a1, 8(a0)\n"
        "add_through_start:\n"
        "ld a2, (a2)\n"
        "lwu t0, 4(a0)\n"
        "slli t0, t0, 6\n"
        "add t0, t0, a2\n"
        "ld t1, (t0)\n"
        "addi t1, t1, 1\n"
        "sd t1, (t0)\n"
        "add_through_end:\n"
        "sd zero, 8(a0)\n"
        "li a0, 0\n"
        "ret\n"
        ".p2align 2\n" ROUTINE_SIG
        "add_through_abort:\n"
        "li a0, 1\n"
        "ret\n"
        ".p2align 2\n.globl spin\nspin:\n"
        "sd a1, 8(a0)\n"
        "spin_start:\n"
        "li t0, 1\n"
        "sw t0, (a2)\n"
        "1: j 1b\n"
        "spin_end:\n"
        "li a0, 0\n"
        "ret\n"
        ".p2align 2\n" ROUTINE_SIG
        "spin_abort:\n"
        "li a0, 1\n"
        "ret\n"
        ".p2align 2\n.globl trap_first\ntrap_first:\n"
        "sd a1, 8(a0)\n"
        "trap_first_start:\n" ILLEGAL
        "trap_first_end:\n"
        "li a0, 0\n"
        "ret\n"
        ".p2align 2\n" ROUTINE_SIG
        "trap_first_abort:\n"
        "li a0, 1\n"
        "ret\n"
        ".p2align 2\n.globl trap_after\ntrap_after:\n"
        "sd a1, 8(a0)\n"
        "trap_after_start:\n"
        "nop\n"
        "trap_after_end:\n" ILLEGAL
        "li a0, 0\n"
        "ret\n"
        ".p2align 2\n" ROUTINE_SIG
        "trap_after_abort:\n"
        "li a0, 1\n"
        "ret\n");
#else
__asm__(".text\n"
        ".globl add_on_cpu\nadd_on_cpu:\n"
        "mov %rsi, 8(%rdi)\n"
        "add_on_cpu_start:\n"
        "mov 4(%rdi), %eax\n"
        "shl $6, %rax\n"
        "add %rdx, %rax\n"
        "mov (%rax), %rcx\n"
        "inc %rcx\n"
        "nop\nnop\n"
        "mov %rcx, (%rax)\n"
        "add_on_cpu_end:\n"
        "movq $0, 8(%rdi)\n"
        "xor %eax, %eax\n"
        "ret\n" ROUTINE_SIG
        "add_on_cpu_abort:\n"
        "mov $1, %eax\n"
        "ret\n"
        ".globl add_through\nadd_through:\n"
        "mov %rsi, 8(%rdi)\n"
        "add_through_start:\n"
        "mov (%rdx), %rdx\n"
        "mov 4(%rdi), %eax\n"
        "shl $6, %rax\n"
        "add %rdx, %rax\n"
        "mov (%rax), %rcx\n"
        "inc %rcx\n"
        "mov %rcx, (%rax)\n"
        "add_through_end:\n"
        "movq $0, 8(%rdi)\n"
        "xor %eax, %eax\n"
        "ret\n" ROUTINE_SIG
        "add_through_abort:\n"
        "mov $1, %eax\n"
        "ret\n"
        ".globl spin\nspin:\n"
        "mov %rsi, 8(%rdi)\n"
        "spin_start:\n"
        "movl $1, (%rdx)\n"
        "1: jmp 1b\n"
        "spin_end:\n"
        "xor %eax, %eax\n"
        "ret\n" ROUTINE_SIG
        "spin_abort:\n"
        "mov $1, %eax\n"
        "ret\n"
        ".globl trap_first\ntrap_first:\n"
        "mov %rsi, 8(%rdi)\n"
        "trap_first_start:\n" ILLEGAL
        "trap_first_end:\n"
        "xor %eax, %eax\n"
        "ret\n" ROUTINE_SIG
        "trap_first_abort:\n"
        "mov $1, %eax\n"
        "ret\n"
        ".globl trap_after\ntrap_after:\n"
        "mov %rsi, 8(%rdi)\n"
        "trap_after_start:\n"
        "nop\n"
        "trap_after_end:\n" ILLEGAL
        "xor %eax, %eax\n"
        "ret\n" ROUTINE_SIG
        "trap_after_abort:\n"
        "mov $1, %eax\n"
        "ret\n");
#endif

__asm__(DESCRIPTOR(add_on_cpu) DESCRIPTOR(add_through) DESCRIPTOR(spin) DESCRIPTOR(trap_first) DESCRIPTOR(trap_after) ".text\n");

/* The program counter that a handler's context holds. */
__attribute__((unused)) static uintptr_t context_pc(void *context) {
#ifdef __riscv
    return ((ucontext_t *)context)->uc_mcontext.__gregs[REG_PC];
#else
    return ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#endif
}
__attribute__((unused)) static void set_context_pc(void *context, uintptr_t pc) {
#ifdef __riscv
    ((ucontext_t *)context)->uc_mcontext.__gregs[REG_PC] = pc;
#else
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = pc;
#endif
}

__attribute__((unused)) static void on_signal(int sig, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    ASSERT_OK(sigaction(sig, &action, NULL));
}
#endif
