/* A system call whose way in is a window that a signal's handler can tell: it
 * begins with the store that announces the call, and ends with the call's own
 * instruction. A signal that finds the program counter in there came before the
 * call had begun; where it interrupted the call, the counter is behind it.
 * Riscv64 and x86-64. */
#ifndef WINDOW_H
#define WINDOW_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <ucontext.h>

extern char window_begin[], window_end[], window_abort[];
/* Stores `value` to `*at`, counts `delay` down to 0, then calls; -EINTR when the
 * handler left the window. */
long window_call(long number, const long arguments[6], uint32_t *at, uint32_t value, unsigned long delay);

#ifdef __riscv
__asm__(".text\n"
        ".globl window_call, window_begin, window_end, window_abort\n"
        "window_call:\n"
        "  mv a7, a0\n  mv t0, a1\n  mv t1, a2\n  mv t2, a3\n  mv t3, a4\n"
        "  ld a0, 0(t0)\n  ld a1, 8(t0)\n  ld a2, 16(t0)\n  ld a3, 24(t0)\n  ld a4, 32(t0)\n  ld a5, 40(t0)\n"
        "window_begin:\n"
        "  sw t2, 0(t1)\n"
        "1:\n"
        "  beqz t3, 2f\n"
        "  addi t3, t3, -1\n"
        "  j 1b\n"
        "2:\n"
        "  ecall\n"
        "window_end:\n"
        "  ret\n"
        "window_abort:\n"
        "  li a0, -4\n"
        "  ret\n");
#define WINDOW_PC(context) ((context)->uc_mcontext.__gregs[REG_PC])
#else
__asm__(".text\n"
        ".globl window_call, window_begin, window_end, window_abort\n"
        "window_call:\n"
        "  push %rbx\n  push %r12\n  push %r13\n"
        "  mov %rdi, %rax\n  mov %rsi, %r11\n  mov %rdx, %rbx\n  mov %ecx, %r12d\n  mov %r8, %r13\n"
        "  mov 0(%r11), %rdi\n  mov 8(%r11), %rsi\n  mov 16(%r11), %rdx\n"
        "  mov 24(%r11), %r10\n  mov 32(%r11), %r8\n  mov 40(%r11), %r9\n"
        "window_begin:\n"
        "  mov %r12d, (%rbx)\n"
        "1:\n"
        "  test %r13, %r13\n"
        "  jz 2f\n"
        "  dec %r13\n"
        "  jmp 1b\n"
        "2:\n"
        "  syscall\n"
        "window_end:\n"
        "  pop %r13\n  pop %r12\n  pop %rbx\n"
        "  ret\n"
        "window_abort:\n"
        "  mov $-4, %rax\n"
        "  pop %r13\n  pop %r12\n  pop %rbx\n"
        "  ret\n");
#define WINDOW_PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
#endif

/* For a handler: was the call not begun yet? Then it will not be. */
static inline int window_leave(void *context_of_signal) {
    ucontext_t *context = context_of_signal;
    unsigned long pc = WINDOW_PC(context);
    if (pc < (unsigned long)window_begin || pc >= (unsigned long)window_end) return 0;
    WINDOW_PC(context) = (unsigned long)window_abort;
    return 1;
}
#endif
