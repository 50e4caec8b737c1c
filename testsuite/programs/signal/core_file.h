/* Making a core file, and finding what is in it. */
#ifndef CORE_FILE_H
#define CORE_FILE_H
#include "signals.h"
#include <elf.h>

/* Tests make sense only where the kernel writes the file itself. */
__attribute__((unused)) static void need_core_file(void) {
    char pattern[64] = "";
    int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY);
    if (fd < 0 || read(fd, pattern, sizeof pattern - 1) < 0) SKIP("no core_pattern");
    close(fd);
    if (strcmp(pattern, "core\n")) SKIP("core_pattern is not core");
    fd = open("/proc/sys/kernel/core_uses_pid", O_RDONLY);
    if (fd >= 0 && read(fd, pattern, 1) == 1 && pattern[0] != '0') SKIP("core_uses_pid is set");
    struct rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max != RLIM_INFINITY) SKIP("RLIMIT_CORE cannot be raised");
}
__attribute__((unused)) static void allow_core(rlim_t size) {
    struct rlimit limit = {size, RLIM_INFINITY};
    ASSERT_OK(setrlimit(RLIMIT_CORE, &limit));
}

static rlim_t child_limit = RLIM_INFINITY;
static int child_signal = SIGABRT;
static void (*child_before)(void);
__attribute__((unused)) static void die(void) {
    allow_core(child_limit);
    if (child_before) child_before();
    syscall(SYS_tgkill, getpid(), gettid(), child_signal);
}
__attribute__((unused)) static int has_core(void) { return access("core", F_OK) == 0; }

/* What is in the file. */
static unsigned char *core;
static size_t core_size;
static const Elf64_Ehdr *header;
__attribute__((unused)) static void load_core(void) {
    struct stat info;
    int fd = open("core", O_RDONLY);
    ASSERT_OK(fd);
    ASSERT_OK(fstat(fd, &info));
    core_size = info.st_size;
    core = mmap(NULL, core_size, PROT_READ, MAP_PRIVATE, fd, 0);
    ASSERT_TRUE(core != MAP_FAILED);
    close(fd);
    header = (const Elf64_Ehdr *)core;
}
__attribute__((unused)) static const Elf64_Phdr *segment(int at) { return (const Elf64_Phdr *)(core + header->e_phoff) + at; }
/* The nth note of a type: its description, and its size. */
__attribute__((unused)) static const unsigned char *note(uint32_t type, int n, size_t *size) {
    const Elf64_Phdr *notes = segment(0);
    const unsigned char *at = core + notes->p_offset, *end = at + notes->p_filesz;
    while (at + 12 <= end) {
        const Elf64_Nhdr *head = (const Elf64_Nhdr *)at;
        const unsigned char *data = at + 12 + ((head->n_namesz + 3) & ~3u);
        if (head->n_type == type && n-- == 0) {
            if (size) *size = head->n_descsz;
            return data;
        }
        at = data + ((head->n_descsz + 3) & ~3u);
    }
    return NULL;
}
__attribute__((unused)) static const unsigned char *dumped(const void *address, const Elf64_Phdr **which) {
    for (int i = 1; i < header->e_phnum; i++) {
        const Elf64_Phdr *s = segment(i);
        if ((uint64_t)address - s->p_vaddr < s->p_memsz) {
            if (which) *which = s;
            if ((uint64_t)address - s->p_vaddr >= s->p_filesz) return NULL;
            return core + s->p_offset + ((uint64_t)address - s->p_vaddr);
        }
    }
    return NULL;
}
#endif
