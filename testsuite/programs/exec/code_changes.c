/* Code that changes between, during and after runs of a program: what runs is
 * what the file has, or what this process made of it, and never what another
 * run had. The program is a copy of this one with other answers. */
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>

extern char **environ;

/* Two functions that answer 1 and 2, each behind a mark to find it by in the file.
 * FIRST_WORDS and its like are the instructions that answer a number below 128. */
#ifdef __riscv
#define ANSWER(n) ".option push\n.option norvc\nli a0, " #n "\nret\n.option pop\n"
#define ANSWER_BYTES 8
static void answer_code(unsigned char *to, int n) {
    uint32_t words[2] = {0x00000513u | (uint32_t)n << 20, 0x00008067u};
    memcpy(to, words, sizeof words);
}
#else
#define ANSWER(n) "movl $" #n ", %eax\nret\n"
#define ANSWER_BYTES 6
static void answer_code(unsigned char *to, int n) {
    unsigned char bytes[] = {0xb8, n, 0, 0, 0, 0xc3};
    memcpy(to, bytes, sizeof bytes);
}
#endif

__asm__(".pushsection .text\n"
        ".balign 16\n"
        "first_mark: .ascii \"marks answer one\"\n"
        ".type first_answer, @function\n"
        "first_answer:\n" ANSWER(1)
        ".balign 4096\n"
        "second_mark: .ascii \"marks answer two\"\n"
        ".type second_answer, @function\n"
        "second_answer:\n" ANSWER(2)
        ".balign 16\n"
        /* Waits for a word, without a return or a jump back after it. */
        ".type wait_and_answer, @function\n"
        "wait_and_answer:\n"
#ifdef __riscv
        "1: lw a1, 0(a0)\n beqz a1, 1b\n j third_answer\n"
#else
        "1: movl (%rdi), %eax\n testl %eax, %eax\n jz 1b\n jmp third_answer\n"
#endif
        ".balign 4096\n"
        ".type third_answer, @function\n"
        "third_answer:\n" ANSWER(3)
        ".balign 4096\n"
        ".popsection\n");
extern char first_mark[], second_mark[];
extern int first_answer(void), second_answer(void), third_answer(void);
extern int wait_and_answer(atomic_int *);
#define MARK 16

/* Through a pointer that the compiler knows nothing of. */
static int ask(int (*answer)(void)) {
    int (*volatile f)(void) = answer;
    return f();
}

/* Makes first_answer of this process answer `n`. */
static int change_own(int n) {
    uintptr_t page = (uintptr_t)first_answer & ~4095ul;
    if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC)) return -1;
    answer_code((unsigned char *)first_answer, n);
    __builtin___clear_cache((char *)first_answer, (char *)first_answer + ANSWER_BYTES);
    return mprotect((void *)page, 8192, PROT_READ | PROT_EXEC);
}

static atomic_int is_waiting, is_mapped;

static void *wait_for_mapped(void *unused) {
    (void)unused;
    atomic_int yes = 1;
    wait_and_answer(&yes);
    atomic_store(&is_waiting, 1);
    return (void *)(long)wait_and_answer(&is_mapped);
}

/* What a thread answers that waits for other code to be mapped, and goes there. */
static int answer_after_mapping(void) {
    pthread_t thread;
    void *answer;
    int fd = open("code", O_RDONLY);
    if (fd < 0 || pthread_create(&thread, NULL, wait_for_mapped, NULL)) return 96;
    while (!atomic_load(&is_waiting)) sched_yield();
    usleep(500);
    void *at = (void *)third_answer;
    if (mmap(at, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) != at) return 95;
    atomic_store(&is_mapped, 1);
    return pthread_join(thread, &answer) ? 94 : (int)(long)answer;
}

