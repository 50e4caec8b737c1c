/* Where the kernel puts position-independent programs and interpreters. Images are
 * one page: head, segments, and code that tells a pipe where it finds itself. */
#include "check.h"
#include <elf.h>
#include <sys/auxv.h>

#define TOLD_AT 3 /* the descriptor that the image writes to */
#define ENTRY 2048
#define ALIGN 0x200000ul

struct told {
    uint64_t pc, brk, mapping, sp;
    uint64_t stack[128];
};

// Its own address, the break, where a mapping goes, the stack pointer, then the stack.
extern const unsigned char probe[], probe_end[];
#ifdef __riscv
__asm__(".pushsection .rodata\n"
        ".option push\n.option norvc\n"
        "probe: auipc t0, 0\n mv t1, sp\n addi sp, sp, -32\n"
        " sd t0, 0(sp)\n sd t1, 24(sp)\n"
        " li a0, 0\n li a7, 214\n ecall\n sd a0, 8(sp)\n"
        " li a0, 0\n li a1, 4096\n li a2, 0\n li a3, 0x22\n li a4, -1\n li a5, 0\n li a7, 222\n ecall\n"
        " sd a0, 16(sp)\n"
        " li a0, 3\n mv a1, sp\n li a2, 1056\n li a7, 64\n ecall\n"
        " li a0, 6\n li a7, 93\n ecall\n"
        "probe_end: .option pop\n.popsection\n");
#define MACHINE EM_RISCV
#else
__asm__(".pushsection .rodata\n"
        "probe: mov %rsp, %rbx\n sub $32, %rsp\n"
        " lea probe(%rip), %rax\n mov %rax, (%rsp)\n mov %rbx, 24(%rsp)\n"
        " xor %edi, %edi\n mov $12, %eax\n syscall\n mov %rax, 8(%rsp)\n"
        " xor %edi, %edi\n mov $4096, %esi\n xor %edx, %edx\n mov $0x22, %r10d\n mov $-1, %r8\n"
        " xor %r9d, %r9d\n mov $9, %eax\n syscall\n mov %rax, 16(%rsp)\n"
        " mov $3, %edi\n mov %rsp, %rsi\n mov $1056, %edx\n mov $1, %eax\n syscall\n"
        " mov $6, %edi\n mov $60, %eax\n syscall\n"
        "probe_end: .popsection\n");
#define MACHINE EM_X86_64
#endif

/* An image of `type` that begins at `address`; `interpreter` NULL: it has none. */
static void make_image(const char *path, int type, uint64_t address, uint64_t align, const char *interpreter) {
    static unsigned char page[4096];
    memset(page, 0, sizeof page);
    Elf64_Ehdr head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                       .e_type = type,
                       .e_machine = MACHINE,
                       .e_version = EV_CURRENT,
                       .e_entry = address + ENTRY,
                       .e_phoff = sizeof head,
                       .e_ehsize = sizeof head,
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = interpreter ? 2 : 1};
    Elf64_Phdr load = {.p_type = PT_LOAD,
                       .p_flags = PF_R | PF_X,
                       .p_vaddr = address,
                       .p_filesz = 4096,
                       .p_memsz = 4096,
                       .p_align = align};
    memcpy(page, &head, sizeof head);
    memcpy(page + sizeof head, &load, sizeof load);
    if (interpreter) {
        size_t size = strlen(interpreter) + 1;
        Elf64_Phdr interp = {.p_type = PT_INTERP, .p_offset = 1024, .p_filesz = size, .p_memsz = size, .p_align = 1};
        memcpy(page + sizeof head + sizeof load, &interp, sizeof interp);
        memcpy(page + 1024, interpreter, size);
    }
    memcpy(page + ENTRY, probe, probe_end - probe);
    int fd = open(path, O_CREAT | O_WRONLY, 0755);
    ASSERT_OK(fd);
    ASSERT_EQ(write(fd, page, sizeof page), sizeof page);
    close(fd);
}

/* Runs it; the wait status. */
static int run(const char *path, struct told *told) {
    int fds[2];
    memset(told, 0, sizeof *told);
    ASSERT_OK(pipe(fds));
    pid_t pid = fork();
    if (pid == 0) {
        // So much that the image may write all of `stack`.
        static char padding[3000];
        memset(padding, 'p', sizeof padding - 1);
        char *argv[] = {"image", NULL}, *envp[] = {padding, NULL};
        dup2(fds[1], TOLD_AT);
        execve(path, argv, envp);
        _exit(errno);
    }
    close(fds[1]);
    ssize_t got = read(fds[0], told, sizeof *told);
    close(fds[0]);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 6) EXPECT_EQ(got, sizeof *told);
    return status;
}

