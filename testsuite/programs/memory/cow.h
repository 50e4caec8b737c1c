/* Memory of a known content, and children that wait for their turn. */
#ifndef COW_H
#define COW_H
#include "memory.h"
#include <pthread.h>

/* Four megabytes: more than any kernel copies at once. */
#define PAGES 1024

static inline uint64_t word_of(int page) { return 0x1234567800000000u + page * 7919u; }

static inline volatile uint64_t *first(char *p, int page) { return (volatile uint64_t *)(p + (size_t)page * PAGE); }
static inline volatile uint64_t *last(char *p, int page) { return first(p, page) + PAGE / 8 - 1; }

/* Every page of it holds a number of its own, at its start and at its end. */
__attribute__((unused)) static void fill(char *p, int pages) {
    for (int i = 0; i < pages; i++) {
        *first(p, i) = word_of(i);
        *last(p, i) = ~word_of(i);
    }
}

__attribute__((unused)) static char *region(int pages) {
    char *p = mmap(NULL, (size_t)pages * PAGE, RW, ANON, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    fill(p, pages);
    return p;
}

static inline int is_filled(char *p, int page) { return *first(p, page) == word_of(page) && *last(p, page) == ~word_of(page); }

/* How many of the pages from..to are not as filled. */
__attribute__((unused)) static int wrong(char *p, int from, int to) {
    int n = 0;
    for (int i = from; i < to; i++) n += !is_filled(p, i);
    return n;
}

/* A signal between processes: one side passes it, the other waits. */
struct turn {
    int fd[2];
};
__attribute__((unused)) static struct turn turn(void) {
    struct turn t;
    ASSERT_OK(pipe(t.fd));
    return t;
}
__attribute__((unused)) static void pass(struct turn *t) {
    while (write(t->fd[1], "", 1) == -1 && errno == EINTR) {}
}
__attribute__((unused)) static void await(struct turn *t) {
    char c;
    while (read(t->fd[0], &c, 1) == -1 && errno == EINTR) {}
}

/* fork(2) with the child's failures its own. */
__attribute__((unused)) static pid_t fork_child(void) {
    pid_t pid = fork();
    ASSERT_OK(pid);
    if (pid == 0) check_failures = 0;
    return pid;
}
#define END_CHILD() _exit(check_failures ? 1 : 0)
#define EXPECT_CHILD_FINE(pid)                                               \
    do {                                                                     \
        int status_ = -1;                                                    \
        while (waitpid(pid, &status_, 0) == -1 && errno == EINTR) {}         \
        EXPECT_EXITED(0, status_);                                           \
    } while (0)

#endif