/* With CODE_CHILD in its environment this program answers and ends. */
__attribute__((constructor(101))) static void child(int argc, char **argv, char **envp) {
    (void)argc, (void)argv;
    for (char **p = envp; *p; p++) {
        if (strcmp(*p, "CODE_CHILD=first") == 0) _exit(ask(first_answer));
        if (strcmp(*p, "CODE_CHILD=second") == 0) _exit(ask(second_answer));
        if (strcmp(*p, "CODE_CHILD=mapping") == 0) _exit(answer_after_mapping());
        if (strcmp(*p, "CODE_CHILD=change") == 0) {
            int before = ask(first_answer);
            if (change_own(before + 40)) _exit(99);
            _exit(ask(first_answer));
        }
        if (strcmp(*p, "CODE_CHILD=wait") == 0) {
            char c = ask(first_answer);
            if (write(1, &c, 1) != 1 || read(0, &c, 1) != 1) _exit(98);
            _exit(ask(first_answer) * 10 + ask(second_answer));
        }
    }
}

/* A copy of this program with its two answers, at `path`. */
static void make_program(const char *path, int first, int second) {
    static unsigned char image[8 << 20];
    int in = open("/proc/self/exe", O_RDONLY);
    ASSERT_OK(in);
    ssize_t len = 0, n;
    while ((n = read(in, image + len, sizeof image - len)) > 0) len += n;
    close(in);
    unsigned char *one = memmem(image, len, first_mark, MARK);
    unsigned char *two = memmem(image, len, second_mark, MARK);
    ASSERT_TRUE(one && two);
    answer_code(one + MARK, first);
    answer_code(two + MARK, second);
    int out = open(path, O_WRONLY | O_CREAT, 0755);
    ASSERT_OK(out);
    ASSERT_EQ(pwrite(out, image, len, 0), len);
    ASSERT_OK(close(out));
}

/* What `path` answers when asked for `what`. */
static int answer_of(const char *path, const char *what) {
    char mode[32];
    snprintf(mode, sizeof mode, "CODE_CHILD=%s", what);
    pid_t pid = fork();
    if (pid == 0) {
        execve(path, (char *[]){(char *)path, NULL}, (char *[]){mode, NULL});
        _exit(97);
    }
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

TEST(a_program_rewritten_in_place) {
    struct stat st;
    for (int round = 0; round < 3; round++) {
        make_program("prog", 11 + round, 21 + round);
        if (round == 0) {
            ASSERT_OK(stat("prog", &st));
        } else {
            /* As if nothing had happened to it. */
            ASSERT_OK(utimensat(AT_FDCWD, "prog", (struct timespec[]){st.st_atim, st.st_mtim}, 0));
        }
        EXPECT_EQ(answer_of("./prog", "first"), 11 + round);
        EXPECT_EQ(answer_of("./prog", "first"), 11 + round);
        EXPECT_EQ(answer_of("./prog", "second"), 21 + round);
    }
}

TEST(a_part_that_ran_before_is_rewritten_later) {
    make_program("prog", 11, 21);
    EXPECT_EQ(answer_of("./prog", "first"), 11);
    make_program("prog", 11, 22);
    EXPECT_EQ(answer_of("./prog", "second"), 22);
    make_program("prog", 12, 22);
    EXPECT_EQ(answer_of("./prog", "first"), 12);
    EXPECT_EQ(answer_of("./prog", "second"), 22);
}

TEST(a_program_replaced_by_another) {
    for (int round = 0; round < 3; round++) {
        make_program("new", 31 + round, 41 + round);
        ASSERT_OK(rename("new", "prog"));
        EXPECT_EQ(answer_of("./prog", "first"), 31 + round);
        EXPECT_EQ(answer_of("./prog", "second"), 41 + round);
    }
}

TEST(two_programs_that_differ_in_one_place) {
    make_program("one", 5, 6);
    make_program("two", 5, 7);
    for (int round = 0; round < 3; round++) {
        EXPECT_EQ(answer_of("./one", "second"), 6);
        EXPECT_EQ(answer_of("./two", "first"), 5);
        EXPECT_EQ(answer_of("./two", "second"), 7);
    }
}

TEST(who_changes_its_own_code_changes_nobody_elses) {
    make_program("prog", 3, 4);
    for (int round = 0; round < 3; round++) {
        EXPECT_EQ(answer_of("./prog", "change"), 43);
        EXPECT_EQ(answer_of("./prog", "first"), 3);
    }
}

TEST(a_running_program_keeps_what_it_began_with) {
    make_program("prog", 1, 2);
    int to[2], from[2];
    ASSERT_OK(pipe(to));
    ASSERT_OK(pipe(from));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execve("./prog", (char *[]){"prog", NULL}, (char *[]){"CODE_CHILD=wait", NULL});
        _exit(97);
    }
    close(to[0]);
    close(from[1]);
    char c = 0;
    ASSERT_EQ(read(from[0], &c, 1), 1);
    EXPECT_EQ(c, 1);
    /* What it has not run yet changes as well. */
    make_program("new", 3, 4);
    ASSERT_OK(rename("new", "prog"));
    EXPECT_EQ(answer_of("./prog", "second"), 4);
    EXPECT_EQ(answer_of("./prog", "first"), 3);
    ASSERT_EQ(write(to[1], &c, 1), 1);
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 12 << 8);
}

