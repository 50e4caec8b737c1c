/* The program that `rivix` without arguments runs: a riscv64 Linux guest that
 * needs no C library, starts threads, waits on futexes, and handles a fault.
 *
 * Built by `cargo xtask build-guests`; the binary is committed beside this file
 * because users have no riscv64 compiler. */

typedef unsigned long u64;
typedef unsigned int u32;

/* System calls (asm-generic/unistd.h). */

enum {
	NR_write = 64, NR_exit = 93, NR_exit_group = 94, NR_futex = 98,
	NR_clock_gettime = 113, NR_sched_getaffinity = 123, NR_rt_sigaction = 134,
	NR_uname = 160, NR_getpid = 172, NR_gettid = 178, NR_mmap = 222,
};

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;
	register long a7 __asm__("a7") = nr;

	__asm__ volatile("ecall" : "+r"(a0)
			 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7)
			 : "memory");
	return a0;
}
#define call0(nr) call(nr, 0, 0, 0, 0, 0, 0)
#define call1(nr, a) call(nr, (long)(a), 0, 0, 0, 0, 0)
#define call2(nr, a, b) call(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define call3(nr, a, b, c) call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define call4(nr, a, b, c, d) call(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* What the compiler may call by itself. */

void *memset(void *to, int byte, u64 len)
{
	volatile unsigned char *p = to;

	while (len--)
		*p++ = (unsigned char)byte;
	return to;
}

void *memcpy(void *to, const void *from, u64 len)
{
	volatile unsigned char *p = to;
	const unsigned char *q = from;

	while (len--)
		*p++ = *q++;
	return to;
}

/* Output: one line is one write. */

static char line[512];
static u64 line_len;

static void flush(void)
{
	u64 done = 0;

	while (done < line_len) {
		long n = call3(NR_write, 1, line + done, line_len - done);

		if (n <= 0)
			break;
		done += (u64)n;
	}
	line_len = 0;
}

static void put_char(char c)
{
	if (line_len < sizeof line)
		line[line_len++] = c;
	if (c == '\n')
		flush();
}

static void put(const char *text)
{
	while (*text)
		put_char(*text++);
}

static void put_number(u64 value)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		put_char(digits[--n]);
}

static void put_hex(u64 value)
{
	int shift = 60;

	put("0x");
	while (shift > 0 && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[value >> shift & 15]);
}

/* Tenths of milliseconds, as "12.3 ms". */
static void put_time(u64 ns)
{
	put_number(ns / 1000000);
	put_char('.');
	put_number(ns / 100000 % 10);
	put(" ms");
}

static u64 now(void)
{
	struct { u64 seconds, ns; } time;

	call2(NR_clock_gettime, 1 /* MONOTONIC */, &time);
	return time.seconds * 1000000000 + time.ns;
}

/* Threads. */

#define THREADS_MAX 8
#define STACK_SIZE 65536
/* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID. */
#define CLONE_THREAD_FLAGS 0x350f00

struct thread {
	u32 tid;		/* the kernel clears it and wakes us at the end */
	u32 number;
	u64 result;
	void (*body)(struct thread *);
};

static struct thread threads[THREADS_MAX];
static u32 thread_count;

/* clone(2): the child calls body(self) on its own stack, then exits. */
long start_thread(u64 flags, void *stack, u32 *parent_tid, u64 tls, u32 *child_tid);
__asm__(
	".text\n"
	".globl start_thread\n"
	".type start_thread, @function\n"
	"start_thread:\n"
	"	li	a7, 220\n"
	"	ecall\n"
	"	beqz	a0, 1f\n"
	"	ret\n"
	"1:	ld	a0, 0(sp)\n"	/* self */
	"	ld	t0, 8(sp)\n"	/* body */
	"	jalr	t0\n"
	"	li	a7, 93\n"
	"	li	a0, 0\n"
	"	ecall\n"
	"	unimp\n"
	".size start_thread, . - start_thread\n");

static void die(const char *what)
{
	put("demo: ");
	put(what);
	put(" failed\n");
	call1(NR_exit_group, 1);
	__builtin_unreachable();
}

static void run_threads(u32 count, void (*body)(struct thread *))
{
	static char *stacks[THREADS_MAX];

	thread_count = count;
	for (u32 i = 0; i < count; i++) {
		struct thread *thread = &threads[i];

		if (!stacks[i]) {
			long at = call(NR_mmap, 0, STACK_SIZE, 3, 0x22, -1, 0);

			if (at < 0 && at > -4096)
				die("mmap");
			stacks[i] = (char *)at;
		}
		u64 *top = (u64 *)(stacks[i] + STACK_SIZE - 16);
		top[0] = (u64)thread;
		top[1] = (u64)body;
		thread->number = i;
		thread->result = 0;
		if (start_thread(CLONE_THREAD_FLAGS, top, &thread->tid, 0, &thread->tid) < 0)
			die("clone");
	}
	for (u32 i = 0; i < count; i++) {
		u32 tid;

		while ((tid = __atomic_load_n(&threads[i].tid, __ATOMIC_ACQUIRE)))
			call4(NR_futex, &threads[i].tid, 0 /* WAIT */, tid, 0);
	}
}

/* A barrier: the last to arrive opens the gate for all. */
static u32 arrived, gate;

static void barrier(void)
{
	u32 before = __atomic_load_n(&gate, __ATOMIC_ACQUIRE);

	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == thread_count) {
		__atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
		__atomic_add_fetch(&gate, 1, __ATOMIC_RELEASE);
		call3(NR_futex, &gate, 129 /* WAKE, private */, THREADS_MAX);
		return;
	}
	while (__atomic_load_n(&gate, __ATOMIC_ACQUIRE) == before)
		call4(NR_futex, &gate, 128 /* WAIT, private */, before, 0);
}

