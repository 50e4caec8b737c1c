// flags: -Wl,-e,begin
/* What a program starts with, and files that cannot be started. */
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/resource.h>

/* The first instructions keep all registers. */
uint64_t first_x[32], first_f[32], first_fcsr = 9;
#ifdef __riscv
#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15) M(16) M(17) M(18) M(19) M(20) M(21) M(22) M(23) M(24) M(25) M(26) M(27) M(28) M(29) M(30) M(31)
#define KEEP(n) "sd x" #n ", 8*" #n "(t0)\n"
#define KEEP_F(n) "fsd f" #n ", 8*" #n "(t0)\n"
__asm__(".text\n.globl begin\nbegin:\n"
        /* t0 itself goes where the stack has room. */
        "sd t0, -8(sp)\n"
        ".option push\n.option norelax\n"
        "lla t0, first_x\n" EACH(KEEP)
        "lla t0, first_f\n" EACH(KEEP_F) "fsd f5, 40(t0)\n"
        "lla t0, first_fcsr\n"
        "sd t1, -16(sp)\nfrcsr t1\nsd t1, (t0)\nld t1, -16(sp)\n"
        "lla t0, first_x\n"
        "sd t1, -16(sp)\nld t1, -8(sp)\nsd t1, 40(t0)\nld t1, -16(sp)\n"
        ".option pop\n"
        "li t0, 0\n"
        "j _start\n");
#else
__asm__(".text\n.globl begin\nbegin:\n"
        "mov %rax, first_x\nmov %rbx, first_x+8\nmov %rcx, first_x+16\nmov %rdx, first_x+24\n"
        "mov %rsi, first_x+32\nmov %rdi, first_x+40\nmov %rbp, first_x+48\nmov %rsp, first_x+56\n"
        "mov %r8, first_x+64\nmov %r9, first_x+72\nmov %r10, first_x+80\nmov %r11, first_x+88\n"
        "mov %r12, first_x+96\nmov %r13, first_x+104\nmov %r14, first_x+112\nmov %r15, first_x+120\n"
        "movq $0, first_fcsr\n"
        "jmp _start\n");
#endif

TEST(registers_are_zero) {
#ifdef __riscv
    const int sp = 2, count = 32;
#else
    const int sp = 7, count = 16;
#endif
    for (int i = 0; i < count; i++)
        if (i != sp && first_x[i] != 0) FAIL("register %d is %llx", i, (long long)first_x[i]);
    for (int i = 0; i < 32; i++)
        if (first_f[i] != 0) FAIL("f%d is %llx", i, (long long)first_f[i]);
    EXPECT_EQ(first_fcsr, 0);
    EXPECT_EQ(first_x[sp] % 16, 0);
    EXPECT_NE(first_x[sp], 0);
}

TEST(the_vector_says_what_there_is) {
    EXPECT_GE(getauxval(AT_MINSIGSTKSZ), 1024);
    EXPECT_EQ(getauxval(27) >= 28, 1);
    EXPECT_EQ(getauxval(28) >= 32, 1);
    EXPECT_NE(getauxval(AT_SYSINFO_EHDR), 0);
    EXPECT_EQ(getauxval(AT_SYSINFO_EHDR) % 4096, 0);
#ifdef __riscv
    EXPECT_EQ(getauxval(AT_HWCAP), 0x112d);
    EXPECT_EQ(getauxval(AT_MINSIGSTKSZ), 1088);
    EXPECT_EQ(getauxval(AT_PHENT), 56);
#endif
}

