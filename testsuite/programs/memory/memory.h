/* Shorthands of the memory programs. */
#ifndef MEMORY_H
#define MEMORY_H
#include "fault.h"
#include <sys/resource.h>

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* The raw calls: a C library checks some arguments itself. */
static inline long map(void *addr, size_t len, int prot, int flags, int fd, off_t offset) {
    return syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}
static inline long remap(void *addr, size_t old_len, size_t new_len, int flags, void *to) {
    return syscall(SYS_mremap, addr, old_len, new_len, flags, to);
}

/* Room of n pages in which nothing is mapped; nobody else maps there meanwhile,
 * as the tests have one thread. */
__attribute__((unused)) static char *room(int pages) {
    char *p = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, ANON, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    ASSERT_OK(munmap(p, (pages + 2) * PAGE));
    return p + PAGE;
}

__attribute__((unused)) static void place(char *at, int pages, int prot) {
    ASSERT_TRUE(mmap(at, pages * PAGE, prot, ANON | MAP_FIXED, -1, 0) == at);
}

/* A file of n pages, each filled with its letter: 'a', 'b', ... */
__attribute__((unused)) static int letters(const char *name, int pages, int flags) {
    char page[PAGE];
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_OK(fd);
    for (int i = 0; i < pages; i++) {
        memset(page, 'a' + i, PAGE);
        ASSERT_EQ(write(fd, page, PAGE), PAGE);
    }
    close(fd);
    fd = open(name, flags);
    ASSERT_OK(fd);
    return fd;
}

/* The line of /proc/self/maps that holds the address: its start, end and
 * permissions; false when there is none. */
__attribute__((unused)) static int maps_line(void *at, uintptr_t *start, uintptr_t *end, char *perms, char *path) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];
    int found = 0;
    ASSERT_TRUE(maps != NULL);
    while (!found && fgets(line, sizeof line, maps)) {
        unsigned long s, e, off, ino;
        char p[8], dev[16], name[2048] = "";
        if (sscanf(line, "%lx-%lx %7s %lx %15s %lu %2047s", &s, &e, p, &off, dev, &ino, name) < 6) continue;
        if ((uintptr_t)at < s || (uintptr_t)at >= e) continue;
        found = 1;
        if (start) *start = s;
        if (end) *end = e;
        if (perms) strcpy(perms, p);
        if (path) strcpy(path, name);
    }
    fclose(maps);
    return found;
}

__attribute__((unused)) static void limit(int what, rlim_t value) {
    struct rlimit limit;
    ASSERT_OK(getrlimit(what, &limit));
    limit.rlim_cur = value;
    ASSERT_OK(setrlimit(what, &limit));
}
#endif
