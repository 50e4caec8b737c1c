/* procmem HOSTPID PROCDIR: tries to reach the memory of the host process that
 * runs it, by every path it can think of. Prints a line for each that opened,
 * and "reached" when bytes came out that are not its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int tried, opened, reached;
/* Nothing of the kind may open at all: it is named by the host's process id,
 * or lies in the host's procfs. */
static int strict;
static const char secret[64] = "a constant of the guest's own, to be found where it is";

/* An address of the host process: from a maps file that is not ours. */
static void look(const char *how, int fd, int is_mem) {
    tried++;
    if (fd < 0) return;
    opened++;
    if (strict) {
        printf("reached %s\n", how);
        reached++;
        close(fd);
        return;
    }
    char bytes[64] = {0};
    if (is_mem) {
        /* Our own memory file is allowed: then our address holds our bytes. */
        ssize_t n = pread(fd, bytes, sizeof bytes, (off_t)(uintptr_t)secret);
        int own = n == (ssize_t)sizeof bytes && memcmp(bytes, secret, sizeof bytes) == 0;
        /* No guest address is above 2^38; the host's program and stack are. */
        static const uint64_t high[] = {0x555555554000, 0x7ffff7dd0000, 0x7ffffffde000};
        for (unsigned i = 0; i < 3; i++) own &= pread(fd, bytes, 1, (off_t)high[i]) != 1;
        if (!own && (n > 0 || errno == EIO)) {
            printf("reached %s\n", how);
            reached++;
        }
    } else {
        static char text[65536];
        ssize_t n = read(fd, text, sizeof text - 1);
        if (n > 0 && (strstr(text, "/rivix") || strstr(text, "[vvar]") || strstr(text, "ld-linux-x86"))) {
            printf("reached %s\n", how);
            reached++;
        }
    }
    close(fd);
}

static void both(const char *dir) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/mem", dir);
    look(path, open(path, O_RDWR), 1);
    look(path, open(path, O_RDONLY), 1);
    int link = open(path, O_PATH | O_NOFOLLOW);
    if (link >= 0) {
        char again[64];
        snprintf(again, sizeof again, "/proc/self/fd/%d", link);
        look(again, open(again, O_RDWR), 1);
        close(link);
    }
    snprintf(path, sizeof path, "%s/maps", dir);
    look(path, open(path, O_RDONLY), 0);
    snprintf(path, sizeof path, "%s/task", dir);
    int task = open(path, O_RDONLY | O_DIRECTORY);
    if (task >= 0) {
        look("task/../mem", openat(task, "../mem", O_RDWR), 1);
        close(task);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *pid = argv[1], *other_proc = argv[2];
    int foreign = atoi(pid) != getpid();
    char path[PATH_MAX], dir[PATH_MAX];
    static const char *const tops[] = {"/proc", "/proc/self/root/proc", "/proc/self/cwd/../../../../../../../../proc",
                                       "/dev/fd/../../proc", "/../proc", "//proc/", "/proc/../proc", "/proc/1/root/proc",
                                       "/dev/shm/../../proc"};
    static const char *const whos[] = {NULL, "self", "thread-self", "1", "self/task/1"};
    for (unsigned t = 0; t < sizeof tops / sizeof tops[0]; t++)
        for (unsigned w = 0; w < sizeof whos / sizeof whos[0]; w++) {
            snprintf(dir, sizeof dir, "%s/%s", tops[t], whos[w] ? whos[w] : pid);
            strict = !whos[w] && foreign;
            both(dir);
        }
    strict = foreign;
    for (unsigned w = 0; w < sizeof whos / sizeof whos[0]; w++) {
        snprintf(dir, sizeof dir, "%s/%s", other_proc, whos[w] ? whos[w] : pid);
        if (strcmp(other_proc, "/proc") != 0) both(dir);
    }
    /* Links made by the guest, and relative walks. */
    for (unsigned w = 0; w < sizeof whos / sizeof whos[0]; w++) {
        snprintf(path, sizeof path, "/proc/%s/mem", whos[w] ? whos[w] : pid);
        strict = !whos[w] && foreign;
        unlink("link");
        if (symlink(path, "link") == 0) look("a symbolic link", open("link", O_RDWR), 1);
        unlink("hard");
        if (linkat(AT_FDCWD, path, AT_FDCWD, "hard", AT_SYMLINK_FOLLOW) == 0) look("a hard link", open("hard", O_RDWR), 1);
    }
    strict = foreign;
    unlink("dir");
    if (symlink("/proc", "dir") == 0) {
        snprintf(dir, sizeof dir, "dir/%s", pid);
        both(dir);
    }
    int root = open("/", O_RDONLY | O_DIRECTORY);
    snprintf(path, sizeof path, "proc/%s/mem", pid);
    look("openat(/)", openat(root, path, O_RDWR), 1);
    if (chdir("/proc") == 0) {
        snprintf(dir, sizeof dir, "%s", pid);
        both(dir);
        strict = 0;
        both("self");
    }
    strict = foreign;
    /* Descriptors that were inherited, and what can be reached from them. */
    for (int fd = 0; fd < 64; fd++) {
        if (fd == root) continue;
        snprintf(path, sizeof path, "%s/mem", pid);
        look("inherited directory", openat(fd, path, O_RDWR), 1);
        look("inherited directory/self", openat(fd, "self/mem", O_RDWR), 1);
        look("inherited directory/mem", openat(fd, "mem", O_RDWR), 1);
        snprintf(path, sizeof path, "/proc/self/fd/%d/self/mem", fd);
        look(path, open(path, O_RDWR), 1);
        snprintf(path, sizeof path, "/proc/%s/fd/%d/../mem", pid, fd);
        look(path, open(path, O_RDWR), 1);
    }
    printf("tried %d opened %d reached %d\n", tried, opened, reached);
    return reached != 0;
}
