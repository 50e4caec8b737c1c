/* die HOW: ends in one of the ways a program ends. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char text[] = "read-only";
/* Volatile, so that no compiler proves that it never ends. */
static volatile int always = 1;
__attribute__((noinline)) static int deep(volatile char *above) {
    volatile char frame[4096];
    frame[0] = above ? above[0] : 0;
    return (always ? deep(frame) : 0) + frame[0];
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    volatile uintptr_t zero = 0, at = (uintptr_t)text;
    static uint32_t data[2];
    if (strcmp(how, "null") == 0) return *(volatile int *)zero;
    if (strcmp(how, "rodata") == 0) *(volatile char *)at = 1;
    if (strcmp(how, "jump") == 0) ((void (*)(void))data)();
    if (strcmp(how, "stack") == 0) return deep(NULL);
    if (strcmp(how, "illegal") == 0)
#ifdef __riscv
        __asm__ volatile(".word 0");
    if (strcmp(how, "misaligned") == 0) __asm__ volatile("amoadd.d zero, zero, (%0)" ::"r"((char *)data + 1) : "memory");
    if (strcmp(how, "ebreak") == 0) __asm__ volatile("ebreak");
#else
        __asm__ volatile("ud2");
    if (strcmp(how, "misaligned") == 0) raise(SIGBUS);
    if (strcmp(how, "ebreak") == 0) __asm__ volatile("int3");
#endif
    if (strcmp(how, "truncated") == 0) {
        int fd = open("die-file", O_RDWR | O_CREAT, 0600);
        volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        unlink("die-file");
        return p[0];
    }
    if (strcmp(how, "abort") == 0) abort();
    if (strcmp(how, "term") == 0) raise(SIGTERM);
    if (strcmp(how, "kill") == 0) raise(SIGKILL);
    if (strcmp(how, "exit") == 0) exit(42);
    return 0;
}
