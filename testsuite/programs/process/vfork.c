/* vfork: a child in the parent's memory, which waits meanwhile. */
#define CHECK_ARGS exec_mode
static int exec_mode(int argc, char **argv);
#include "tasks.h"
#include <spawn.h>

extern char **environ;
static int exec_mode(int argc, char **argv) {
    if (strcmp(argv[1], "@code") == 0) return atoi(argv[2]);
    if (strcmp(argv[1], "@read") == 0) {
        char c;
        return argc > 2 && read(atoi(argv[2]), &c, 1) == 1 ? 0 : 1;
    }
    return 99;
}
static char self[4096];
static void find_self(void) {
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    ASSERT_TRUE(n > 0);
}

static volatile int value;
TEST(memory_is_shared_until_the_end) {
    value = 1;
    pid_t pid = vfork();
    if (pid == 0) {
        value = 2;
        _exit(3);
    }
    ASSERT_OK(pid);
    EXPECT_EQ(value, 2);
    EXPECT_EXITED(3, status_of(pid));
}

TEST(the_parent_goes_on_at_exec) {
    int ends[2];
    char number[16];
    find_self();
    ASSERT_OK(pipe(ends));
    snprintf(number, sizeof number, "%d", ends[0]);
    pid_t pid = vfork();
    if (pid == 0) {
        execl(self, self, "@read", number, NULL);
        _exit(98);
    }
    ASSERT_OK(pid);
    /* It still runs, and waits for this. */
    EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    EXPECT_EXITED(0, status_of(pid));
}

TEST(a_failed_exec_leaves_it_waiting) {
    value = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/none", "none", NULL);
        value = errno;
        _exit(4);
    }
    ASSERT_OK(pid);
    EXPECT_EQ(value, ENOENT);
    EXPECT_EXITED(4, status_of(pid));
}

static void die_in_it(void) {
    pid_t pid = vfork();
    if (pid == 0) {
        value = 9;
        kill(getpid(), SIGKILL);
        _exit(1);
    }
    EXPECT_EQ(value, 9);
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
}
TEST(the_parent_goes_on_when_the_child_is_killed) { EXPECT_EXITED(0, in_child(die_in_it)); }

static volatile int handled;
static void on_usr1(int sig) {
    (void)sig;
    handled++;
}
TEST(a_signal_waits_until_the_child_is_done) {
    signal(SIGUSR1, on_usr1);
    pid_t me = getpid();
    pid_t pid = vfork();
    if (pid == 0) {
        kill(me, SIGUSR1);
        for (volatile int i = 0; i < 100000; i++) {}
        value = handled;
        _exit(0);
    }
    EXPECT_EQ(value, 0);
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_EQ(handled, 1);
}

static int *page;
static void kill_a_waiting_parent_by(int sig) {
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t parent = fork();
    if (parent == 0) {
        pid_t pid = vfork();
        if (pid == 0) {
            store(&page[0], getpid());
            while (!load(&page[1])) usleep(200);
            _exit(5);
        }
        _exit(1);
    }
    UNTIL(load(&page[0]) != 0);
    kill(parent, sig);
    EXPECT_SIGNALED(sig, status_of(parent));
    /* The child goes on in the memory that is now its own. */
    EXPECT_OK(kill(page[0], 0));
    store(&page[1], 1);
    EXPECT_EXITED(5, status_of(page[0]));
}
TEST(a_waiting_parent_can_be_killed) { kill_a_waiting_parent_by(SIGKILL); }
/* They end it when they are sent. */
TEST(a_waiting_parent_can_be_ended_by_others) {
    kill_a_waiting_parent_by(SIGTERM);
    kill_a_waiting_parent_by(SIGRTMIN + 1);
}

static void *count_up(void *counter) {
    for (;;) __atomic_add_fetch((long *)counter, 1, __ATOMIC_RELAXED);
    return NULL;
}
TEST(other_threads_go_on) {
    static long counter;
    pthread_t thread;
    pthread_create(&thread, NULL, count_up, &counter);
    pid_t pid = vfork();
    if (pid == 0) {
        long before = __atomic_load_n(&counter, __ATOMIC_RELAXED);
        while (__atomic_load_n(&counter, __ATOMIC_RELAXED) == before) usleep(100);
        _exit(6);
    }
    EXPECT_EXITED(6, status_of(pid));
}

TEST(descriptors_and_directory_are_copies) {
    char before[4096], after[4096];
    ASSERT_TRUE(getcwd(before, sizeof before) != NULL);
    int fd = open("/dev/null", O_RDONLY);
    pid_t pid = vfork();
    if (pid == 0) {
        close(fd);
        _exit(chdir("/") != 0);
    }
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_OK(fcntl(fd, F_GETFD));
    ASSERT_TRUE(getcwd(after, sizeof after) != NULL);
    EXPECT_STR(after, before);
}

TEST(one_inside_the_other) {
    value = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        pid_t inner = vfork();
        if (inner == 0) {
            value = 5;
            _exit(1);
        }
        value *= 2;
        int status = 0;
        waitpid(inner, &status, 0);
        value += WEXITSTATUS(status);
        _exit(2);
    }
    EXPECT_EQ(value, 11);
    EXPECT_EXITED(2, status_of(pid));
}

static void spawn_one(int code) {
    char number[16];
    pid_t pid;
    snprintf(number, sizeof number, "%d", code);
    ASSERT_EQ(posix_spawn(&pid, self, NULL, NULL, (char *[]){self, "@code", number, NULL}, environ), 0);
    EXPECT_EXITED(code, status_of(pid));
}
TEST(posix_spawn_again_and_again) {
    find_self();
    for (int i = 0; i < 20; i++) spawn_one(i);
}
static void *spawn_some(void *base) {
    for (long i = 0; i < 5; i++) spawn_one((int)((long)base + i));
    return NULL;
}
TEST(posix_spawn_from_threads) {
    pthread_t threads[4];
    find_self();
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, spawn_some, (void *)(10 * i));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}
TEST(posix_spawn_of_nothing) {
    pid_t pid = -1;
    char *argv[] = {"none", NULL};
    EXPECT_EQ(posix_spawn(&pid, "/none", NULL, NULL, argv, environ), ENOENT);
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, 0));
}
