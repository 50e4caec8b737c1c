/* execve(2), execveat(2): arguments, limits, what survives, what is refused. */
#include "check.h"
#include <elf.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;

/* With EXEC_CHILD in its environment this program describes itself and ends,
 * before anything else runs. */
__attribute__((constructor(101))) static void child(int argc, char **argv, char **envp) {
    char *mode = NULL;
    for (char **p = envp; *p; p++)
        if (strncmp(*p, "EXEC_CHILD=", 11) == 0) mode = *p + 11;
    if (!mode) return;
    if (strcmp(mode, "arguments") == 0) {
        printf("%d", argc);
        for (int i = 0; i < argc; i++) printf("|%s", argv[i]);
        for (char **p = envp; *p; p++) printf("|%s", *p);
    } else if (strcmp(mode, "lengths") == 0) {
        size_t sum = 0;
        for (int i = 0; i < argc; i++) sum += strlen(argv[i]);
        printf("%d %zu", argc, sum);
    } else if (strcmp(mode, "state") == 0) {
        struct sigaction ignored, handled;
        sigset_t mask, pending;
        stack_t alt;
        char name[17] = {0};
        sigaction(SIGUSR1, NULL, &ignored);
        sigaction(SIGUSR2, NULL, &handled);
        sigprocmask(0, NULL, &mask);
        sigpending(&pending);
        sigaltstack(NULL, &alt);
        prctl(PR_GET_NAME, name);
        printf("ign %d dfl %d mask %d pending %d altstack %d fd200 %d fd201 %d name %s single %d umask %o",
               ignored.sa_handler == SIG_IGN, handled.sa_handler == SIG_DFL,
               sigismember(&mask, SIGHUP), sigismember(&pending, SIGHUP),
               !(alt.ss_flags & SS_DISABLE), fcntl(200, F_GETFD) != -1, fcntl(201, F_GETFD) != -1,
               name, getpid() == syscall(SYS_gettid), (unsigned)umask(0));
    } else if (strcmp(mode, "pid") == 0) {
        printf("%d", getpid());
    } else if (strcmp(mode, "exe") == 0) {
        char path[4096] = {0};
        if (readlink("/proc/self/exe", path, sizeof path - 1) < 0) strcpy(path, "?");
        printf("%s", path);
    }
    fflush(stdout);
    _exit(0);
}

static char self[4096];
static char output[1 << 16];

static void find_self(void) {
    int n = readlink("/proc/self/exe", self, sizeof self - 1);
    ASSERT_TRUE(n > 0);
}

/* Runs start() in a child, which should exec; its output is kept, its wait
 * status returned. 200 + errno when exec fails. */
static int run(void (*start)(void)) {
    int ends[2];
    ASSERT_OK(pipe(ends));
    pid_t pid = fork();
    ASSERT_OK(pid);
    if (pid == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        start();
        _exit(errno < 50 ? 200 + errno : 255);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(ends[0], output + len, sizeof output - 1 - len)) > 0) len += n;
    output[len] = 0;
    close(ends[0]);
    int status = -1;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {}
    return status;
}

static char **the_argv;
static char *the_envp[] = {"EXEC_CHILD=arguments", NULL, NULL, NULL};
static const char *the_path;
static void plain(void) { execve(the_path, the_argv, the_envp); }

static int run_mode(const char *path, const char *mode, char **argv) {
    static char text[64];
    snprintf(text, sizeof text, "EXEC_CHILD=%s", mode);
    the_envp[0] = text;
    the_path = path;
    the_argv = argv;
    return run(plain);
}

#define ARGV(...) ((char *[]){__VA_ARGS__, NULL})

TEST(arguments_and_environment) {
    find_self();
    the_envp[1] = "A=";
    the_envp[2] = "no equals sign";
    EXPECT_EXITED(0, run_mode(self, "arguments", ARGV("zero", "", "two three", "")));
    EXPECT_STR(output, "4|zero||two three||EXEC_CHILD=arguments|A=|no equals sign");
}

