/* Pseudo-terminals as files: making and naming them, moving bytes, hanging up
 * (pty(7), pts(4), ioctl_tty(2)). */
#include "tty.h"
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

TEST(a_new_pair_is_locked) {
    int m = open("/dev/ptmx", O_RDWR | O_NOCTTY), locked = -1, number = -1;
    ASSERT_OK(m);
    EXPECT_OK(ioctl(m, TIOCGPTN, &number));
    EXPECT_GE(number, 0);
    EXPECT_OK(ioctl(m, TIOCGPTLCK, &locked));
    EXPECT_EQ(locked, 1);
    char name[64];
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    EXPECT_ERRNO(EIO, open(name, O_RDWR | O_NOCTTY));
    EXPECT_ERRNO(EIO, ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    int unlock = 0;
    EXPECT_OK(ioctl(m, TIOCSPTLCK, &unlock));
    EXPECT_OK(ioctl(m, TIOCGPTLCK, &locked));
    EXPECT_EQ(locked, 0);
    EXPECT_OK(open(name, O_RDWR | O_NOCTTY));
    int lock = 1;
    EXPECT_OK(ioctl(m, TIOCSPTLCK, &lock));
    EXPECT_ERRNO(EIO, open(name, O_RDWR | O_NOCTTY));
}

TEST(names_and_numbers) {
    struct pair p = open_pair();
    int number;
    char name[64], link[64], path[64];
    ASSERT_OK(ioctl(p.m, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    EXPECT_STR(p.name, name);
    struct stat by_path, by_fd, master;
    ASSERT_OK(stat(name, &by_path));
    ASSERT_OK(fstat(p.s, &by_fd));
    ASSERT_OK(fstat(p.m, &master));
    EXPECT_TRUE(S_ISCHR(by_path.st_mode));
    EXPECT_EQ(by_path.st_rdev, makedev(136 + number / 256, number % 256));
    EXPECT_EQ(by_path.st_ino, by_fd.st_ino);
    EXPECT_EQ(by_path.st_dev, by_fd.st_dev);
    EXPECT_EQ(by_path.st_rdev, by_fd.st_rdev);
    EXPECT_EQ(by_path.st_ino, number + 3);
    EXPECT_EQ(by_path.st_uid, geteuid());
    EXPECT_EQ(by_path.st_mode & 0707, 0600);
    EXPECT_EQ(master.st_rdev, makedev(5, 2));
    char tty[64] = "";
    EXPECT_EQ(ttyname_r(p.s, tty, sizeof tty), 0);
    EXPECT_STR(tty, name);
    EXPECT_EQ(isatty(p.s), 1);
    EXPECT_EQ(isatty(p.m), 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", p.s);
    memset(link, 0, sizeof link);
    EXPECT_OK(readlink(path, link, sizeof link - 1));
    EXPECT_STR(link, name);
    unsigned device = 0;
    EXPECT_OK(ioctl(p.s, _IOR('T', 0x32, unsigned), &device));
    EXPECT_EQ(device, 136 << 8 | number);
    EXPECT_OK(ioctl(p.m, _IOR('T', 0x32, unsigned), &device));
    EXPECT_EQ(device, 136 << 8 | number);
}

TEST(the_directory_lists_what_exists) {
    struct statfs fs;
    ASSERT_OK(statfs("/dev/pts", &fs));
    EXPECT_EQ(fs.f_type, 0x1cd1);
    struct pair p = open_pair();
    const char *base = strrchr(p.name, '/') + 1;
    for (int round = 0; round < 2; round++) {
        DIR *dir = opendir("/dev/pts");
        ASSERT_TRUE(dir != NULL);
        int seen = 0, ptmx = 0;
        for (struct dirent *e; (e = readdir(dir));) {
            if (strcmp(e->d_name, base) == 0) {
                seen++;
                EXPECT_EQ(e->d_type, DT_CHR);
            }
            ptmx += strcmp(e->d_name, "ptmx") == 0;
        }
        closedir(dir);
        EXPECT_EQ(seen, round == 0);
        EXPECT_EQ(ptmx, 1);
        /* The name goes with the master, though the slave is still open. */
        if (round == 0) close(p.m);
    }
    EXPECT_ERRNO(ENOENT, open(p.name, O_RDWR | O_NOCTTY));
    struct stat st;
    EXPECT_OK(fstat(p.s, &st));
    EXPECT_ERRNO(ENOENT, stat("/dev/pts/99999", &st));
    EXPECT_ERRNO(ENOENT, stat("/dev/pts/01", &st));
}

TEST(each_open_of_the_multiplexer_is_a_new_pair) {
    struct pair p[16];
    for (int i = 0; i < 16; i++) {
        p[i] = open_pair();
        for (int j = 0; j < i; j++) EXPECT_NE(strcmp(p[i].name, p[j].name), 0);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[0].m);
    int other = open(path, O_RDWR | O_NOCTTY), number = -1, first = -1;
    ASSERT_OK(other);
    EXPECT_OK(ioctl(other, TIOCGPTN, &number));
    EXPECT_OK(ioctl(p[0].m, TIOCGPTN, &first));
    EXPECT_NE(number, first);
}

TEST(a_slave_opens_again_by_its_link) {
    struct pair p = open_pair();
    set_raw(p.s);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", p.s);
    int again = open(path, O_RDWR | O_NOCTTY);
    ASSERT_OK(again);
    PUT(again, "x");
    EXPECT_BYTES(p.m, "x");
    close(p.m);
    EXPECT_ERRNO(EIO, open(path, O_RDWR | O_NOCTTY));
}

TEST(openpty_and_forkpty) {
    int m, s;
    char name[64];
    struct winsize size = {24, 80, 1, 2}, got = {0};
    ASSERT_OK(openpty(&m, &s, name, NULL, &size));
    EXPECT_OK(ioctl(s, TIOCGWINSZ, &got));
    EXPECT_EQ(memcmp(&size, &got, sizeof got), 0);
    pid_t pid = forkpty(&m, name, NULL, &size);
    ASSERT_OK(pid);
    if (pid == 0) {
        char tty[64] = "";
        int good = isatty(0) && getsid(0) == getpid() && tcgetpgrp(0) == getpid() && tcgetsid(0) == getpid();
        good = good && ttyname_r(0, tty, sizeof tty) == 0;
        printf("%d %s\n", good, tty);
        fflush(stdout);
        /* What is on its way is not lost by the exit. */
        _exit(7);
    }
    char want[80], buf[80];
    int len = snprintf(want, sizeof want, "1 %s\r\n", name);
    EXPECT_EQ(read_exactly(m, buf, len), len);
    EXPECT_EQ(memcmp(buf, want, len), 0);
    EXPECT_EXITED(7, finish(pid));
    EXPECT_ERRNO(EIO, read(m, buf, sizeof buf));
}

TEST(the_peer_opens_without_a_path) {
    struct pair p = open_master(0);
    int s = ioctl(p.m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_OK(s);
    EXPECT_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(s, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
    char tty[64] = "";
    EXPECT_EQ(ttyname_r(s, tty, sizeof tty), 0);
    EXPECT_STR(tty, p.name);
    int r = ioctl(p.m, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    ASSERT_OK(r);
    EXPECT_EQ(fcntl(r, F_GETFD), 0);
    EXPECT_EQ(fcntl(r, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
    EXPECT_ERRNO(EBADF, write(r, "x", 1));
    EXPECT_ERRNO(EAGAIN, read(r, tty, 1));
}

TEST(masters_requests_are_not_the_slaves) {
    struct pair p = open_pair();
    int value = 0;
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCGPTN, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCSPTLCK, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCGPTLCK, &value));
    EXPECT_ERRNO(EIO, ioctl(p.s, TIOCGPTPEER, O_RDWR));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCPKT, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCGPKT, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCSIG, SIGINT));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, 0x54ff, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.m, 0x54ff, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCMGET, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCGSERIAL, BAD_PTR));
    EXPECT_OK(ioctl(p.s, TIOCGETD, &value));
    EXPECT_EQ(value, 0);
}

TEST(bad_pointers) {
    struct pair p = open_pair();
    EXPECT_ERRNO(EFAULT, ioctl(p.m, TIOCGPTN, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.m, TIOCSPTLCK, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.m, TIOCPKT, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.s, TCGETS, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.s, TCSETS, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.s, TIOCGWINSZ, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.s, TIOCSWINSZ, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.s, FIONREAD, BAD_PTR));
    EXPECT_ERRNO(EFAULT, ioctl(p.s, TIOCOUTQ, BAD_PTR));
    set_raw(p.s);
    PUT(p.m, "abc");
    EXPECT_ERRNO(EFAULT, read(p.s, BAD_PTR, 3));
    EXPECT_ERRNO(EFAULT, write(p.s, BAD_PTR, 3));
    EXPECT_ERRNO(EFAULT, write(p.m, BAD_PTR, 3));
}

TEST(bytes_pass_both_ways) {
    struct pair p = open_pair();
    set_raw(p.s);
    char all[256], buf[256];
    for (int i = 0; i < 256; i++) all[i] = i;
    put_bytes(p.m, all, 256);
    EXPECT_EQ(read_exactly(p.s, buf, 256), 256);
    EXPECT_EQ(memcmp(all, buf, 256), 0);
    put_bytes(p.s, all, 256);
    EXPECT_EQ(read_exactly(p.m, buf, 256), 256);
    EXPECT_EQ(memcmp(all, buf, 256), 0);
    struct iovec iov[2] = {{"one ", 4}, {"two", 3}};
    EXPECT_EQ(writev(p.s, iov, 2), 7);
    EXPECT_BYTES(p.m, "one two");
    EXPECT_EQ(write(p.s, all, 0), 0);
    EXPECT_EQ(read(p.s, buf, 0), 0);
}

TEST(not_seekable_and_not_mappable) {
    struct pair p = open_pair();
    char c;
    EXPECT_ERRNO(ESPIPE, lseek(p.s, 0, SEEK_SET));
    EXPECT_ERRNO(ESPIPE, lseek(p.m, 0, SEEK_CUR));
    EXPECT_ERRNO(ESPIPE, pread(p.s, &c, 1, 0));
    EXPECT_ERRNO(ESPIPE, pwrite(p.m, &c, 1, 0));
    EXPECT_ERRNO(ENODEV, mmap(NULL, 4096, PROT_READ, MAP_SHARED, p.s, 0));
    int r = open(p.name, O_RDONLY | O_NOCTTY), w = open(p.name, O_WRONLY | O_NOCTTY);
    EXPECT_ERRNO(EBADF, write(r, "x", 1));
    EXPECT_ERRNO(EBADF, read(w, &c, 1));
}

TEST(nonblocking) {
    struct pair p = open_pair();
    char c;
    set_nonblock(p.m, 1);
    set_nonblock(p.s, 1);
    EXPECT_ERRNO(EAGAIN, read(p.m, &c, 1));
    EXPECT_ERRNO(EAGAIN, read(p.s, &c, 1));
    int off = 0, on = 1;
    EXPECT_OK(ioctl(p.s, FIONBIO, &off));
    EXPECT_EQ(fcntl(p.s, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_OK(ioctl(p.s, FIONBIO, &on));
    EXPECT_ERRNO(EAGAIN, read(p.s, &c, 1));
    EXPECT_EQ(events_of(p.s, POLLIN | POLLOUT, 0), POLLOUT);
    EXPECT_EQ(events_of(p.m, POLLIN | POLLOUT, 0), POLLOUT);
}

TEST(a_master_waits_for_its_first_slave) {
    struct pair p = open_master(O_NONBLOCK);
    char c;
    /* Nobody has hung up: nobody was there. */
    EXPECT_ERRNO(EAGAIN, read(p.m, &c, 1));
    EXPECT_EQ(events_of(p.m, POLLIN | POLLOUT, 0), POLLOUT);
    PUT(p.m, "early\n");
    EXPECT_BYTES(p.m, "early\r\n");
    p.s = open(p.name, O_RDWR | O_NOCTTY);
    ASSERT_OK(p.s);
    EXPECT_READ(p.s, 100, "early\n");
}

TEST(the_last_slaves_close_hangs_the_master_up) {
    struct pair p = open_pair();
    char c;
    set_raw(p.s);
    int second = open(p.name, O_RDWR | O_NOCTTY);
    close(p.s);
    set_nonblock(p.m, 1);
    EXPECT_ERRNO(EAGAIN, read(p.m, &c, 1));
    PUT(second, "last");
    close(second);
    EXPECT_EQ(events_of(p.m, POLLIN | POLLOUT, 0), POLLIN | POLLOUT | POLLHUP);
    EXPECT_BYTES(p.m, "last");
    EXPECT_EQ(events_of(p.m, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
    EXPECT_ERRNO(EIO, read(p.m, &c, 1));
    /* A slave that comes makes it whole again, with the settings of before. */
    EXPECT_EQ(write(p.m, "kept", 4), 4);
    p.s = open(p.name, O_RDWR | O_NOCTTY);
    ASSERT_OK(p.s);
    EXPECT_EQ(events_of(p.m, POLLIN | POLLOUT, 0), POLLOUT);
    EXPECT_ERRNO(EAGAIN, read(p.m, &c, 1));
    EXPECT_EQ(get_attr(p.s).c_lflag & ICANON, 0);
    EXPECT_BYTES(p.s, "kept");
}

TEST(a_blocked_master_hears_of_the_hang_up) {
    struct pair p = open_pair();
    pid_t pid = fork();
    if (pid == 0) {
        close(p.m);
        sleep_ms(20);
        _exit(0);
    }
    close(p.s);
    char c;
    EXPECT_ERRNO(EIO, read(p.m, &c, 1));
    EXPECT_EXITED(0, finish(pid));
}

TEST(the_masters_close_hangs_the_slaves_up) {
    struct pair p = open_pair();
    int other = dup(p.m), value;
    char c;
    struct termios t;
    PUT(p.m, "lost\n");
    close(p.m);
    EXPECT_EQ(events_of(p.s, POLLIN | POLLOUT, 2000) & POLLHUP, 0);
    close(other);
    EXPECT_EQ(events_of(p.s, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, 0),
              POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM);
    EXPECT_EQ(read(p.s, &c, 1), 0);
    EXPECT_ERRNO(EIO, write(p.s, "x", 1));
    EXPECT_ERRNO(EIO, tcgetattr(p.s, &t));
    EXPECT_ERRNO(EIO, ioctl(p.s, FIONREAD, &value));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCSPGRP, &value));
    EXPECT_ERRNO(EIO, ioctl(p.s, TIOCGPGRP, &value));
    EXPECT_EQ(isatty(p.s), 0);
}

static void wait_to_read(void *arg) {
    struct pair *p = arg;
    char c;
    close(p->m);
    EXPECT_ERRNO(EIO, read(p->s, &c, 1));
    EXPECT_EQ(read(p->s, &c, 1), 0);
}
TEST(a_blocked_slave_hears_of_the_hang_up) {
    struct pair p = open_pair();
    pid_t pid = spawn(wait_to_read, &p);
    ASSERT_TRUE(EVENTUALLY(STATE(pid) == 'S'));
    sleep_ms(20);
    close(p.m);
    EXPECT_EXITED(0, finish(pid));
}

/* Fills from one end without waiting; how much it took. */
static int fill(int fd) {
    char block[1000];
    memset(block, 'x', sizeof block);
    int total = 0, quiet = 0;
    set_nonblock(fd, 1);
    while (quiet < 20 && total < 1 << 20) {
        int n = write(fd, block, sizeof block);
        if (n > 0) {
            total += n;
            quiet = 0;
        } else {
            quiet++;
            usleep(500);
        }
    }
    return total;
}
static void check_back_pressure(int from, int to) {
    int total = fill(from);
    EXPECT_GT(total, 4096);
    EXPECT_LT(total, 64 * 1024);
    EXPECT_ERRNO(EAGAIN, write(from, "x", 1));
    EXPECT_EQ(events_of(from, POLLOUT, 0), 0);
    char buf[8192];
    int seen = 0;
    while (seen < total) {
        int n = read_exactly(to, buf, total - seen < 4000 ? total - seen : 4000);
        ASSERT_TRUE(n > 0);
        for (int i = 0; i < n; i++) ASSERT_EQ(buf[i], 'x');
        seen += n;
    }
    EXPECT_EQ(events_of(from, POLLOUT, 2000), POLLOUT);
    EXPECT_EQ(write(from, "y", 1), 1);
    EXPECT_BYTES(to, "y");
}
TEST(input_that_nobody_reads_holds_its_writer) {
    struct pair p = open_pair();
    set_raw(p.s);
    check_back_pressure(p.m, p.s);
}
TEST(output_that_nobody_reads_holds_its_writer) {
    struct pair p = open_pair();
    set_raw(p.s);
    check_back_pressure(p.s, p.m);
}

static void write_much(void *arg) {
    int fd = *(int *)arg;
    char block[5000];
    for (int i = 0; i < 20; i++) {
        for (int j = 0; j < 5000; j++) block[j] = (i * 5000 + j) % 251;
        EXPECT_EQ(write(fd, block, sizeof block), sizeof block);
    }
}
static void check_stream(int from, int to) {
    pid_t pid = spawn(write_much, &from);
    unsigned char buf[3000];
    int seen = 0;
    while (seen < 100000) {
        int n = read(to, buf, sizeof buf);
        ASSERT_TRUE(n > 0);
        for (int i = 0; i < n; i++) ASSERT_EQ(buf[i], (seen + i) % 251);
        seen += n;
    }
    EXPECT_EXITED(0, finish(pid));
}
TEST(blocked_writers_go_on) {
    struct pair p = open_pair();
    set_raw(p.s);
    check_stream(p.s, p.m);
    check_stream(p.m, p.s);
}

static void on_signal(int sig) { (void)sig; }
TEST(a_signal_ends_a_blocked_write) {
    struct pair p = open_pair();
    set_raw(p.s);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    fill(p.s);
    set_nonblock(p.s, 0);
    struct itimerval soon = {.it_value = {0, 30000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    EXPECT_ERRNO(EINTR, write(p.s, "x", 1));
    /* What went before the signal counts. */
    static char buf[8000];
    EXPECT_EQ(read_exactly(p.m, buf, sizeof buf), sizeof buf);
    EXPECT_EQ(events_of(p.s, POLLOUT, 2000), POLLOUT);
    static char much[100000];
    setitimer(ITIMER_REAL, &soon, NULL);
    int n = write(p.s, much, sizeof much);
    EXPECT_GT(n, 0);
    EXPECT_LT(n, (int)sizeof much);
}

TEST(epoll_tells_of_both_ends) {
    struct pair p = open_pair();
    set_raw(p.s);
    int e = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.fd = 1}, got[4];
    ASSERT_OK(epoll_ctl(e, EPOLL_CTL_ADD, p.m, &ev));
    ev.data.fd = 2;
    ASSERT_OK(epoll_ctl(e, EPOLL_CTL_ADD, p.s, &ev));
    EXPECT_EQ(epoll_wait(e, got, 4, 0), 0);
    PUT(p.s, "x");
    EXPECT_EQ(epoll_wait(e, got, 4, 2000), 1);
    EXPECT_EQ(got[0].data.fd, 1);
    EXPECT_EQ(got[0].events, EPOLLIN);
    EXPECT_EQ(epoll_wait(e, got, 4, 0), 0);
    PUT(p.m, "y");
    EXPECT_EQ(epoll_wait(e, got, 4, 2000), 1);
    EXPECT_EQ(got[0].data.fd, 2);
    EXPECT_BYTES(p.m, "x");
    EXPECT_BYTES(p.s, "y");
    close(p.s);
    EXPECT_EQ(epoll_wait(e, got, 4, 2000), 1);
    EXPECT_EQ(got[0].data.fd, 1);
    EXPECT_EQ(got[0].events, EPOLLHUP);
}

TEST(how_much_can_be_read) {
    struct pair p = open_pair();
    int n = -1;
    PUT(p.m, "12\n345");
    EXPECT_BYTES(p.m, "12\r\n345");
    EXPECT_TRUE(EVENTUALLY((ioctl(p.s, FIONREAD, &n), n == 3)));
    PUT(p.m, "\004");
    /* The end of file itself is no byte. */
    EXPECT_TRUE(EVENTUALLY((ioctl(p.s, FIONREAD, &n), n == 6)));
    set_raw(p.s);
    EXPECT_OK(ioctl(p.s, TIOCOUTQ, &n));
    EXPECT_EQ(n, 0);
    PUT(p.s, "abcd");
    EXPECT_TRUE(EVENTUALLY((ioctl(p.m, FIONREAD, &n), n == 4)));
    EXPECT_OK(ioctl(p.s, TIOCOUTQ, &n));
    EXPECT_EQ(n, 0);
}

TEST(exclusive_mode) {
    struct pair p = open_pair();
    int value = -1;
    EXPECT_OK(ioctl(p.s, _IOR('T', 0x40, int), &value));
    EXPECT_EQ(value, 0);
    EXPECT_OK(ioctl(p.s, TIOCEXCL));
    EXPECT_OK(ioctl(p.s, _IOR('T', 0x40, int), &value));
    EXPECT_EQ(value, 1);
    if (geteuid() != 0) EXPECT_ERRNO(EBUSY, open(p.name, O_RDWR | O_NOCTTY));
    EXPECT_OK(ioctl(p.s, TIOCNXCL));
    EXPECT_OK(open(p.name, O_RDWR | O_NOCTTY));
}

TEST(packets_of_data) {
    struct pair p = open_pair();
    int on = 1, off = 0, value = -1;
    set_raw(p.s);
    EXPECT_OK(ioctl(p.m, TIOCGPKT, &value));
    EXPECT_EQ(value, 0);
    EXPECT_OK(ioctl(p.m, TIOCPKT, &on));
    EXPECT_OK(ioctl(p.m, TIOCGPKT, &value));
    EXPECT_EQ(value, 1);
    PUT(p.s, "hello");
    EXPECT_EQ(events_of(p.m, POLLIN | POLLPRI, 2000), POLLIN);
    EXPECT_READ(p.m, 100, "\0hello");
    PUT(p.s, "hello");
    EXPECT_EQ(events_of(p.m, POLLIN, 2000), POLLIN);
    EXPECT_READ(p.m, 3, "\0he");
    EXPECT_READ(p.m, 100, "\0llo");
    EXPECT_OK(ioctl(p.m, TIOCPKT, &off));
    PUT(p.s, "plain");
    EXPECT_BYTES(p.m, "plain");
}

TEST(packets_of_changes) {
    struct pair p = open_pair();
    int on = 1;
    EXPECT_OK(ioctl(p.m, TIOCPKT, &on));
    EXPECT_OK(tcflush(p.s, TCIFLUSH));
    EXPECT_EQ(events_of(p.m, POLLIN | POLLPRI, 2000), POLLIN | POLLPRI);
    EXPECT_READ(p.m, 100, "\x01"); /* FLUSHREAD */
    EXPECT_OK(tcflush(p.s, TCOFLUSH));
    EXPECT_READ(p.m, 100, "\x02"); /* FLUSHWRITE */
    EXPECT_OK(tcflush(p.s, TCIOFLUSH));
    EXPECT_READ(p.m, 100, "\x03");
    EXPECT_OK(tcflow(p.s, TCOOFF));
    EXPECT_READ(p.m, 100, "\x04"); /* STOP */
    EXPECT_OK(tcflow(p.s, TCOON));
    EXPECT_READ(p.m, 100, "\x08"); /* START */
    struct termios t = get_attr(p.s), old = t;
    t.c_iflag &= ~IXON;
    set_attr(p.s, t);
    EXPECT_READ(p.m, 100, "\x10"); /* NOSTOP */
    set_attr(p.s, old);
    EXPECT_READ(p.m, 100, "\x20"); /* DOSTOP */
    t = old;
    t.c_cc[VSTOP] = 'x';
    set_attr(p.s, t);
    EXPECT_READ(p.m, 100, "\x10");
    EXPECT_EQ(events_of(p.m, POLLIN | POLLPRI, 0), 0);
    /* What has happened comes before what was written. */
    PUT(p.s, "data");
    EXPECT_OK(tcflush(p.s, TCIFLUSH));
    EXPECT_TRUE(EVENTUALLY(events_of(p.m, POLLIN | POLLPRI, 0) == (POLLIN | POLLPRI)));
    EXPECT_READ(p.m, 100, "\x01");
    EXPECT_READ(p.m, 100, "\0data");
}

TEST(vhangup_needs_rights) {
    if (geteuid() == 0) SKIP("root may");
    EXPECT_ERRNO(EPERM, vhangup());
    struct pair p = open_pair();
    EXPECT_ERRNO(EPERM, ioctl(p.s, 0x5437 /* TIOCVHANGUP */));
    EXPECT_ERRNO(EPERM, ioctl(p.s, TIOCCONS));
}

TEST(a_number_is_free_when_both_ends_are_gone) {
    struct pair p = open_pair();
    char first[64];
    strcpy(first, p.name);
    close(p.m);
    /* The slave keeps it. */
    struct pair q = open_master(0);
    EXPECT_NE(strcmp(q.name, first), 0);
    close(q.m);
    close(p.s);
}
