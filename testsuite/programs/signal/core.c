/* Core dumps (core(5)): when one is made, and what is in it. */
#include "core_file.h"
#include <sys/prctl.h>
#include <sys/procfs.h>

TEST(a_dump_is_told_in_the_status) {
    need_core_file();
    int status = in_child(die);
    EXPECT_SIGNALED(SIGABRT, status);
    EXPECT_TRUE(WCOREDUMP(status));
    EXPECT_EQ(status, SIGABRT | 0x80);
    struct stat info;
    ASSERT_OK(stat("core", &info));
    EXPECT_EQ(info.st_mode, S_IFREG | 0600);
    EXPECT_EQ(info.st_uid, geteuid());
    EXPECT_GT(info.st_size, 4096);
}

TEST(each_dumping_signal_dumps) {
    need_core_file();
    int list[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};
    for (unsigned i = 0; i < sizeof list / sizeof list[0]; i++) {
        child_signal = list[i];
        EXPECT_EQ(in_child(die), list[i] | 0x80);
        EXPECT_OK(unlink("core"));
    }
    child_signal = SIGTERM;
    EXPECT_EQ(in_child(die), SIGTERM);
    EXPECT_TRUE(!has_core());
}

TEST(no_limit_no_dump) {
    child_limit = 0;
    EXPECT_EQ(in_child(die), SIGABRT);
    EXPECT_TRUE(!has_core());
}

TEST(less_than_a_page_is_none) {
    need_core_file();
    child_limit = 4095;
    EXPECT_EQ(in_child(die), SIGABRT);
    EXPECT_TRUE(!has_core());
}

TEST(the_limit_cuts_the_file) {
    need_core_file();
    struct stat info;
    child_limit = 8192;
    EXPECT_EQ(in_child(die), SIGABRT | 0x80);
    ASSERT_OK(stat("core", &info));
    EXPECT_LE(info.st_size, 8192);
    EXPECT_GT(info.st_size, 0);
}

static void undumpable(void) { prctl(PR_SET_DUMPABLE, 0); }
TEST(undumpable_processes_are_not_dumped) {
    need_core_file();
    child_before = undumpable;
    EXPECT_EQ(in_child(die), SIGABRT);
    EXPECT_TRUE(!has_core());
}

static void to_unwritable(void) {
    if (mkdir("closed", 0500) || chdir("closed")) _exit(3);
}
TEST(a_folder_that_cannot_be_written_gets_none) {
    need_core_file();
    if (geteuid() == 0) SKIP("root writes anywhere");
    child_before = to_unwritable;
    EXPECT_EQ(in_child(die), SIGABRT);
}

TEST(an_old_file_is_replaced_not_followed) {
    need_core_file();
    struct stat info;
    make_file("precious", "mine");
    ASSERT_OK(symlink("precious", "core"));
    EXPECT_EQ(in_child(die), SIGABRT | 0x80);
    ASSERT_OK(lstat("core", &info));
    EXPECT_TRUE(S_ISREG(info.st_mode));
    ASSERT_OK(stat("precious", &info));
    EXPECT_EQ(info.st_size, 4);
}

TEST(a_folder_in_the_way_stops_it) {
    need_core_file();
    ASSERT_OK(mkdir("core", 0700));
    EXPECT_EQ(in_child(die), SIGABRT);
}

TEST(waitid_and_sigchld_tell_of_it) {
    need_core_file();
    siginfo_t info;
    block(SIGCHLD);
    pid_t pid = fork();
    if (pid == 0) {
        die();
        _exit(1);
    }
    EXPECT_EQ(timed_wait(BIT(SIGCHLD), &info, 5000), SIGCHLD);
    EXPECT_EQ(info.si_code, CLD_DUMPED);
    EXPECT_EQ(info.si_status, SIGABRT);
    ASSERT_OK(waitid(P_PID, pid, &info, WEXITED));
    EXPECT_EQ(info.si_code, CLD_DUMPED);
    EXPECT_EQ(info.si_status, SIGABRT);
}

