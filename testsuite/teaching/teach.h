/* What the programs in this folder stand on instead of a C library: the entry, the
 * calls of the two teaching kernels, and a little printing.
 *
 * -DABI_RCORE takes the numbers and conventions of the kernel of the Rust tutorial,
 * -DABI_UCORE those of the C tutorial's. Both pass a call's number in a7, arguments
 * in a0 to a2, and take the result from a0; argc and argv are in a0 and a1 at entry.
 *
 * A thread's function never returns: it ends by exit(code), which from thread 0 ends
 * the process. A failed CHECK prints a line that nothing expects.
 */
#ifndef TEACH_H
#define TEACH_H

#if defined(ABI_RCORE) == defined(ABI_UCORE)
#error "compile with -DABI_RCORE or -DABI_UCORE"
#endif

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;

#define NULL ((void *)0)
#define PAGE 4096ul
/* Where nothing is ever mapped. */
#define BAD 8ul
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
    NR_DUP = 24,
    NR_OPEN = 56,
    NR_CLOSE = 57,
    NR_PIPE = 59,
    NR_READ = 63,
    NR_WRITE = 64,
    NR_EXIT = 93,
    NR_YIELD = 124,
    NR_KILL = 129,
    NR_SET_PRIORITY = 140,
    NR_GET_TIME = 169,
    NR_GETPID = 172,
    NR_SBRK = 214,
    NR_MUNMAP = 215,
    NR_FORK = 220,
    NR_EXEC = 221,
    NR_MMAP = 222,
    NR_WAITPID = 260,
    NR_SPAWN = 400,
    NR_DETECT = 469,
#ifdef ABI_RCORE
    NR_SLEEP = 101,
    NR_THREAD_CREATE = 1000,
    NR_GETTID = 1001,
    NR_WAITTID = 1002,
    NR_MUTEX_CREATE = 1010,
    NR_MUTEX_LOCK = 1011,
    NR_MUTEX_UNLOCK = 1012,
    NR_SEM_CREATE = 1020,
    NR_SEM_UP = 1021,
    NR_SEM_DOWN = 1022,
    NR_COND_CREATE = 1030,
    NR_COND_SIGNAL = 1031,
    NR_COND_WAIT = 1032,
#else
    NR_GETPPID = 173,
    NR_GETTID = 178,
    NR_TASK_INFO = 410,
    NR_THREAD_CREATE = 460,
    NR_WAITTID = 462,
    NR_MUTEX_CREATE = 463,
    NR_MUTEX_LOCK = 464,
    NR_MUTEX_UNLOCK = 466,
    NR_SEM_CREATE = 467,
    NR_SEM_UP = 468,
    NR_SEM_DOWN = 470,
    NR_COND_CREATE = 471,
    NR_COND_SIGNAL = 472,
    NR_COND_WAIT = 473,
#endif
};

/* kill takes a set of signals in one kernel, a number in the other. */
#ifdef ABI_RCORE
#define KILL (1ul << 9)
#else
#define KILL 9ul
#endif

/* How a process ends after a bad load, store or jump. */
#ifdef ABI_RCORE
#define PAGE_FAULT (-11)
#else
#define PAGE_FAULT (-2)
#endif

/* What a lock or a down answers that leaves no safe order. */
#define DEADLOCK (-0xDEADl)

enum { O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREATE = 0x200, O_TRUNC = 0x400 };
enum { P_READ = 1, P_WRITE = 2, P_EXEC = 4 };

static inline i64 call(i64 number, u64 first, u64 second, u64 third)
{
    register u64 a0 __asm__("a0") = first;
    register u64 a1 __asm__("a1") = second;
    register u64 a2 __asm__("a2") = third;
    register i64 a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return (i64)a0;
}

/* ---- memory and strings; the compiler calls some of these by name ---- */

__attribute__((used)) void *memcpy(void *to, const void *from, u64 count)
{
    for (u64 i = 0; i < count; i++)
        ((volatile u8 *)to)[i] = ((const u8 *)from)[i];
    return to;
}

__attribute__((used)) void *memset(void *to, int value, u64 count)
{
    for (u64 i = 0; i < count; i++)
        ((volatile u8 *)to)[i] = (u8)value;
    return to;
}

static inline u64 strlen(const char *text)
{
    u64 length = 0;
    while (text[length])
        length++;
    return length;
}