TEST(no_arguments_become_one_empty_one) {
    find_self();
    EXPECT_EXITED(0, run_mode(self, "arguments", (char *[]){NULL}));
    EXPECT_STR(output, "1||EXEC_CHILD=arguments");
    EXPECT_EXITED(0, run_mode(self, "arguments", NULL));
    EXPECT_STR(output, "1||EXEC_CHILD=arguments");
}

static char *letters(size_t len) {
    char *text = malloc(len + 1);
    memset(text, 'x', len);
    text[len] = 0;
    return text;
}

TEST(one_string_may_have_128_kib) {
    find_self();
    EXPECT_EXITED(0, run_mode(self, "lengths", ARGV("x", letters(131071))));
    EXPECT_STR(output, "2 131072");
    EXPECT_EXITED(200 + E2BIG, run_mode(self, "lengths", ARGV("x", letters(131072))));
    the_envp[1] = letters(131072);
    EXPECT_EXITED(200 + E2BIG, run_mode(self, "lengths", ARGV("x")));
}

TEST(all_may_have_a_quarter_of_the_stack) {
    find_self();
    struct rlimit limit = {8 << 20, RLIM_INFINITY};
    getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = 8 << 20;
    ASSERT_OK(setrlimit(RLIMIT_STACK, &limit));
    char **argv = calloc(300000, sizeof *argv);
    char *text = letters(100000);
    for (int i = 0; i < 20; i++) argv[i] = text;
    EXPECT_EXITED(0, run_mode(self, "lengths", argv));
    EXPECT_STR(output, "20 2000000");
    argv[20] = text;
    EXPECT_EXITED(200 + E2BIG, run_mode(self, "lengths", argv));
    /* Pointers count too. */
    for (int i = 0; i < 200000; i++) argv[i] = "";
    EXPECT_EXITED(0, run_mode(self, "lengths", argv));
    EXPECT_STR(output, "200000 0");
    for (int i = 0; i < 280000; i++) argv[i] = "";
    EXPECT_EXITED(200 + E2BIG, run_mode(self, "lengths", argv));
    /* A small stack still gives 128 KiB. */
    limit.rlim_cur = 256 << 10;
    ASSERT_OK(setrlimit(RLIMIT_STACK, &limit));
    memset(argv, 0, 300000 * sizeof *argv);
    argv[0] = letters(100000);
    EXPECT_EXITED(0, run_mode(self, "lengths", argv));
    argv[1] = letters(40000);
    EXPECT_EXITED(200 + E2BIG, run_mode(self, "lengths", argv));
}

TEST(bad_pointers) {
    find_self();
    char *nowhere[] = {BAD_PTR, NULL};
    EXPECT_ERRNO(EFAULT, syscall(SYS_execve, BAD_PTR, environ, environ));
    EXPECT_ERRNO(EFAULT, syscall(SYS_execve, self, BAD_PTR, environ));
    EXPECT_ERRNO(EFAULT, syscall(SYS_execve, self, environ, BAD_PTR));
    EXPECT_ERRNO(EFAULT, syscall(SYS_execve, self, nowhere, environ));
}

static void make_program(const char *path, const void *bytes, size_t len) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0755);
    ASSERT_OK(fd);
    ASSERT_EQ(write(fd, bytes, len), len);
    close(fd);
}

TEST(files_that_are_no_programs) {
    char *argv[] = {"x", NULL};
    char name[5000];
    memset(name, 'n', sizeof name);
    name[4999] = 0;
    EXPECT_ERRNO(ENOENT, execve("nothing", argv, environ));
    EXPECT_ERRNO(ENOENT, execve("", argv, environ));
    EXPECT_ERRNO(ENAMETOOLONG, execve(name, argv, environ));
    EXPECT_ERRNO(EACCES, execve(".", argv, environ));
    make_file("plain", "hello\n");
    EXPECT_ERRNO(EACCES, execve("plain", argv, environ));
    EXPECT_ERRNO(ENOTDIR, execve("plain/x", argv, environ));
    ASSERT_OK(chmod("plain", 0755));
    EXPECT_ERRNO(ENOEXEC, execve("plain", argv, environ));
    make_program("empty", "", 0);
    EXPECT_ERRNO(ENOEXEC, execve("empty", argv, environ));
    ASSERT_OK(symlink("loop", "loop"));
    EXPECT_ERRNO(ELOOP, execve("loop", argv, environ));
    int fd = open("plain", O_RDWR);
    ASSERT_OK(fd);
    close(fd);
}

