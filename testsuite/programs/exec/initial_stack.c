/* What a program finds on its stack (execve(2), getauxval(3)). */
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

static int first_argc;
static char **first_argv, **first_envp;

/* Runs before anything can have changed the vectors. */
__attribute__((constructor(101))) static void keep(int argc, char **argv, char **envp) {
    first_argc = argc;
    first_argv = argv;
    first_envp = envp;
}

static ElfW(auxv_t) *auxv(void) {
    char **p = first_envp;
    while (*p) p++;
    return (ElfW(auxv_t) *)(p + 1);
}

TEST(argc_is_16_aligned_below_argv) {
    long *argc = (long *)first_argv - 1;
    EXPECT_EQ(*argc, first_argc);
    EXPECT_EQ((uintptr_t)argc % 16, 0);
    EXPECT_TRUE(first_argv[first_argc] == NULL);
    EXPECT_TRUE(first_envp == first_argv + first_argc + 1);
}

TEST(strings_follow_each_other) {
    char *next = first_argv[0];
    for (int i = 0; i < first_argc; i++) {
        EXPECT_TRUE(first_argv[i] == next);
        next += strlen(next) + 1;
    }
    for (char **p = first_envp; *p; p++) {
        EXPECT_TRUE(*p == next);
        next += strlen(next) + 1;
    }
    char *execfn = (char *)getauxval(AT_EXECFN);
    EXPECT_TRUE(execfn == next);
    /* Eight zero bytes end the stack. */
    next += strlen(next) + 1;
    for (int i = 0; i < 8; i++) EXPECT_EQ(next[i], 0);
    EXPECT_EQ((uintptr_t)(next + 8) % 4096, 0);
}

TEST(random_bytes_lie_below_the_strings) {
    char *random = (char *)getauxval(AT_RANDOM);
    char zero[16] = {0};
    ASSERT_TRUE(random != NULL);
    EXPECT_TRUE(random + 16 <= first_argv[0]);
    EXPECT_TRUE(random > (char *)auxv());
    EXPECT_NE(memcmp(random, zero, 16), 0);
}

TEST(values) {
    EXPECT_EQ(getauxval(AT_PAGESZ), 4096);
    EXPECT_EQ(getauxval(AT_CLKTCK), 100);
    EXPECT_EQ(getauxval(AT_PHENT), sizeof(ElfW(Phdr)));
    EXPECT_EQ(getauxval(AT_FLAGS), 0);
    EXPECT_EQ(getauxval(AT_UID), getuid());
    EXPECT_EQ(getauxval(AT_EUID), geteuid());
    EXPECT_EQ(getauxval(AT_GID), getgid());
    EXPECT_EQ(getauxval(AT_EGID), getegid());
    EXPECT_EQ(getauxval(AT_SECURE), 0);
    /* A static program has no interpreter. */
    EXPECT_EQ(getauxval(AT_BASE), 0);
    EXPECT_GE(getauxval(AT_MINSIGSTKSZ), 1024);
}

TEST(program_headers) {
    ElfW(Phdr) *phdr = (ElfW(Phdr) *)getauxval(AT_PHDR);
    unsigned long count = getauxval(AT_PHNUM), entry = getauxval(AT_ENTRY);
    int loads = 0, entry_seen = 0;
    ASSERT_TRUE(phdr != NULL);
    ASSERT_TRUE(count > 0 && count < 100);
    for (unsigned long i = 0; i < count; i++) {
        if (phdr[i].p_type != PT_LOAD) continue;
        loads++;
        /* Not position-independent: addresses are what they say. */
        if (phdr[i].p_flags & PF_X)
            entry_seen |= entry >= phdr[i].p_vaddr && entry < phdr[i].p_vaddr + phdr[i].p_memsz;
    }
    EXPECT_GE(loads, 2);
    EXPECT_TRUE(entry_seen);
}