TEST(a_fork_that_changes_its_code) {
    EXPECT_EQ(ask(first_answer), 1);
    pid_t pid = fork();
    if (pid == 0) {
        if (change_own(51)) _exit(99);
        _exit(ask(first_answer));
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 51 << 8);
    EXPECT_EQ(ask(first_answer), 1);
    ASSERT_OK(change_own(52));
    pid = fork();
    if (pid == 0) _exit(ask(first_answer));
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 52 << 8);
}

/* A file whose code answers `n`. */
static int code_file(const char *path, int n) {
    unsigned char code[ANSWER_BYTES];
    answer_code(code, n);
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    ASSERT_OK(fd);
    ASSERT_EQ(pwrite(fd, code, sizeof code, 0), (ssize_t)sizeof code);
    return fd;
}

/* The two sides of a fork map different code at one address. */
TEST(forks_map_other_code_at_the_same_place) {
    int one = code_file("one", 61), two = code_file("two", 62);
    void *at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(at != MAP_FAILED);
    pid_t pid = fork();
    int fd = pid == 0 ? one : two, expect = pid == 0 ? 61 : 62;
    int status = -1;
    /* The child's has run before the parent's is mapped. */
    if (pid != 0) ASSERT_EQ(waitpid(pid, &status, 0), pid);
    void *got = mmap(at, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
    int answer = got == at ? ask((int (*)(void))at) : -1;
    if (pid == 0) _exit(answer == expect ? 0 : 1);
    EXPECT_EQ(answer, expect);
    EXPECT_EQ(status, 0);
}

/* Code that only one side has mapped is not there in the other. */
TEST(forks_do_not_run_what_they_have_not_mapped) {
    int fd = code_file("one", 61);
    void *at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(at != MAP_FAILED);
    int ends[2];
    ASSERT_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        if (read(ends[0], &c, 1) != 1) _exit(1);
        ask((int (*)(void))at);
        _exit(2);
    }
    ASSERT_TRUE(mmap(at, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) == at);
    EXPECT_EQ(ask((int (*)(void))at), 61);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(WTERMSIG(status), SIGSEGV);
}

/* Who has mapped other code has done so for all threads of its process. */
TEST_LIMIT(threads_go_to_what_is_mapped_now, 30) {
    int fd = code_file("code", 63);
    ASSERT_OK(fd);
    ASSERT_OK(close(fd));
    int stale = 0;
    for (int round = 0; round < 60; round++) {
        int answer = answer_of("/proc/self/exe", "mapping");
        if (answer == 3)
            stale++;
        else
            EXPECT_EQ(answer, 63);
    }
    EXPECT_EQ(stale, 0);
}

/* Code that may be written, and answers 71. */
static unsigned char *writable_code(void) {
    unsigned char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(at != MAP_FAILED);
    answer_code(at, 71);
    __builtin___clear_cache((char *)at, (char *)at + ANSWER_BYTES);
    return at;
}

/* A child writes code and runs it, and does not tell its kernel: it has not run
 * what was there. */
TEST(what_a_fork_writes_the_others_do_not_run) {
    unsigned char *at = writable_code();
    pid_t pid = fork();
    if (pid == 0) {
        answer_code(at, 72);
        _exit(ask((int (*)(void))at));
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 72 << 8);
    EXPECT_EQ(ask((int (*)(void))at), 71);
}