static inline int strcmp(const char *one, const char *other)
{
    while (*one && *one == *other)
        one++, other++;
    return (u8)*one - (u8)*other;
}

/* ---- calls ---- */

static inline i64 read(i64 fd, void *to, u64 count)
{
    return call(NR_READ, fd, (u64)to, count);
}
static inline i64 write(i64 fd, const void *from, u64 count)
{
    return call(NR_WRITE, fd, (u64)from, count);
}
static inline i64 open(const char *path, u32 flags)
{
    return call(NR_OPEN, (u64)path, flags, 2);
}
static inline i64 close(i64 fd) { return call(NR_CLOSE, fd, 0, 0); }
static inline i64 dup(i64 fd) { return call(NR_DUP, fd, 0, 0); }
/* Both kernels write two 64-bit words: the end to read from, the end to write to. */
static inline i64 pipe(u64 *ends) { return call(NR_PIPE, (u64)ends, 0, 0); }

static inline __attribute__((noreturn)) void exit(int code)
{
    for (;;)
        call(NR_EXIT, code, 0, 0);
}
static inline i64 yield(void) { return call(NR_YIELD, 0, 0, 0); }
static inline i64 getpid(void) { return call(NR_GETPID, 0, 0, 0); }
static inline i64 fork(void) { return call(NR_FORK, 0, 0, 0); }
/* A process of another program, whose only word is its path. */
static inline i64 spawn(const char *path) { return call(NR_SPAWN, (u64)path, 0, 0); }
static inline i64 set_priority(i64 priority) { return call(NR_SET_PRIORITY, priority, 0, 0); }
static inline i64 exec(const char *path, const char *const *argv)
{
    return call(NR_EXEC, (u64)path, (u64)argv, 0);
}
static inline i64 kill(i64 pid, u64 signal) { return call(NR_KILL, pid, signal, 0); }
static inline i64 waitpid_once(i64 pid, int *code)
{
    return call(NR_WAITPID, pid, (u64)code, 0);
}
/* The child's number when it has ended, or -1. One of the kernels waits in the call,
 * the other answers -2 until then. */
static inline i64 waitpid(i64 pid, int *code)
{
    i64 got;
    while ((got = waitpid_once(pid, code)) == -2)
        yield();
    return got;
}

static inline i64 sbrk(i64 bytes) { return call(NR_SBRK, bytes, 0, 0); }
static inline i64 mmap(u64 start, u64 length, u64 rights)
{
    return call(NR_MMAP, start, length, rights);
}
static inline i64 munmap(u64 start, u64 length) { return call(NR_MUNMAP, start, length, 0); }

/* Milliseconds since some moment. */
static inline i64 get_time(void)
{
#ifdef ABI_RCORE
    return call(NR_GET_TIME, 0, 0, 0);
#else
    struct { u64 sec, usec; } now = {0, 0};
    if (call(NR_GET_TIME, (u64)&now, 0, 0) != 0)
        return -1;
    return now.sec * 1000 + now.usec / 1000;
#endif
}

/* The C tutorial's kernel has no such call: its library looks at the clock. */
static inline void sleep(u64 ms)
{
#ifdef ABI_RCORE
    call(NR_SLEEP, ms, 0, 0);
#else
    i64 until = get_time() + (i64)ms;
    while (get_time() < until)
        yield();
#endif
}

static inline i64 thread_create(void (*entry)(u64), u64 argument)
{
    return call(NR_THREAD_CREATE, (u64)entry, argument, 0);
}
static inline i64 gettid(void) { return call(NR_GETTID, 0, 0, 0); }
static inline i64 waittid_once(i64 tid) { return call(NR_WAITTID, tid, 0, 0); }
/* A thread's exit code when it has ended, or -1. */
static inline i64 waittid(i64 tid)
{
    i64 got;
    while ((got = waittid_once(tid)) == -2)
        yield();
    return got;
}