/* The first page of this program, to be damaged. */
static union {
    Elf64_Ehdr header;
    char bytes[4096];
} image;

static void damaged(size_t len, int want, const char *what) {
    char *argv[] = {"x", NULL};
    make_program("damaged", &image, len);
    errno = 0;
    execve("damaged", argv, environ);
    if (errno != want) FAIL("%s: errno %d, expected %d", what, errno, want);
}

TEST(damaged_elf_files) {
    find_self();
    int fd = open(self, O_RDONLY);
    ASSERT_OK(fd);
    ASSERT_EQ(read(fd, &image, sizeof image), sizeof image);
    close(fd);
    Elf64_Ehdr good = image.header;
#define DAMAGE(change, want)                   \
    do {                                       \
        image.header = good;                   \
        image.header.change;                   \
        damaged(sizeof image, want, #change);  \
    } while (0)
    DAMAGE(e_ident[0] = 0, ENOEXEC);
    DAMAGE(e_machine = EM_S390, ENOEXEC);
    DAMAGE(e_machine = EM_AARCH64, ENOEXEC);
    DAMAGE(e_type = ET_REL, ENOEXEC);
    DAMAGE(e_type = ET_CORE, ENOEXEC);
    DAMAGE(e_phentsize = 57, ENOEXEC);
    DAMAGE(e_phnum = 0, ENOEXEC);
    DAMAGE(e_phnum = 2000, ENOEXEC);
    DAMAGE(e_phoff = 1 << 30, ENOEXEC);
    DAMAGE(e_phoff = -8, ENOEXEC);
#ifdef __riscv
    DAMAGE(e_ident[EI_CLASS] = ELFCLASS32, ENOEXEC);
#endif
    image.header = good;
    damaged(63, ENOEXEC, "63 bytes");
    damaged(100, ENOEXEC, "100 bytes");
    damaged(4, ENOEXEC, "4 bytes");
    /* Interpreters. */
    Elf64_Phdr *phdr = (void *)(image.bytes + image.header.e_phoff);
    ASSERT_TRUE(image.header.e_phnum >= 2);
    *phdr = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = 3000, .p_filesz = 6};
    memcpy(image.bytes + 3000, "/none", 6);
    damaged(sizeof image, ENOENT, "interpreter that is not there");
    phdr->p_filesz = 5;
    damaged(sizeof image, ENOEXEC, "interpreter path without NUL");
    phdr->p_filesz = 1;
    damaged(sizeof image, ENOEXEC, "interpreter path of one byte");
    phdr->p_filesz = 5000;
    damaged(sizeof image, ENOEXEC, "interpreter path of 5000 bytes");
    phdr->p_filesz = 6;
    phdr->p_offset = 1 << 30;
    damaged(sizeof image, EIO, "interpreter path beyond the end");
    phdr->p_offset = 3000;
    strcpy(image.bytes + 3000, "./i");
    phdr->p_filesz = 4;
    make_file("i", "no program, but long enough to hold a whole ELF header and then some more");
    damaged(sizeof image, EACCES, "interpreter without permission");
    ASSERT_OK(chmod("i", 0755));
    damaged(sizeof image, ELIBBAD, "interpreter that is no program");
    make_program("i", "", 0);
    damaged(sizeof image, EIO, "empty interpreter");
}

static void make_script(const char *path, const char *line, const char *rest) {
    static char text[10000];
    int n = snprintf(text, sizeof text, line, self);
    n += snprintf(text + n, sizeof text - n, "%s", rest);
    make_program(path, text, n);
}

