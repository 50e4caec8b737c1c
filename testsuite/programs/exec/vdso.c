/* The vdso's symbols and what they do (vdso(7)). */
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>

static char *image;
static char *strings;
static ElfW(Sym) *symbols;
static uint32_t *hash, *gnu_hash;
static uint16_t *versions;
static ElfW(Verdef) *verdef;

static void parse(void) {
    image = (char *)getauxval(AT_SYSINFO_EHDR);
    ASSERT_TRUE(image != NULL);
    ElfW(Ehdr) *header = (void *)image;
    ASSERT_EQ(memcmp(header->e_ident, ELFMAG, SELFMAG), 0);
    ASSERT_EQ(header->e_type, ET_DYN);
    ElfW(Phdr) *phdr = (void *)(image + header->e_phoff);
    ElfW(Dyn) *dynamic = NULL;
    unsigned long bias = (unsigned long)image;
    for (int i = 0; i < header->e_phnum; i++) {
        if (phdr[i].p_type == PT_LOAD) bias = (unsigned long)image + phdr[i].p_offset - phdr[i].p_vaddr;
        if (phdr[i].p_type == PT_DYNAMIC) dynamic = (void *)(image + phdr[i].p_offset);
    }
    ASSERT_TRUE(dynamic != NULL);
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        void *at = (void *)(bias + dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_STRTAB: strings = at; break;
        case DT_SYMTAB: symbols = at; break;
        case DT_HASH: hash = at; break;
        case DT_GNU_HASH: gnu_hash = at; break;
        case DT_VERSYM: versions = at; break;
        case DT_VERDEF: verdef = at; break;
        }
    }
    ASSERT_TRUE(strings && symbols && versions && verdef && (hash || gnu_hash));
}

static void *address(ElfW(Sym) *symbol) { return image + symbol->st_value; }

/* The way old C libraries look it up. */
static void *by_hash(const char *name) {
    uint32_t h = 0;
    for (const char *c = name; *c; c++) {
        h = (h << 4) + (unsigned char)*c;
        h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff;
    }
    for (uint32_t i = hash[2 + h % hash[0]]; i; i = hash[2 + hash[0] + i])
        if (strcmp(strings + symbols[i].st_name, name) == 0) return address(&symbols[i]);
    return NULL;
}

static void *by_gnu_hash(const char *name) {
    uint32_t h = 5381;
    for (const char *c = name; *c; c++) h = h * 33 + (unsigned char)*c;
    uint32_t buckets = gnu_hash[0], first = gnu_hash[1], words = gnu_hash[2], shift = gnu_hash[3];
    uint64_t *bloom = (void *)(gnu_hash + 4);
    uint32_t *bucket = (void *)(bloom + words), *chain = bucket + buckets;
    uint64_t word = bloom[h / 64 % words];
    if (!(word >> h % 64 & 1) || !(word >> (h >> shift) % 64 & 1)) return NULL;
    uint32_t i = bucket[h % buckets];
    if (!i) return NULL;
    for (;; i++) {
        if ((chain[i - first] | 1) == (h | 1) && strcmp(strings + symbols[i].st_name, name) == 0)
            return address(&symbols[i]);
        if (chain[i - first] & 1) return NULL;
    }
}

static void *find(const char *name) {
    parse();
    void *found = hash ? by_hash(name) : by_gnu_hash(name);
    if (hash && gnu_hash) EXPECT_TRUE(by_gnu_hash(name) == found);
    if (!found) FAIL("%s is not there", name);
    return found;
}

#ifdef __riscv
#define CLOCK_GETTIME "__vdso_clock_gettime"
static const char *const names[] = {
    "__vdso_rt_sigreturn", "__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_clock_getres",
    "__vdso_getcpu", "__vdso_flush_icache", "__vdso_riscv_hwprobe",
};
#define VERSION "LINUX_4.15"
#else
static const char *const names[] = {
    "__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_clock_getres", "__vdso_getcpu",
};
#define VERSION "LINUX_2.6"
#endif

TEST(all_symbols_in_both_tables) {
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) EXPECT_TRUE(find(names[i]) != NULL);
    EXPECT_TRUE(hash == NULL || by_hash("__vdso_nonsense") == NULL);
    EXPECT_TRUE(gnu_hash == NULL || by_gnu_hash("__vdso_nonsense") == NULL);
}

TEST(symbols_have_their_version) {
    parse();
    int index = 0;
    for (ElfW(Verdef) *def = verdef;; def = (void *)((char *)def + def->vd_next)) {
        ElfW(Verdaux) *aux = (void *)((char *)def + def->vd_aux);
        if (strcmp(strings + aux->vda_name, VERSION) == 0) index = def->vd_ndx;
        if (!def->vd_next) break;
    }
    ASSERT_TRUE(index != 0);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char *at = find(names[i]);
        int seen = 0;
        for (unsigned s = 1; s < 100 && !seen; s++)
            if (strcmp(strings + symbols[s].st_name, names[i]) == 0) {
                seen = 1;
                EXPECT_TRUE(address(&symbols[s]) == at);
                EXPECT_EQ(versions[s] & 0x7fff, index);
                EXPECT_EQ(ELF64_ST_TYPE(symbols[s].st_info), STT_FUNC);
            }
        EXPECT_TRUE(seen);
    }
}