/* The picture: each thread draws every n-th row; after the barrier the first
 * one prints them all. */

#define WIDTH 70
#define HEIGHT 21
static char picture[HEIGHT][WIDTH + 1];

static void draw(struct thread *self)
{
	/* How many steps a point stays near, and how dark that is. */
	static const unsigned char steps[] = { 4, 5, 7, 9, 12, 16, 24, 48, 180 };
	static const char shades[] = " .:-=+*#%@";

	for (u32 y = self->number; y < HEIGHT; y += thread_count) {
		for (u32 x = 0; x < WIDTH; x++) {
			double cr = -2.2 + x * (3.2 / WIDTH);
			double ci = -1.2 + y * (2.4 / (HEIGHT - 1));
			double zr = 0, zi = 0;
			u32 n = 0, shade = 0;

			while (n < 180 && zr * zr + zi * zi < 4) {
				double next = zr * zr - zi * zi + cr;

				zi = 2 * zr * zi + ci;
				zr = next;
				n++;
			}
			while (shade < sizeof steps && n >= steps[shade])
				shade++;
			picture[y][x] = shades[shade];
		}
	}
	barrier();
	if (self->number == 0)
		for (u32 y = 0; y < HEIGHT; y++) {
			put("  ");
			put(picture[y]);
			put("\n");
		}
}

/* The sum: primes below LIMIT, shared out number by number. */

#define LIMIT 300000

static void count_primes(struct thread *self)
{
	u64 found = 0;

	for (u32 n = 3 + 2 * self->number; n < LIMIT; n += 2 * thread_count) {
		u32 d = 3;

		while (d * d <= n && n % d)
			d += 2;
		found += d * d > n;
	}
	self->result = found;
}

static u64 primes(u32 count, u64 *ns)
{
	u64 total = 1; /* two, the even one */
	u64 before = now();

	run_threads(count, count_primes);
	*ns = now() - before;
	for (u32 i = 0; i < count; i++)
		total += threads[i].result;
	return total;
}

/* The fault: a load from an address where nothing is. The handler notes what
 * the kernel tells it, and lets the program go on after the load. */

#define NOTHING_THERE 0x123450UL

static volatile u64 fault_addr, fault_code, fault_pc;

static void on_fault(int signal, u64 *info, u64 *context)
{
	(void)signal;
	fault_code = ((u32 *)info)[2];
	fault_addr = info[2];
	/* uc_mcontext begins at byte 176 with the pc. */
	fault_pc = context[176 / 8];
	context[176 / 8] += 4;
}

static int fault(void)
{
	struct { void *handler; u64 flags, mask; } action = { (void *)on_fault, 4 /* SIGINFO */, 0 };
	u64 value = 42, pc;

	if (call4(NR_rt_sigaction, 11 /* SEGV */, &action, 0, 8))
		die("rt_sigaction");
	__asm__ volatile(
		".option push\n"
		".option norvc\n"
		"	lla	%1, 1f\n"
		"1:	ld	%0, 0(%2)\n"
		".option pop\n"
		: "+r"(value), "=&r"(pc) : "r"(NOTHING_THERE) : "memory");
	return value == 42 && fault_addr == NOTHING_THERE && fault_code == 1 && fault_pc == pc;
}

static u32 cpu_count(void)
{
	u64 mask[16] = { 0 };
	u32 count = 0;

	if (call3(NR_sched_getaffinity, 0, sizeof mask, mask) <= 0)
		return 1;
	for (u32 i = 0; i < 16; i++)
		for (u64 bits = mask[i]; bits; bits &= bits - 1)
			count++;
	return count ? count : 1;
}

__attribute__((used)) static void demo(u64 *stack)
{
	struct { char system[65], node[65], release[65], version[65], machine[65], domain[65]; } name;
	u32 cpus = cpu_count();
	u32 workers = cpus < 2 ? 2 : cpus > THREADS_MAX ? THREADS_MAX : cpus;
	u64 alone, together, count;
	int fault_ok;

	(void)stack;
	if (call1(NR_uname, &name))
		die("uname");
	put("Hello from a guest: ");
	put(name.system);
	put(" ");
	put(name.release);
	put(", ");
	put(name.machine);
	put(", process ");
	put_number((u64)call0(NR_getpid));
	put(", ");
	put_number(cpus);
	put(cpus == 1 ? " cpu\n" : " cpus\n");

	put("\n");
	put_number(workers);
	put(" threads draw this, a futex barrier joins them:\n\n");
	run_threads(workers, draw);

	count = primes(1, &alone);
	put("\nPrimes below ");
	put_number(LIMIT);
	put(": ");
	put_number(count);
	put("; 1 thread ");
	put_time(alone);
	if (primes(workers, &together) != count)
		die("counting with threads");
	put(", ");
	put_number(workers);
	put(" threads ");
	put_time(together);
	put("\n");

	fault_ok = fault();
	put("A load from ");
	put_hex(NOTHING_THERE);
	put(fault_ok ? ": SIGSEGV at pc " : ": wrong signal, pc ");
	put_hex(fault_pc);
	put(fault_ok ? ", handled; the guest goes on\n" : "\n");
	call1(NR_exit_group, !fault_ok);
	__builtin_unreachable();
}

__asm__(
	".text\n"
	".globl _start\n"
	".type _start, @function\n"
	"_start:\n"
	".option push\n"
	".option norelax\n"
	"	lla	gp, __global_pointer$\n"
	".option pop\n"
	"	mv	a0, sp\n"
	"	andi	sp, sp, -16\n"
	"	call	demo\n"
	"	unimp\n"
	".size _start, . - _start\n");
