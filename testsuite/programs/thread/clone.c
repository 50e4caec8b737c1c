/* clone(2): raw arguments, flags that do not go together, vfork. */
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static long raw_clone(unsigned long flags, void *stack, int *ptid, int *ctid, unsigned long tls) {
#ifdef __riscv
    return syscall(SYS_clone, flags, stack, ptid, tls, ctid);
#else
    return syscall(SYS_clone, flags, stack, ptid, ctid, tls);
#endif
}

TEST(flags_that_do_not_go_together) {
    EXPECT_ERRNO(EINVAL, raw_clone(CLONE_THREAD | SIGCHLD, NULL, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, raw_clone(CLONE_SIGHAND | SIGCHLD, NULL, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, raw_clone(CLONE_THREAD | CLONE_VM | SIGCHLD, NULL, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, raw_clone(CLONE_NEWNS | CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0));
}

TEST(parent_and_child_tid_words) {
    static int parent_word, child_word;
    int ends[2];
    ASSERT_OK(pipe(ends));
    long pid = raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL, &parent_word, &child_word, 0);
    if (pid == 0) {
        int seen[2] = {child_word, (int)syscall(SYS_gettid)};
        _exit(write(ends[1], seen, sizeof seen) != sizeof seen);
    }
    ASSERT_OK(pid);
    EXPECT_EQ(parent_word, pid);
    EXPECT_EQ(child_word, 0); /* its own copy was written */
    int seen[2], status;
    ASSERT_EQ(read(ends[0], seen, sizeof seen), sizeof seen);
    EXPECT_EQ(seen[0], pid);
    EXPECT_EQ(seen[1], pid);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}

static int cleared_word;
static volatile int ran;
static int thread_body(void *arg) {
    (void)arg;
    ran = (int)syscall(SYS_gettid);
    return 0;
}
TEST(child_cleartid_wakes_a_futex) {
    static char stack[65536] __attribute__((aligned(16)));
    cleared_word = -1;
    int tid = clone(thread_body, stack + sizeof stack, THREAD_FLAGS | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
                    NULL, &cleared_word, NULL, &cleared_word);
    ASSERT_OK(tid);
    int seen;
    while ((seen = __atomic_load_n(&cleared_word, __ATOMIC_ACQUIRE)) != 0)
        syscall(SYS_futex, &cleared_word, FUTEX_WAIT, seen, NULL, NULL, 0);
    EXPECT_EQ(ran, tid);
    EXPECT_NE(tid, getpid());
    EXPECT_ERRNO(ECHILD, waitpid(tid, NULL, __WALL));
}

TEST(other_exit_signals) {
    int status;
    /* A child whose end sends no SIGCHLD is for __WCLONE or __WALL. */
    long pid = raw_clone(0, NULL, NULL, NULL, 0);
    if (pid == 0) _exit(3);
    ASSERT_OK(pid);
    EXPECT_ERRNO(ECHILD, waitpid(pid, &status, 0));
    EXPECT_EQ(waitpid(pid, &status, __WCLONE), pid);
    EXPECT_EXITED(3, status);
}

static volatile int shared_value;
TEST(vfork_shares_memory_and_waits) {
    shared_value = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        sleep_ms(20);
        shared_value = 7;
        _exit(9);
    }
    ASSERT_OK(pid);
    EXPECT_EQ(shared_value, 7);
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(9, status);
}

static int in_shared_memory(void *arg) {
    *(int *)arg = 55;
    close(0);
    return chdir("/");
}
TEST(clone_vm_without_files_or_fs) {
    static char stack[65536] __attribute__((aligned(16)));
    int value = 0, status;
    char before[4096], after[4096];
    ASSERT_TRUE(getcwd(before, sizeof before) != NULL);
    int pid = clone(in_shared_memory, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &value);
    ASSERT_OK(pid);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(value, 55);
    EXPECT_OK(fcntl(0, F_GETFD));
    ASSERT_TRUE(getcwd(after, sizeof after) != NULL);
    EXPECT_STR(after, before);
}

TEST(clone_files_and_fs_are_shared) {
    static char stack[65536] __attribute__((aligned(16)));
    int value = 0, status;
    char after[4096];
    int pid = clone(in_shared_memory, stack + sizeof stack, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, &value);
    ASSERT_OK(pid);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_ERRNO(EBADF, fcntl(0, F_GETFD));
    ASSERT_TRUE(getcwd(after, sizeof after) != NULL);
    EXPECT_STR(after, "/");
}

TEST(fork_copies_memory) {
    static int data = 1;
    int *heap = malloc(sizeof *heap), local = 3, status;
    int *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(heap != NULL && map != MAP_FAILED);
    *heap = 2, *map = 4;
    pid_t pid = fork();
    if (pid == 0) {
        int good = data == 1 && *heap == 2 && local == 3 && *map == 4;
        data = *heap = local = *map = 99;
        _exit(good ? 0 : 1);
    }
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(data, 1);
    EXPECT_EQ(*heap, 2);
    EXPECT_EQ(local, 3);
    EXPECT_EQ(*map, 99);
}

static void *fork_here(void *arg) {
    int status;
    pid_t pid = fork();
    if (pid == 0) _exit(getpid() == syscall(SYS_gettid) ? 5 : 6);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 5) return (void *)1;
    return arg;
}
TEST_LIMIT(fork_while_threads_run, 30) {
    pthread_t ids[4];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++) ASSERT_EQ(pthread_create(&ids[i], NULL, fork_here, NULL), 0);
        for (int i = 0; i < 4; i++) {
            void *bad;
            ASSERT_EQ(pthread_join(ids[i], &bad), 0);
            EXPECT_TRUE(bad == NULL);
        }
    }
}

TEST(deep_chain_of_forks) {
    int ends[2], depth;
    ASSERT_OK(pipe(ends));
    for (depth = 0; depth < 30; depth++) {
        pid_t pid = fork();
        ASSERT_OK(pid);
        if (pid > 0) {
            int status;
            waitpid(pid, &status, 0);
            if (depth > 0) _exit(WEXITSTATUS(status) + 1);
            EXPECT_EXITED(29, status);
            return;
        }
    }
    _exit(0);
}
