// A process forked or replaced by a thread that is not alone.
// prints: in the child, its number: 0
// prints: in the child, the one that stayed: -1
// prints: in the child, the parent's mutex: -1
// prints: the child's code: 21
// prints: after exec, its number: 0
// prints: after exec, the other one: -1
// prints: after exec, the mutex: -1
// prints: the replaced one's code: 22
#include "teach.h"

static u32 there;
static const char *self;

static void stays(u64 unused)
{
    (void)unused;
    ADD(there, 1);
    for (;;)
        yield();
}

static void forks(u64 unused)
{
    (void)unused;
    i64 child = fork();
    if (child == 0) {
        // The caller alone is there.
        i64 me = gettid();
        ROW("in the child, its number", me);
        ROW("in the child, the one that stayed", waittid_once(1));
        ROW("in the child, the parent's mutex", mutex_lock(0));
        exit(21);
    }
    CHECK(child > 0);
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    ROW("the child's code", code);
    exit(0);
}

static void replaces(u64 unused)
{
    (void)unused;
    const char *const words[] = {self, "replaced", NULL};
    ROW("exec came back", exec(self, words));
    exit(0);
}

int main(int argc, const char *const *argv)
{
    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "replaced") == 0) {
        ROW("after exec, its number", gettid());
        ROW("after exec, the other one", waittid_once(1));
        ROW("after exec, the mutex", mutex_lock(0));
        return 22;
    }
    CHECK_EQ(mutex_create(BLOCKING), 0);
    CHECK_EQ(thread_create(stays, 0), 1);
    AWAIT(LOAD(there) == 1);
    CHECK_EQ(waittid(thread_create(forks, 0)), 0);
    i64 child = fork();
    if (child == 0) {
        STORE(there, 0);
        CHECK_EQ(mutex_create(BLOCKING), 0);
        CHECK_EQ(thread_create(stays, 0), 1);
        AWAIT(LOAD(there) == 1);
        thread_create(replaces, 0);
        for (;;)
            yield();
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    ROW("the replaced one's code", code);
    return 0;
}
