/* /proc/PID/coredump_filter: which memory a core file holds (core(5)). */
#define CHECK_ARGS after_exec
static int after_exec(int argc, char **argv);
#include "core_file.h"

static unsigned get_filter(const char *path) {
    char text[32] = "";
    int fd = open(path, O_RDONLY);
    ASSERT_OK(fd);
    EXPECT_EQ(read(fd, text, sizeof text - 1), 9);
    close(fd);
    EXPECT_EQ(text[8], '\n');
    return strtoul(text, NULL, 16);
}
static long write_filter(const char *text) {
    int fd = open("/proc/self/coredump_filter", O_WRONLY);
    ASSERT_OK(fd);
    long n = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return n;
}
static unsigned own_filter(void) { return get_filter("/proc/self/coredump_filter"); }

TEST(it_is_33_at_first) { EXPECT_EQ(own_filter() & ~0x180, 0x33); }

TEST(numbers_are_written_as_in_c) {
    EXPECT_EQ(write_filter("0x1f"), 4);
    EXPECT_EQ(own_filter(), 0x1f);
    EXPECT_EQ(write_filter("12\n"), 3);
    EXPECT_EQ(own_filter(), 12);
    EXPECT_EQ(write_filter("017"), 3);
    EXPECT_EQ(own_filter(), 15);
    EXPECT_EQ(write_filter("+3"), 2);
    EXPECT_EQ(own_filter(), 3);
    EXPECT_EQ(write_filter("0"), 1);
    EXPECT_EQ(own_filter(), 0);
}

TEST(what_is_no_number_is_refused) {
    EXPECT_EQ(write_filter("7"), 1);
    EXPECT_ERRNO(EINVAL, write_filter("zz"));
    EXPECT_ERRNO(EINVAL, write_filter("-1"));
    EXPECT_ERRNO(EINVAL, write_filter("0x"));
    EXPECT_ERRNO(EINVAL, write_filter("08"));
    EXPECT_ERRNO(EINVAL, write_filter("1 2"));
    EXPECT_ERRNO(EINVAL, write_filter(" 1"));
    EXPECT_ERRNO(EINVAL, write_filter("\n"));
    EXPECT_ERRNO(ERANGE, write_filter("0x1ffffffff"));
    EXPECT_EQ(own_filter(), 7);
}

TEST(bits_that_mean_nothing_are_dropped) {
    EXPECT_EQ(write_filter("0xffffffff"), 10);
    EXPECT_EQ(own_filter(), 0x1ff);
}

static void child_has_5(void) { EXPECT_EQ(own_filter(), 5); }
static void program_has_5(void) {
    execl("/proc/self/exe", "prog", "@filter", "5", NULL);
    FAIL("exec: errno %d", errno);
}

TEST(children_and_programs_inherit_it) {
    EXPECT_EQ(write_filter("5"), 1);
    EXPECT_EXITED(0, in_child(child_has_5));
    EXPECT_EXITED(0, in_child(program_has_5));
}

TEST(a_parent_may_set_its_childs) {
    int fds[2];
    ASSERT_OK(pipe(fds));
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(fds[1]);
        _exit(read(fds[0], &byte, 1) == 0 && own_filter() == 6 ? 0 : 1);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/coredump_filter", pid);
    int fd = open(path, O_WRONLY);
    ASSERT_OK(fd);
    EXPECT_EQ(write(fd, "6", 1), 1);
    close(fd);
    EXPECT_EQ(get_filter(path), 6);
    close(fds[1]);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}

TEST(threads_have_no_such_file) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/coredump_filter", gettid());
    EXPECT_ERRNO(ENOENT, open(path, O_RDONLY));
}

/* One mapping of each kind, with something in it; the file begins as an ELF file. */
static char *volatile private_memory, *volatile shared_memory, *volatile private_file, *volatile shared_file;
static void make_mappings(void) {
    int flags = PROT_READ | PROT_WRITE;
    private_memory = mmap(NULL, 4096, flags, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared_memory = mmap(NULL, 4096, flags, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    make_file("mapped", "\177ELF is how it begins");
    int fd = open("mapped", O_RDWR);
    ASSERT_OK(fd);
    ASSERT_OK(ftruncate(fd, 8192));
    private_file = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
    shared_file = mmap(NULL, 8192, flags, MAP_SHARED, fd, 0);
    close(fd);
    ASSERT_TRUE(private_memory != MAP_FAILED && shared_memory != MAP_FAILED);
    ASSERT_TRUE(private_file != MAP_FAILED && shared_file != MAP_FAILED);
    strcpy(private_memory, "private");
    strcpy(shared_memory, "shared");
    strcpy(shared_file + 4096, "second page");
}

static uint64_t bytes_of(const void *address) {
    const Elf64_Phdr *which = NULL;
    dumped(address, &which);
    return which ? which->p_filesz : ~0ull;
}

static void dump_with(const char *filter) {
    need_core_file();
    make_mappings();
    EXPECT_EQ(write_filter(filter), strlen(filter));
    pid_t pid = fork();
    if (pid == 0) {
        die();
        _exit(1);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, SIGABRT | 0x80);
    load_core();
}

TEST(nothing) {
    dump_with("0");
    EXPECT_EQ(bytes_of(private_memory), 0);
    EXPECT_EQ(bytes_of(shared_memory), 0);
    EXPECT_EQ(bytes_of(private_file), 0);
    EXPECT_EQ(bytes_of(shared_file), 0);
    EXPECT_EQ(bytes_of((void *)&shared_file), 0);
}

TEST(private_memory_alone) {
    dump_with("1");
    EXPECT_EQ(bytes_of(private_memory), 4096);
    EXPECT_EQ(bytes_of(shared_memory), 0);
    EXPECT_EQ(bytes_of(private_file), 0);
    EXPECT_EQ(bytes_of(shared_file), 0);
    EXPECT_NE(bytes_of((void *)&shared_file), 0);
    EXPECT_STR((const char *)dumped(private_memory, NULL), "private");
}

TEST(shared_memory_alone) {
    dump_with("2");
    EXPECT_EQ(bytes_of(private_memory), 0);
    EXPECT_EQ(bytes_of(shared_memory), 4096);
    EXPECT_EQ(bytes_of(private_file), 0);
    EXPECT_EQ(bytes_of(shared_file), 0);
    EXPECT_STR((const char *)dumped(shared_memory, NULL), "shared");
}

TEST(private_files_alone) {
    dump_with("4");
    EXPECT_EQ(bytes_of(private_memory), 0);
    EXPECT_EQ(bytes_of(shared_memory), 0);
    EXPECT_EQ(bytes_of(private_file), 8192);
    EXPECT_EQ(bytes_of(shared_file), 0);
    EXPECT_STR((const char *)dumped(private_file + 4096, NULL), "second page");
}

TEST(shared_files_alone) {
    dump_with("8");
    EXPECT_EQ(bytes_of(private_memory), 0);
    EXPECT_EQ(bytes_of(shared_memory), 0);
    EXPECT_EQ(bytes_of(private_file), 0);
    EXPECT_EQ(bytes_of(shared_file), 8192);
}

TEST(elf_headers_alone) {
    dump_with("16");
    EXPECT_EQ(bytes_of(private_memory), 0);
    EXPECT_EQ(bytes_of(private_file), 4096);
    EXPECT_EQ(bytes_of(shared_file), 0);
}

static int after_exec(int argc, char **argv) {
    return argc == 3 && own_filter() == strtoul(argv[2], NULL, 0) ? 0 : 1;
}