/* An entry of the auxiliary vector behind argc, argv and envp. */
static uint64_t auxiliary(const struct told *told, uint64_t type) {
    // argc, one argument, 0, one variable, 0.
    EXPECT_EQ(told->stack[0], 1);
    EXPECT_EQ(told->stack[2], 0);
    EXPECT_EQ(told->stack[4], 0);
    for (int i = 5; i + 1 < 128; i += 2) {
        if (told->stack[i] == type) return told->stack[i + 1];
        if (told->stack[i] == AT_NULL) break;
    }
    FAIL("no entry %d", (int)type);
    return 0;
}

/* Half of the address space that programs have, the stack being at its end. */
static uint64_t middle(const struct told *told) {
    uint64_t size = 1ul << 63;
    while (size / 2 > told->sp) size /= 2;
    return size / 2;
}
static uint64_t apart(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

TEST(a_fixed_image_is_where_it_says) {
    struct told told;
    make_image("image", ET_EXEC, 0x400000, 4096, NULL);
    EXPECT_EXITED(6, run("./image", &told));
    EXPECT_EQ(told.pc, 0x400000 + ENTRY);
    EXPECT_EQ(auxiliary(&told, AT_ENTRY), told.pc);
    EXPECT_EQ(auxiliary(&told, AT_BASE), 0);
    EXPECT_EQ(auxiliary(&told, AT_PHDR), 0x400000 + 64);
    EXPECT_EQ(auxiliary(&told, AT_PHNUM), 1);
    EXPECT_EQ(auxiliary(&told, AT_PHENT), 56);
    EXPECT_EQ(auxiliary(&told, AT_PAGESZ), 4096);
    EXPECT_EQ(auxiliary(&told, AT_CLKTCK), 100);
    EXPECT_EQ(auxiliary(&told, AT_SECURE), 0);
    EXPECT_GE(told.brk, 0x401000);
    EXPECT_EQ(told.sp % 16, 0);
}

TEST(a_movable_one_without_an_interpreter_is_among_mappings) {
    struct told told;
    make_image("image", ET_DYN, 0, ALIGN, NULL);
    EXPECT_EXITED(6, run("./image", &told));
    EXPECT_EQ((told.pc - ENTRY) % ALIGN, 0);
    EXPECT_EQ(auxiliary(&told, AT_ENTRY), told.pc);
    EXPECT_EQ(auxiliary(&told, AT_BASE), 0);
    EXPECT_EQ(auxiliary(&told, AT_PHDR), told.pc - ENTRY + 64);
    EXPECT_LT(apart(told.pc, told.mapping), middle(&told) / 8);
    // The break has room of its own.
    EXPECT_GT(apart(told.brk, told.mapping), middle(&told) / 8);
    EXPECT_LT(told.brk, told.mapping);
}

TEST(one_with_an_interpreter_is_at_two_thirds) {
    struct told told;
    make_image("loader", ET_DYN, 0, 4096, NULL);
    make_image("image", ET_DYN, 0, ALIGN, "loader");
    EXPECT_EXITED(6, run("./image", &told));
    // The interpreter is entered, and is told of the program.
    EXPECT_EQ(auxiliary(&told, AT_BASE), told.pc - ENTRY);
    EXPECT_LT(apart(told.pc, told.mapping), middle(&told) / 8);
    uint64_t program = auxiliary(&told, AT_ENTRY) - ENTRY;
    EXPECT_EQ(program % ALIGN, 0);
    EXPECT_EQ(auxiliary(&told, AT_PHDR), program + 64);
    EXPECT_EQ(auxiliary(&told, AT_PHNUM), 2);
    EXPECT_LT(apart(program, middle(&told) / 3 * 4), middle(&told) / 8);
    // The break follows it.
    EXPECT_LT(apart(told.brk, program), middle(&told) / 8);
    EXPECT_GT(told.brk, program);
}

TEST(a_fixed_interpreter_is_where_it_says) {
    struct told told;
    make_image("loader", ET_EXEC, 0x10000000, 4096, NULL);
    make_image("image", ET_EXEC, 0x400000, 4096, "loader");
    EXPECT_EXITED(6, run("./image", &told));
    EXPECT_EQ(told.pc, 0x10000000 + ENTRY);
    EXPECT_EQ(auxiliary(&told, AT_ENTRY), 0x400000 + ENTRY);
}

TEST(a_fixed_interpreter_replaces_its_program) {
    struct told told;
    make_image("loader", ET_EXEC, 0x400000, 4096, NULL);
    make_image("image", ET_EXEC, 0x400000, ALIGN, "loader");
    EXPECT_EXITED(6, run("./image", &told));
    EXPECT_EQ(told.pc, 0x400000 + ENTRY);
}

TEST(what_cannot_be_there_kills) {
    struct told told;
    if (geteuid() == 0) SKIP("root may map the first page");
    make_image("image", ET_EXEC, 0, 4096, NULL);
    EXPECT_SIGNALED(SIGSEGV, run("./image", &told));
}