TEST(the_vdso_is_an_image) {
    ElfW(Ehdr) *vdso = (ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
    ASSERT_TRUE(vdso != NULL);
    EXPECT_EQ(memcmp(vdso->e_ident, ELFMAG, 4), 0);
    EXPECT_EQ(vdso->e_type, ET_DYN);
#ifdef __riscv
    EXPECT_EQ(vdso->e_machine, 243);
#endif
}

TEST(random_bytes_look_random) {
    unsigned char *random = (unsigned char *)getauxval(AT_RANDOM);
    ASSERT_TRUE(random != NULL);
    int distinct = 0;
    for (int i = 1; i < 16; i++) distinct += random[i] != random[0];
    EXPECT_GT(distinct, 5);
}

/* ---- the break ---- */

static void *brk_call(unsigned long at) { return (void *)syscall(SYS_brk, at); }

TEST(break_is_told_and_never_an_error) {
    char *now = brk_call(0);
    EXPECT_TRUE(now == brk_call(0));
    EXPECT_TRUE(now == brk_call(1));
    EXPECT_TRUE(now == brk_call(4096));
    EXPECT_TRUE(now == brk_call(-1ul));
    EXPECT_TRUE(now == brk_call(-4096ul));
    EXPECT_TRUE(now == brk_call(1ul << 62));
}

TEST(break_moves_bytewise_and_pages_come_zeroed) {
    char *start = brk_call(0);
    char *up = start + 3 * 4096 + 5;
    ASSERT_TRUE(brk_call((uintptr_t)up) == up);
    memset(start, 1, up - start);
    EXPECT_TRUE(brk_call((uintptr_t)start) == start);
    ASSERT_TRUE(brk_call((uintptr_t)up) == up);
    char *page = (char *)(((uintptr_t)start + 4095) & -4096l);
    for (int i = 0; i < 2 * 4096; i++)
        if (page[i] != 0) {
            FAIL("byte %d is %d", i, page[i]);
            break;
        }
}

TEST(break_stops_at_rlimit_data) {
    struct rlimit limit;
    ASSERT_OK(getrlimit(RLIMIT_DATA, &limit));
    char *start = brk_call(0);
    limit.rlim_cur = 1 << 20;
    ASSERT_OK(setrlimit(RLIMIT_DATA, &limit));
    EXPECT_TRUE(brk_call((uintptr_t)start + (2 << 20)) == start);
    limit.rlim_cur = limit.rlim_max;
    ASSERT_OK(setrlimit(RLIMIT_DATA, &limit));
    EXPECT_TRUE(brk_call((uintptr_t)start + (2 << 20)) == start + (2 << 20));
}

TEST(break_stops_at_the_next_mapping) {
    char *start = brk_call(0);
    char *page = (char *)(((uintptr_t)start + 4095) & -4096l);
    char *wall = mmap(page + 16 * 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    ASSERT_TRUE(wall == page + 16 * 4096);
    EXPECT_TRUE(brk_call((uintptr_t)wall + 1) == start);
    EXPECT_TRUE(brk_call((uintptr_t)page + 8 * 4096) == page + 8 * 4096);
    munmap(wall, 4096);
}

/* ---- files that are no programs ---- */

static ElfW(Ehdr) head;
static ElfW(Phdr) load;
static char interpreter[64];
static void good_head(void) {
    memset(&head, 0, sizeof head);
    memcpy(head.e_ident, ELFMAG, 4);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    head.e_ident[EI_VERSION] = EV_CURRENT;
    head.e_type = ET_EXEC;
#ifdef __riscv
    head.e_machine = 243;
#else
    head.e_machine = EM_X86_64;
#endif
    head.e_version = EV_CURRENT;
    head.e_phoff = sizeof head;
    head.e_ehsize = sizeof head;
    head.e_phentsize = sizeof load;
    head.e_phnum = 1;
    head.e_entry = 0x400000 + 4096 - 64;
    load = (ElfW(Phdr)){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0x400000, .p_filesz = 4096, .p_memsz = 4096, .p_align = 4096};
}

/* exit(6), at the end of the only page. */
static const unsigned char exit_6[] = {
#ifdef __riscv
    0x13, 0x05, 0x60, 0x00, 0x93, 0x08, 0xd0, 0x05, 0x73, 0x00, 0x00, 0x00,
#else
    0xbf, 6, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05,
#endif
};

static int run_errno;
static void run_it(void) {
    execl("./program", "program", NULL);
    run_errno = errno;
    _exit(100 + (errno & 127));
}
/* 6 when it runs, else 100 + errno. */
static int run(void) {
    static char page[4096];
    memset(page, 0, sizeof page);
    memcpy(page, &head, sizeof head);
    memcpy(page + sizeof head, &load, sizeof load);
    if (head.e_phnum == 2) {
        ElfW(Phdr) interp = {.p_type = PT_INTERP, .p_offset = 512, .p_filesz = strlen(interpreter) + 1, .p_memsz = 1, .p_align = 1};
        memcpy(page + sizeof head + sizeof load, &interp, sizeof interp);
        memcpy(page + 512, interpreter, sizeof interpreter);
    }
    memcpy(page + 4096 - 64, exit_6, sizeof exit_6);
    unlink("program");
    int fd = open("program", O_CREAT | O_WRONLY, 0755);
    ASSERT_EQ(write(fd, page, sizeof page), sizeof page);
    close(fd);
    int status = in_child(run_it);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
#define REFUSED(errno_) (100 + (errno_))

TEST(a_small_image_runs) {
    good_head();
    EXPECT_EQ(run(), 6);
    /* Nobody looks at these. */
    head.e_flags = 0xffffffff;
    head.e_ehsize = 1;
    head.e_shentsize = 7;
    EXPECT_EQ(run(), 6);
}

TEST(heads_that_are_refused) {
    good_head();
    head.e_ident[0] = 0;
    EXPECT_EQ(run(), REFUSED(ENOEXEC));
    good_head();
    head.e_machine = EM_SPARC;
    EXPECT_EQ(run(), REFUSED(ENOEXEC));
    good_head();
    head.e_type = ET_REL;
    EXPECT_EQ(run(), REFUSED(ENOEXEC));
    good_head();
    head.e_type = ET_CORE;
    EXPECT_EQ(run(), REFUSED(ENOEXEC));
    good_head();
    head.e_phentsize = 55;
    EXPECT_EQ(run(), REFUSED(ENOEXEC));
    good_head();
    head.e_phnum = 0;
    EXPECT_EQ(run(), REFUSED(ENOEXEC));
    good_head();
    head.e_phnum = 1200;
    EXPECT_EQ(run(), REFUSED(ENOEXEC));
}

TEST(segments_behind_the_end_of_the_file) {
    good_head();
    head.e_phoff = 1 << 20;
    EXPECT_NE(run(), 6);
}

TEST(interpreters) {
    good_head();
    head.e_phnum = 2;
    strcpy(interpreter, "/no/such/interpreter");
    EXPECT_EQ(run(), REFUSED(ENOENT));
    strcpy(interpreter, "/dev/null");
    EXPECT_EQ(run(), REFUSED(EACCES));
    make_file("text", "this is no image, but it is long enough to be looked at as a head of one: 64 bytes");
    chmod("text", 0755);
    char *here = getcwd(NULL, 0);
    if (strlen(here) < 50) {
        snprintf(interpreter, sizeof interpreter, "%s/text", here);
        EXPECT_EQ(run(), REFUSED(ELIBBAD));
    }
    strcpy(interpreter, "text");
    EXPECT_EQ(run(), REFUSED(ELIBBAD));
    make_file("short", "x");
    chmod("short", 0755);
    strcpy(interpreter, "short");
    EXPECT_EQ(run(), REFUSED(EIO));
}

TEST(files_that_are_refused) {
    make_file("empty", "");
    chmod("empty", 0755);
    EXPECT_ERRNO(ENOEXEC, execl("./empty", "x", NULL));
    make_file("text", "no program");
    EXPECT_ERRNO(EACCES, execl("./text", "x", NULL));
    chmod("text", 0755);
    EXPECT_ERRNO(ENOEXEC, syscall(SYS_execve, "./text", NULL, NULL));
    EXPECT_ERRNO(EACCES, execl(".", "x", NULL));
    EXPECT_ERRNO(ENOENT, execl("./nothing", "x", NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_execve, BAD_PTR, NULL, NULL));
}