/* What is in the file. */
static char marked[8192] __attribute__((aligned(4096))) = "a page of its own";
static char *volatile hidden;
static void change_memory(void) {
    strcpy(marked, "changed before the end");
    strcpy(marked + 4096, "second");
    hidden = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(hidden, "secret");
    madvise(hidden, 8192, MADV_DONTDUMP);
}
static pid_t dump_one(void) {
    child_before = change_memory;
    pid_t pid = fork();
    if (pid == 0) {
        die();
        _exit(1);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, SIGABRT | 0x80);
    load_core();
    return pid;
}

TEST(the_elf_header) {
    need_core_file();
    dump_one();
    EXPECT_EQ(memcmp(header->e_ident, ELFMAG, 4), 0);
    EXPECT_EQ(header->e_ident[EI_CLASS], ELFCLASS64);
    EXPECT_EQ(header->e_ident[EI_DATA], ELFDATA2LSB);
    EXPECT_EQ(header->e_type, ET_CORE);
#ifdef __riscv
    EXPECT_EQ(header->e_machine, EM_RISCV);
#else
    EXPECT_EQ(header->e_machine, EM_X86_64);
#endif
    EXPECT_EQ(header->e_ehsize, 64);
    EXPECT_EQ(header->e_phentsize, 56);
    EXPECT_EQ(header->e_phoff, 64);
    EXPECT_EQ(segment(0)->p_type, PT_NOTE);
    for (int i = 1; i < header->e_phnum; i++) EXPECT_EQ(segment(i)->p_type, PT_LOAD);
}

TEST(the_memory_at_the_end) {
    need_core_file();
    dump_one();
    const Elf64_Phdr *which = NULL;
    const char *text = (const char *)dumped(marked, &which);
    ASSERT_TRUE(text != NULL);
    EXPECT_STR(text, "changed before the end");
    EXPECT_STR(text + 4096, "second");
    EXPECT_EQ(which->p_flags, PF_R | PF_W);
    EXPECT_EQ(which->p_offset % 4096, 0);
}

static unsigned char *volatile kept;
static void make_maps(void) {
    kept = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    kept[0] = 1, kept[8192] = 3; /* the middle was never touched */
    madvise(kept + 4096, 4096, MADV_DODUMP);
}
TEST(untouched_pages_read_as_zeros) {
    need_core_file();
    /* The child's address is found by doing the same here. */
    make_maps();
    kept[4096] = 0;
    child_before = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        die();
        _exit(1);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    load_core();
    const unsigned char *data = dumped(kept, NULL);
    ASSERT_TRUE(data != NULL);
    EXPECT_EQ(data[0], 1);
    EXPECT_EQ(data[4096], 0);
    EXPECT_EQ(data[8192], 3);
}

TEST(dontdump_is_left_out) {
    need_core_file();
    change_memory();
    child_before = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        die();
        _exit(1);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    load_core();
    const Elf64_Phdr *which = NULL;
    EXPECT_TRUE(dumped(hidden, &which) == NULL);
    EXPECT_TRUE(which && which->p_filesz == 0 && which->p_memsz == 8192);
}

TEST(the_notes_of_the_process) {
    need_core_file();
    pid_t pid = dump_one();
    size_t size = 0;
    const prstatus_t *status = (const prstatus_t *)note(NT_PRSTATUS, 0, &size);
    ASSERT_TRUE(status != NULL);
    EXPECT_EQ(size, sizeof *status);
    EXPECT_EQ(status->pr_pid, pid);
    EXPECT_EQ(status->pr_ppid, getpid());
    EXPECT_EQ(status->pr_pgrp, getpgrp());
    EXPECT_EQ(status->pr_cursig, SIGABRT);
    EXPECT_EQ(status->pr_info.si_signo, SIGABRT);
    const prpsinfo_t *info = (const prpsinfo_t *)note(NT_PRPSINFO, 0, &size);
    ASSERT_TRUE(info != NULL);
    EXPECT_EQ(size, sizeof *info);
    EXPECT_EQ(info->pr_pid, pid);
    EXPECT_EQ(info->pr_uid, getuid());
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    EXPECT_STR(info->pr_fname, name);
    const siginfo_t *why = (const siginfo_t *)note(0x53494749, 0, &size); /* NT_SIGINFO */
    ASSERT_TRUE(why != NULL);
    EXPECT_EQ(size, 128);
    EXPECT_EQ(why->si_signo, SIGABRT);
    EXPECT_EQ(why->si_code, SI_TKILL);
    EXPECT_EQ(why->si_pid, pid);
    const uint64_t *aux = (const uint64_t *)note(NT_AUXV, 0, &size);
    ASSERT_TRUE(aux != NULL);
    int has_page_size = 0;
    for (size_t i = 0; i + 1 < size / 8 && aux[i]; i += 2) has_page_size |= aux[i] == AT_PAGESZ && aux[i + 1] == 4096;
    EXPECT_TRUE(has_page_size);
    EXPECT_TRUE(note(NT_FPREGSET, 0, &size) != NULL);
}