/* How a child ends that runs code which madvise(2) keeps from it. */
static int run_in_child_after(int advice) {
    unsigned char *at = writable_code();
    ASSERT_OK(madvise(at, 4096, advice));
    EXPECT_EQ(ask((int (*)(void))at), 71);
    pid_t pid = fork();
    if (pid == 0) _exit(ask((int (*)(void))at));
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(ask((int (*)(void))at), 71);
    return status;
}
TEST(forks_do_not_run_what_they_did_not_get) {
    EXPECT_EQ(WTERMSIG(run_in_child_after(MADV_DONTFORK)), SIGSEGV);
    /* Zeros are no instruction, or one that writes to nowhere. */
    EXPECT_TRUE(WIFSIGNALED(run_in_child_after(MADV_WIPEONFORK)));
}

/* Threads and forks that map other code at one place again and again. What is read
 * there is what runs. */
static int mapped_fds[4];
static unsigned char *mapped_at;
static atomic_int is_over, wrong_in_threads, wrong_in_forks;
static pthread_rwlock_t mapping_lock = PTHREAD_RWLOCK_INITIALIZER;

static int map_code(int which) {
    int flags = MAP_PRIVATE | MAP_FIXED;
    void *at = mmap(mapped_at, 4096, PROT_READ | PROT_EXEC, flags, mapped_fds[which], 0);
    return at == mapped_at;
}

static int runs_what_is_there(void) {
    unsigned char code[ANSWER_BYTES];
    answer_code(code, ask((int (*)(void))mapped_at));
    return memcmp(code, mapped_at, sizeof code) == 0;
}

static void *map_again(void *unused) {
    for (int which = 0; !atomic_load(&is_over); which = (which + 1) % 4) {
        pthread_rwlock_wrlock(&mapping_lock);
        if (!map_code(which)) wrong_in_threads++;
        pthread_rwlock_unlock(&mapping_lock);
        usleep(50);
    }
    return unused;
}

static void *run_again(void *unused) {
    while (!atomic_load(&is_over)) {
        pthread_rwlock_rdlock(&mapping_lock);
        if (!runs_what_is_there()) wrong_in_threads++;
        pthread_rwlock_unlock(&mapping_lock);
    }
    return unused;
}

static void *write_again(void *unused) {
    unsigned char *at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int n = 1; !atomic_load(&is_over); n = n % 100 + 1) {
        mprotect(at, 4096, PROT_READ | PROT_WRITE);
        answer_code(at, n);
        mprotect(at, 4096, PROT_READ | PROT_EXEC);
        __builtin___clear_cache((char *)at, (char *)at + ANSWER_BYTES);
        if (ask((int (*)(void))at) != n) wrong_in_threads++;
    }
    return unused;
}

static void *fork_again(void *unused) {
    while (!atomic_load(&is_over)) {
        pid_t pid = fork();
        if (pid == 0) {
            int wrong = !runs_what_is_there();
            for (int which = 0; which < 4; which++)
                if (!map_code(which) || !runs_what_is_there()) wrong = 1;
            _exit(wrong);
        }
        int status = -1;
        waitpid(pid, &status, 0);
        if (status != 0) wrong_in_forks++;
    }
    return unused;
}

TEST_LIMIT(threads_and_forks_map_other_code, 30) {
    for (int which = 0; which < 4; which++) {
        char name[] = {"abcd"[which], 0};
        mapped_fds[which] = code_file(name, 60 + which);
    }
    mapped_at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(map_code(0));
    void *(*what[])(void *) = {map_again,   run_again,  run_again, write_again,
                               write_again, fork_again, fork_again};
    enum { THREADS = sizeof what / sizeof *what };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ASSERT_EQ(pthread_create(&threads[i], NULL, what[i], NULL), 0);
    sleep(4);
    atomic_store(&is_over, 1);
    for (int i = 0; i < THREADS; i++) ASSERT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT_EQ(wrong_in_threads, 0);
    EXPECT_EQ(wrong_in_forks, 0);
}