TEST(proc_self_auxv_is_the_same) {
    char file[1024];
    int fd = open("/proc/self/auxv", O_RDONLY);
    ASSERT_OK(fd);
    int n = read(fd, file, sizeof file);
    ASSERT_TRUE(n > 0 && n % 16 == 0);
    EXPECT_EQ(memcmp(file, auxv(), n), 0);
    ElfW(auxv_t) *last = (ElfW(auxv_t) *)(file + n) - 1;
    EXPECT_EQ(last->a_type, AT_NULL);
    close(fd);
}

TEST(proc_self_cmdline_and_environ) {
    static char file[65536];
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ASSERT_OK(fd);
    int n = read(fd, file, sizeof file), at = 0;
    for (int i = 0; i < first_argc; i++) {
        ASSERT_TRUE(at < n);
        EXPECT_STR(file + at, first_argv[i]);
        at += strlen(file + at) + 1;
    }
    EXPECT_EQ(at, n);
    close(fd);
    fd = open("/proc/self/environ", O_RDONLY);
    ASSERT_OK(fd);
    n = read(fd, file, sizeof file);
    at = 0;
    for (char **p = first_envp; *p && at < n; p++) {
        EXPECT_STR(file + at, *p);
        at += strlen(file + at) + 1;
    }
    EXPECT_EQ(at, n);
    close(fd);
}

TEST(stack_and_vdso_in_maps) {
    char line[512], perms[8];
    unsigned long start, end;
    int stacks = 0, vdsos = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    ASSERT_TRUE(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        ASSERT_EQ(sscanf(line, "%lx-%lx %7s", &start, &end, perms), 3);
        if (strstr(line, "[stack]")) {
            stacks++;
            EXPECT_STR(perms, "rw-p");
            EXPECT_TRUE((unsigned long)first_argv >= start && (unsigned long)first_argv < end);
        }
        if (strstr(line, "[vdso]")) {
            vdsos++;
            EXPECT_STR(perms, "r-xp");
            EXPECT_EQ(start, getauxval(AT_SYSINFO_EHDR));
        }
    }
    fclose(maps);
    EXPECT_EQ(stacks, 1);
    EXPECT_EQ(vdsos, 1);
}

static char bss[100000];
static char data[5000] = {1};
TEST(bss_is_zero_and_data_is_not) {
    int sum = 0;
    for (unsigned i = 0; i < sizeof bss; i++) sum |= bss[i];
    EXPECT_EQ(sum, 0);
    EXPECT_EQ(data[0], 1);
    bss[99999] = data[4999] = 1;
}

TEST(break_starts_on_its_own) {
    char *at = sbrk(0);
    ASSERT_OK(sbrk(10000));
    for (int i = 0; i < 10000; i++) EXPECT_EQ(at[i], 0);
    at[9999] = 1;
    EXPECT_TRUE(at >= bss + sizeof bss || at < bss);
}

TEST(stack_is_not_executable_and_grows) {
    volatile char big[3 << 20];
    for (unsigned i = 0; i < sizeof big; i += 4096) big[sizeof big - 1 - i] = 1;
    EXPECT_EQ(big[sizeof big - 1], 1);
}

#ifdef __riscv
TEST(riscv_order_and_hwcap) {
    static const unsigned long order[] = {
        33, 40, 41, 42, 43, 44, 45, 46, 47, 51, 16, 6, 17, 3, 4, 5, 7, 8, 9,
        11, 12, 13, 14, 23, 25, 31, 0,
    };
    ElfW(auxv_t) *v = auxv();
    unsigned i = 0;
    /* The kernel leaves out caches it does not know, and appends what is new. */
    for (; v->a_type != AT_NULL; v++) {
        unsigned found = i;
        while (found < sizeof order / sizeof *order && order[found] != v->a_type) found++;
        if (found < sizeof order / sizeof *order) i = found;
        else EXPECT_TRUE(v->a_type == 26 || v->a_type == 27 || v->a_type == 28 || v->a_type == 29);
    }
    EXPECT_EQ(getauxval(AT_HWCAP) & 0x112d, 0x112d);
    EXPECT_GE(getauxval(AT_MINSIGSTKSZ), 1088);
}
#endif
