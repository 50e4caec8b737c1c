/* The guest's vdso: the few functions a C library looks up there (vdso(7),
 * "riscv functions"), and the trampoline a signal handler returns to.
 *
 * Built by `cargo xtask build-guests`; the image is committed beside this file
 * because users have no riscv64 compiler.
 */

	.option	norvc		/* the trampoline's two words are matched by unwinders */

#define NR_clock_gettime	113
#define NR_clock_getres		114
#define NR_rt_sigreturn		139
#define NR_getcpu		168
#define NR_gettimeofday		169
#define NR_riscv_hwprobe	258
#define NR_riscv_flush_icache	259

#define CLOCK_MONOTONIC		1

	.text

	.macro	SYSCALL_FUNCTION name, number
	.globl	\name
	.type	\name, @function
	.balign	16
\name:
	.cfi_startproc
	li	a7, \number
	ecall
	ret
	.cfi_endproc
	.size	\name, . - \name
	.endm

/* The time register counts nanoseconds of CLOCK_MONOTONIC: that clock needs no
 * system call. The others do. */
	.globl	__vdso_clock_gettime
	.type	__vdso_clock_gettime, @function
	.balign	16
__vdso_clock_gettime:
	.cfi_startproc
	li	t0, CLOCK_MONOTONIC
	bne	a0, t0, 1f
	rdtime	t1
	li	t2, 1000000000
	divu	t3, t1, t2
	remu	t1, t1, t2
	sd	t3, 0(a1)
	sd	t1, 8(a1)
	li	a0, 0
	ret
1:	li	a7, NR_clock_gettime
	ecall
	ret
	.cfi_endproc
	.size	__vdso_clock_gettime, . - __vdso_clock_gettime

	SYSCALL_FUNCTION __vdso_gettimeofday, NR_gettimeofday
	SYSCALL_FUNCTION __vdso_clock_getres, NR_clock_getres
	SYSCALL_FUNCTION __vdso_getcpu, NR_getcpu
	SYSCALL_FUNCTION __vdso_flush_icache, NR_riscv_flush_icache
	SYSCALL_FUNCTION __vdso_riscv_hwprobe, NR_riscv_hwprobe

/* The signal frame, from sp: siginfo (128 bytes), then ucontext, whose mcontext
 * lies 176 bytes in: pc, x1..x31, then f0..f31 at 256. */
#define MCONTEXT	(128 + 176)
#define FPSTATE		(MCONTEXT + 256)

#define DW_CFA_def_cfa_expression	0x0f
#define DW_CFA_expression		0x10
#define DW_OP_deref			0x06
#define DW_OP_breg2			0x72	/* sp plus an offset */
/* A two-byte signed LEB128 number, for 0..8191. */
#define SLEB2(n)	((n) & 0x7f) | 0x80, ((n) >> 7)

/* DWARF register \reg was saved at sp + \offset. */
	.macro	SAVED reg, offset
	.cfi_escape DW_CFA_expression, \reg, 3, DW_OP_breg2, SLEB2(\offset)
	.endm

	.balign	16
	.cfi_startproc
	.cfi_signal_frame
	/* The interrupted pc is not a return address in ra: it has column 64. */
	.cfi_return_column 64
	/* The CFA is the interrupted sp. */
	.cfi_escape DW_CFA_def_cfa_expression, 4, DW_OP_breg2, SLEB2(MCONTEXT + 2 * 8), DW_OP_deref
	SAVED	64, MCONTEXT
	SAVED	1, MCONTEXT + 1 * 8
	.irp	n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	SAVED	\n, MCONTEXT + \n * 8
	.endr
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	SAVED	32 + \n, FPSTATE + \n * 8
	.endr
	/* An unwinder looks up the return address less one, which must lie inside
	 * this entry: nobody executes this word. */
	nop
	.globl	__vdso_rt_sigreturn
	.type	__vdso_rt_sigreturn, @function
__vdso_rt_sigreturn:
	li	a7, NR_rt_sigreturn
	ecall
	.cfi_endproc
	.size	__vdso_rt_sigreturn, . - __vdso_rt_sigreturn

	.section .note.Linux, "a", @note
	.balign	4
	.long	2f - 1f, 4f - 3f, 0	/* the kernel's version, as on Linux */
1:	.asciz	"Linux"
2:	.balign	4
3:	.long	0x060c00		/* 6.12 */
4:	.balign	4

	.section .note.GNU-stack, "", @progbits