TEST(scripts) {
    find_self();
    if (strlen(self) > 200) SKIP("this program's path is too long for a #! line");
    make_script("script", "#!%s", "\nignored\n");
    EXPECT_EXITED(0, run_mode("./script", "arguments", ARGV("zero", "one")));
    char expect[5000];
    snprintf(expect, sizeof expect, "3|%s|./script|one|EXEC_CHILD=arguments", self);
    EXPECT_STR(output, expect);
    make_script("script", "#! \t%s", " \t -a  b \t\n");
    EXPECT_EXITED(0, run_mode("./script", "arguments", ARGV("zero", "one")));
    snprintf(expect, sizeof expect, "4|%s|-a  b|./script|one|EXEC_CHILD=arguments", self);
    EXPECT_STR(output, expect);
    /* No newline at the end, no argument zero. */
    make_script("script", "#!%s", "");
    EXPECT_EXITED(0, run_mode("script", "arguments", (char *[]){NULL}));
    snprintf(expect, sizeof expect, "2|%s|script|EXEC_CHILD=arguments", self);
    EXPECT_STR(output, expect);
    /* A script that interprets scripts. */
    make_script("inner", "#!%s", " inner\n");
    make_script("outer", "#!./inner", " outer\n");
    EXPECT_EXITED(0, run_mode("./outer", "arguments", ARGV("zero", "one")));
    snprintf(expect, sizeof expect, "6|%s|inner|./inner|outer|./outer|one|EXEC_CHILD=arguments", self);
    EXPECT_STR(output, expect);
}

TEST(scripts_that_fail) {
    char *argv[] = {"x", NULL};
    find_self();
    make_program("s", "#!/none\n", 8);
    EXPECT_ERRNO(ENOENT, execve("s", argv, environ));
    make_program("s", "#!\n", 3);
    EXPECT_ERRNO(ENOEXEC, execve("s", argv, environ));
    make_program("s", "#!   \n", 6);
    EXPECT_ERRNO(ENOEXEC, execve("s", argv, environ));
    make_program("s", "#!./s\n", 6);
    EXPECT_ERRNO(ELOOP, execve("./s", argv, environ));
    make_file("t", "#!/none\n");
    make_program("s", "#!./t\n", 6);
    EXPECT_ERRNO(EACCES, execve("./s", argv, environ));
    make_program("s", "#!.\n", 4);
    EXPECT_ERRNO(EACCES, execve("./s", argv, environ));
    char long_line[300];
    memset(long_line, 'a', sizeof long_line);
    memcpy(long_line, "#!/", 3);
    make_program("s", long_line, sizeof long_line);
    EXPECT_ERRNO(ENOEXEC, execve("./s", argv, environ));
}

static void handler(int sig) { (void)sig; }
static char alt_stack[65536];

static void prepare_state(void) {
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, handler);
    stack_t alt = {.ss_sp = alt_stack, .ss_size = sizeof alt_stack};
    sigaltstack(&alt, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGHUP);
    int null = open("/dev/null", O_RDONLY);
    dup3(null, 200, 0);
    dup3(null, 201, O_CLOEXEC);
    umask(037);
    prctl(PR_SET_NAME, "before");
    plain();
}

TEST(what_survives) {
    find_self();
    ASSERT_OK(symlink(self, "a-name-longer-than-fifteen"));
    the_path = "./a-name-longer-than-fifteen";
    the_argv = ARGV("x");
    the_envp[0] = "EXEC_CHILD=state";
    EXPECT_EXITED(0, run(prepare_state));
    EXPECT_STR(output, "ign 1 dfl 1 mask 1 pending 1 altstack 0 fd200 1 fd201 0 "
                       "name a-name-longer-t single 1 umask 37");
}

static pid_t before;
static void tell_pid(void) {
    before = getpid();
    printf("%d ", before);
    fflush(stdout);
    plain();
}