TEST(the_note_of_mapped_files) {
    need_core_file();
    dump_one();
    size_t size = 0;
    const uint64_t *files = (const uint64_t *)note(0x46494c45, 0, &size); /* NT_FILE */
    ASSERT_TRUE(files != NULL);
    uint64_t count = files[0];
    EXPECT_EQ(files[1], 4096);
    ASSERT_TRUE(count > 0 && 16 + count * 24 < size);
    const char *name = (const char *)files + 16 + count * 24;
    char self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n < 0 ? 0 : n] = 0;
    EXPECT_STR(name, self);
    uint64_t text = (uint64_t)need_core_file;
    int found = 0;
    for (uint64_t i = 0; i < count; i++) found |= text >= files[2 + 3 * i] && text < files[3 + 3 * i];
    EXPECT_TRUE(found);
}

static void *park(void *ready) {
    __atomic_fetch_add((int *)ready, 1, __ATOMIC_SEQ_CST);
    for (;;) pause();
    return NULL;
}
static void with_threads(void) {
    pthread_t thread;
    static volatile int ready;
    for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, park, (void *)&ready);
    while (ready < 3) usleep(100);
}
TEST(every_thread_has_its_registers) {
    need_core_file();
    child_before = with_threads;
    pid_t pid = fork();
    if (pid == 0) {
        die();
        _exit(1);
    }
    int status, ids[4] = {0};
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, SIGABRT | 0x80);
    load_core();
    for (int i = 0; i < 4; i++) {
        const prstatus_t *thread = (const prstatus_t *)note(NT_PRSTATUS, i, NULL);
        ASSERT_TRUE(thread != NULL);
        ids[i] = thread->pr_pid;
        for (int k = 0; k < i; k++) EXPECT_NE(ids[k], ids[i]);
    }
    EXPECT_EQ(ids[0], pid);
    EXPECT_TRUE(note(NT_PRSTATUS, 4, NULL) == NULL);
}

#ifdef __riscv
extern char core_trap[];
static void trap_with_registers(void) {
    allow_core(RLIM_INFINITY);
    __asm__ volatile("li s2, 0x5252\n li t3, 0x1c1c\n li a5, 77\n fcvt.d.l f20, a5\ncore_trap: .word 0xffffffff" ::
                         : "s2", "t3", "a5", "f20");
}
TEST(registers_of_the_fault) {
    need_core_file();
    EXPECT_EQ(in_child(trap_with_registers), SIGILL | 0x80);
    load_core();
    size_t size = 0;
    const unsigned char *status = note(NT_PRSTATUS, 0, &size);
    ASSERT_TRUE(status != NULL);
    EXPECT_EQ(size, 376);
    uint64_t registers[32];
    memcpy(registers, status + 112, sizeof registers);
    EXPECT_EQ(registers[0], (uint64_t)core_trap);
    EXPECT_EQ(registers[18], 0x5252);
    EXPECT_EQ(registers[28], 0x1c1c);
    const unsigned char *fp = note(NT_FPREGSET, 0, &size);
    ASSERT_TRUE(fp != NULL);
    EXPECT_EQ(size, 264);
    double value;
    memcpy(&value, fp + 8 * 20, 8);
    EXPECT_EQ(value, 77);
    const siginfo_t *why = (const siginfo_t *)note(0x53494749, 0, NULL);
    EXPECT_TRUE(why->si_addr == (void *)core_trap);
}
#endif
