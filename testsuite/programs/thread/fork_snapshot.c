/* A child sees one moment of every thread of its parent: what a thread wrote
 * first is never older than what it wrote after. */
#include "check.h"
#include <pthread.h>

#define PAGES 64
static volatile long *pages;
static volatile int stop;

static volatile long *word(int page) { return pages + page * 512; }

/* Page 0 first, then the others in order. */
static void *writer(void *unused) {
    for (long n = 1; !stop; n++)
        for (int page = 0; page < PAGES; page++) *word(page) = n;
    return unused;
}

static int is_ordered(void) {
    long first = *word(0);
    for (int page = 1; page < PAGES; page++) {
        long now = *word(page);
        if (now > *word(page - 1) || now < first - 1) return 0;
    }
    return 1;
}

TEST_LIMIT(memory_is_copied_at_one_moment, 60) {
    pages = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_EQ(pages != MAP_FAILED, 1);
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, writer, NULL), 0);
    while (*word(PAGES - 1) == 0) {}
    for (int i = 0; i < 300; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) _exit(is_ordered() ? 0 : 1);
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_EQ(status, 0);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

static void *forker(void *bad) {
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) _exit(is_ordered() ? 0 : 1);
        if (child < 0 || waitpid(child, &status, 0) != child || status) *(volatile int *)bad = 1;
    }
    return NULL;
}

TEST_LIMIT(several_threads_fork_at_once, 60) {
    pages = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_EQ(pages != MAP_FAILED, 1);
    pthread_t thread, forkers[4];
    int bad = 0;
    ASSERT_EQ(pthread_create(&thread, NULL, writer, NULL), 0);
    for (int i = 0; i < 4; i++) ASSERT_EQ(pthread_create(&forkers[i], NULL, forker, &bad), 0);
    for (int i = 0; i < 4; i++) pthread_join(forkers[i], NULL);
    stop = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(bad, 0);
}