TEST(the_pid_stays) {
    find_self();
    the_path = self;
    the_argv = ARGV("x");
    the_envp[0] = "EXEC_CHILD=pid";
    EXPECT_EXITED(0, run(tell_pid));
    int a, b;
    ASSERT_EQ(sscanf(output, "%d %d", &a, &b), 2);
    EXPECT_EQ(a, b);
}

static void *spin(void *arg) {
    for (;;) pause();
    return arg;
}
static void *exec_here(void *arg) {
    tell_pid();
    return arg;
}
static void from_a_thread(void) {
    pthread_t thread;
    for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, spin, NULL);
    pthread_create(&thread, NULL, exec_here, NULL);
    spin(NULL);
}

TEST(a_thread_becomes_the_process) {
    find_self();
    the_path = self;
    the_argv = ARGV("x");
    the_envp[0] = "EXEC_CHILD=pid";
    EXPECT_EXITED(0, run(from_a_thread));
    int a, b;
    ASSERT_EQ(sscanf(output, "%d %d", &a, &b), 2);
    EXPECT_EQ(a, b);
    the_envp[0] = "EXEC_CHILD=state";
    EXPECT_EXITED(0, run(from_a_thread));
    EXPECT_TRUE(strstr(output, "single 1") != NULL);
}

static void failing_from_a_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, spin, NULL);
    execve("/none", the_argv, the_envp);
    /* The other thread is still there. */
    _exit(errno == ENOENT && pthread_kill(thread, 0) == 0 && syscall(SYS_tgkill, getpid(), getpid(), 0) == 0 ? 7 : 8);
}

TEST(failure_leaves_threads_alone) {
    the_argv = ARGV("x");
    EXPECT_EXITED(7, run(failing_from_a_thread));
}

static int exec_fd;
static void by_fd(void) { syscall(SYS_execveat, exec_fd, "", the_argv, the_envp, AT_EMPTY_PATH); }
static void by_dir(void) { syscall(SYS_execveat, exec_fd, "link", the_argv, the_envp, 0); }

TEST(execveat_variants) {
    find_self();
    ASSERT_OK(symlink(self, "link"));
    the_argv = ARGV("zero");
    the_envp[0] = "EXEC_CHILD=exe";
    exec_fd = open(self, O_RDONLY | O_CLOEXEC);
    ASSERT_OK(exec_fd);
    EXPECT_EXITED(0, run(by_fd));
    EXPECT_STR(output, self);
    close(exec_fd);
    exec_fd = open(".", O_RDONLY | O_DIRECTORY);
    EXPECT_EXITED(0, run(by_dir));
    EXPECT_STR(output, self);
    EXPECT_ERRNO(ELOOP, syscall(SYS_execveat, exec_fd, "link", the_argv, the_envp, AT_SYMLINK_NOFOLLOW));
    EXPECT_ERRNO(EINVAL, syscall(SYS_execveat, exec_fd, "link", the_argv, the_envp, 0x80));
    EXPECT_ERRNO(EBADF, syscall(SYS_execveat, 999, "link", the_argv, the_envp, 0));
    EXPECT_ERRNO(ENOENT, syscall(SYS_execveat, exec_fd, "", the_argv, the_envp, 0));
}

static void vfork_exec(void) {
    pid_t pid = vfork();
    if (pid == 0) {
        plain();
        _exit(9);
    }
    int status;
    waitpid(pid, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

TEST(vfork_then_exec) {
    find_self();
    the_path = self;
    the_argv = ARGV("x");
    the_envp[0] = "EXEC_CHILD=arguments";
    EXPECT_EXITED(0, run(vfork_exec));
    EXPECT_STR(output, "1|x|EXEC_CHILD=arguments");
}

static void many(void) {
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            plain();
            _exit(9);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid || status != 0) _exit(1);
    }
    _exit(0);
}

TEST_LIMIT(fifty_in_a_row, 30) {
    find_self();
    the_path = self;
    the_argv = ARGV("x");
    the_envp[0] = "EXEC_CHILD=lengths";
    EXPECT_EXITED(0, run(many));
    EXPECT_EQ(strlen(output), 50 * 3);
}