enum { SPINNING = 0, BLOCKING = 1 };
static inline i64 mutex_create(u64 is_blocking)
{
    return call(NR_MUTEX_CREATE, is_blocking, 0, 0);
}
static inline i64 mutex_lock(i64 id) { return call(NR_MUTEX_LOCK, id, 0, 0); }
static inline i64 mutex_unlock(i64 id) { return call(NR_MUTEX_UNLOCK, id, 0, 0); }
static inline i64 sem_create(i64 count) { return call(NR_SEM_CREATE, count, 0, 0); }
static inline i64 sem_up(i64 id) { return call(NR_SEM_UP, id, 0, 0); }
static inline i64 sem_down(i64 id) { return call(NR_SEM_DOWN, id, 0, 0); }
static inline i64 cond_create(void) { return call(NR_COND_CREATE, 0, 0, 0); }
static inline i64 cond_signal(i64 id) { return call(NR_COND_SIGNAL, id, 0, 0); }
static inline i64 cond_wait(i64 id, i64 mutex) { return call(NR_COND_WAIT, id, mutex, 0); }
/* Asks that locks and downs which leave no safe order are refused, or not. */
static inline i64 detect_deadlocks(i64 on) { return call(NR_DETECT, on, 0, 0); }

/* ---- printing: %d and %u for 32 bits, %ld, %lu and %lx for 64, %s, %c, %% ---- */

struct line {
    char text[240];
    u64 used;
};

static inline void put_char(struct line *line, char c)
{
    if (line->used < sizeof(line->text))
        line->text[line->used++] = c;
}

static inline void put_number(struct line *line, u64 number, u64 base)
{
    char digits[24];
    int count = 0;
    do
        digits[count++] = "0123456789abcdef"[number % base];
    while (number /= base);
    while (count)
        put_char(line, digits[--count]);
}

/* One line in one write, so that lines of several threads do not mix. */
__attribute__((format(printf, 1, 2))) static void print(const char *format, ...)
{
    struct line line;
    line.used = 0;
    __builtin_va_list rest;
    __builtin_va_start(rest, format);
    for (; *format; format++) {
        if (*format != '%') {
            put_char(&line, *format);
            continue;
        }
        int is_long = *++format == 'l';
        if (is_long)
            format++;
        if (*format == 'd') {
            i64 number = is_long ? __builtin_va_arg(rest, i64) : __builtin_va_arg(rest, int);
            if (number < 0)
                put_char(&line, '-');
            put_number(&line, number < 0 ? -(u64)number : (u64)number, 10);
        } else if (*format == 'u' || *format == 'x') {
            u64 number = is_long ? __builtin_va_arg(rest, u64) : __builtin_va_arg(rest, u32);
            put_number(&line, number, *format == 'x' ? 16 : 10);
        } else if (*format == 's') {
            for (const char *text = __builtin_va_arg(rest, const char *); *text; text++)
                put_char(&line, *text);
        } else if (*format == 'c') {
            put_char(&line, (char)__builtin_va_arg(rest, int));
        } else {
            put_char(&line, *format);
        }
    }
    __builtin_va_end(rest);
    for (u64 done = 0; done < line.used;) {
        i64 put = write(1, line.text + done, line.used - done);
        if (put <= 0)
            break;
        done += put;
    }
}

/* A line that no expected output has. The thread ends; with it, if it is thread 0,
 * the process. */
static __attribute__((noreturn, unused)) void fail(int line, const char *what, i64 got, i64 want)
{
    print("FAILED line %d: %s: %ld, not %ld\n", line, what, got, want);
    exit(99);
}

#define CHECK(condition) \
    do { \
        if (!(condition)) \
            fail(__LINE__, #condition, 0, 1); \
    } while (0)
#define CHECK_EQ(value, wanted) \
    do { \
        i64 got_ = (i64)(value), want_ = (i64)(wanted); \
        if (got_ != want_) \
            fail(__LINE__, #value, got_, want_); \
    } while (0)

/* One answer, on a line of its own. */
#define ROW(what, value) print("%s: %ld\n", what, (i64)(value))

/* Another thread will write it. */
#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_SEQ_CST)
#define ADD(place, value) __atomic_fetch_add(&(place), value, __ATOMIC_SEQ_CST)
#define AWAIT(condition) \
    do { \
        while (!(condition)) \
            yield(); \
    } while (0)

/* ---- the entry ---- */

int main(int argc, const char *const *argv);

__attribute__((used, noreturn)) static void begin(u64 argc, const char *const *argv)
{
    exit(main((int)argc, argv));
}

__asm__(".globl _start\n"
        "_start:\n"
        "    andi sp, sp, -16\n"
        "    tail begin\n");

#endif