TEST(clock_gettime_agrees_with_the_system_call) {
    long (*get)(clockid_t, struct timespec *) = find("__vdso_clock_gettime");
    static const clockid_t clocks[] = {
        CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
        CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID,
    };
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        struct timespec before, here, after;
        ASSERT_OK(syscall(SYS_clock_gettime, clocks[i], &before));
        ASSERT_EQ(get(clocks[i], &here), 0);
        ASSERT_OK(syscall(SYS_clock_gettime, clocks[i], &after));
        long long b = before.tv_sec * 1000000000LL + before.tv_nsec;
        long long h = here.tv_sec * 1000000000LL + here.tv_nsec;
        long long a = after.tv_sec * 1000000000LL + after.tv_nsec;
        EXPECT_LE(b, h);
        EXPECT_LE(h, a);
        EXPECT_TRUE(here.tv_nsec >= 0 && here.tv_nsec < 1000000000);
    }
    struct timespec t;
    EXPECT_EQ(get(12345, &t), -EINVAL);
}

TEST(monotonic_never_goes_back) {
    long (*get)(clockid_t, struct timespec *) = find("__vdso_clock_gettime");
    long long last = 0;
    for (int i = 0; i < 20000; i++) {
        struct timespec t;
        ASSERT_EQ(get(CLOCK_MONOTONIC, &t), 0);
        long long now = t.tv_sec * 1000000000LL + t.tv_nsec;
        if (now < last) {
            FAIL("%lld after %lld", now, last);
            return;
        }
        last = now;
    }
}

TEST(gettimeofday_and_getres) {
    long (*get)(struct timeval *, void *) = find("__vdso_gettimeofday");
    long (*res)(clockid_t, struct timespec *) = find("__vdso_clock_getres");
    struct timeval before, here, after;
    ASSERT_OK(syscall(SYS_gettimeofday, &before, NULL));
    ASSERT_EQ(get(&here, NULL), 0);
    ASSERT_OK(syscall(SYS_gettimeofday, &after, NULL));
    EXPECT_TRUE(!timercmp(&here, &before, <) && !timercmp(&after, &here, <));
    struct timespec a, b;
    ASSERT_EQ(res(CLOCK_MONOTONIC, &a), 0);
    ASSERT_OK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, &b));
    EXPECT_EQ(a.tv_nsec, b.tv_nsec);
    EXPECT_EQ(a.tv_sec, b.tv_sec);
}

TEST(getcpu_is_among_the_allowed) {
    long (*get)(unsigned *, unsigned *, void *) = find("__vdso_getcpu");
    unsigned cpu = ~0u, node = ~0u;
    ASSERT_EQ(get(&cpu, &node, NULL), 0);
    cpu_set_t set;
    ASSERT_OK(sched_getaffinity(0, sizeof set, &set));
    EXPECT_TRUE(CPU_ISSET(cpu, &set));
    EXPECT_LT(node, 64);
}

#ifdef __riscv
TEST(trampoline_words) {
    uint32_t *words = find("__vdso_rt_sigreturn");
    EXPECT_EQ(words[0], 0x08b00893);
    EXPECT_EQ(words[1], 0x00000073);
}

static void *return_address;
static void handler(int sig) {
    (void)sig;
    return_address = __builtin_return_address(0);
}

TEST(handlers_return_to_the_trampoline) {
    void *trampoline = find("__vdso_rt_sigreturn");
    struct sigaction action = {.sa_handler = handler};
    ASSERT_OK(sigaction(SIGUSR1, &action, NULL));
    ASSERT_OK(raise(SIGUSR1));
    EXPECT_TRUE(return_address == trampoline);
}

TEST(hwprobe_and_flush_icache) {
    struct { int64_t key; uint64_t value; } pairs[3] = {{3, 99}, {4, 0}, {123456, 5}};
    long (*probe)(void *, size_t, size_t, void *, unsigned) = find("__vdso_riscv_hwprobe");
    long (*flush)(void *, void *, unsigned long) = find("__vdso_flush_icache");
    ASSERT_EQ(probe(pairs, 3, 0, NULL, 0), 0);
    EXPECT_EQ(pairs[0].value, 1);
    EXPECT_EQ(pairs[1].value & 3, 3);
    EXPECT_EQ(pairs[2].key, -1);
    EXPECT_EQ(pairs[2].value, 0);
    EXPECT_EQ(flush(pairs, pairs + 1, 0), 0);
    EXPECT_EQ(flush(pairs, pairs + 1, 2), -EINVAL);
}
#endif
