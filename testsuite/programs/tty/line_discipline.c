/* What the line discipline makes of input and output (termios(3), n_tty). */
#include "tty.h"
#include <sys/time.h>

TEST(settings_at_the_start) {
    struct pair p = open_pair();
    struct termios t = get_attr(p.s), m = get_attr(p.m);
    EXPECT_EQ(t.c_iflag, ICRNL | IXON);
    EXPECT_EQ(t.c_oflag, OPOST | ONLCR);
    EXPECT_EQ(t.c_cflag, B38400 | CS8 | CREAD);
    EXPECT_EQ(t.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    EXPECT_EQ(memcmp(t.c_cc, "\003\034\177\025\004\0\1\0\021\023\032\0\022\017\027\026\0", 17), 0);
    EXPECT_EQ(cfgetispeed(&t), B38400);
    EXPECT_EQ(cfgetospeed(&t), B38400);
    /* The master shows and sets the slave's. */
    EXPECT_EQ(m.c_lflag, t.c_lflag);
    m.c_lflag &= ~ECHO;
    set_attr(p.m, m);
    EXPECT_EQ(get_attr(p.s).c_lflag & ECHO, 0);
}

TEST(a_pseudo_terminal_has_eight_bits) {
    struct pair p = open_pair();
    struct termios t = get_attr(p.s);
    t.c_cflag = B9600 | CS7 | PARENB | CSTOPB | HUPCL;
    set_attr(p.s, t);
    EXPECT_EQ(get_attr(p.s).c_cflag, B9600 | CS8 | CSTOPB | HUPCL | CREAD);
}

struct settings2 {
    tcflag_t iflag, oflag, cflag, lflag;
    unsigned char line, cc[19];
    unsigned ispeed, ospeed;
};
TEST(settings_with_speeds) {
    struct pair p = open_pair();
    struct settings2 s;
    _Static_assert(sizeof s == 44, "struct termios2");
    memset(&s, 0xee, sizeof s);
    ASSERT_OK(ioctl(p.s, _IOR('T', 0x2a, struct settings2), &s));
    EXPECT_EQ(s.ispeed, 38400);
    EXPECT_EQ(s.ospeed, 38400);
    EXPECT_EQ(s.lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    /* Any speed, by BOTHER. */
    s.cflag = (s.cflag & ~CBAUD) | 0010000;
    s.ospeed = 12345;
    for (int request = 0x2b; request <= 0x2d; request++) {
        s.ospeed++;
        ASSERT_OK(ioctl(p.s, _IOC(_IOC_WRITE, 'T', request, 44), &s));
        struct settings2 got;
        ASSERT_OK(ioctl(p.s, _IOR('T', 0x2a, struct settings2), &got));
        EXPECT_EQ(got.ospeed, s.ospeed);
        EXPECT_EQ(got.ispeed, s.ospeed);
    }
    /* A speed of the table changes both. */
    struct termios t = get_attr(p.s);
    cfsetspeed(&t, B115200);
    set_attr(p.s, t);
    ASSERT_OK(ioctl(p.s, _IOR('T', 0x2a, struct settings2), &s));
    EXPECT_EQ(s.ospeed, 115200);
    EXPECT_EQ(s.ispeed, 115200);
}

TEST(settings_of_system_v) {
    struct pair p = open_pair();
    struct {
        unsigned short iflag, oflag, cflag, lflag;
        unsigned char line, cc[8];
    } old;
    _Static_assert(sizeof old == 18, "struct termio");
    ASSERT_OK(ioctl(p.s, TCGETA, &old));
    EXPECT_EQ(old.iflag, ICRNL | IXON);
    EXPECT_EQ(old.lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    EXPECT_EQ(old.cc[VERASE], 0177);
    old.lflag &= ~ECHO;
    old.cc[VERASE] = '#';
    ASSERT_OK(ioctl(p.s, TCSETA, &old));
    struct termios t = get_attr(p.s);
    EXPECT_EQ(t.c_lflag & ECHO, 0);
    EXPECT_EQ(t.c_cc[VERASE], '#');
    EXPECT_EQ(t.c_cc[VLNEXT], 026);
    ASSERT_OK(ioctl(p.s, TCSETAW, &old));
    ASSERT_OK(ioctl(p.s, TCSETAF, &old));
}

TEST(a_line_at_a_time) {
    struct pair p = open_pair();
    PUT(p.m, "one\ntwo\n");
    EXPECT_BYTES(p.m, "one\r\ntwo\r\n");
    EXPECT_READ(p.s, 100, "one\n");
    EXPECT_READ(p.s, 2, "tw");
    EXPECT_READ(p.s, 1, "o");
    EXPECT_READ(p.s, 1, "\n");
    PUT(p.m, "abc\n");
    EXPECT_READ(p.s, 3, "abc");
    EXPECT_READ(p.s, 100, "\n");
}

TEST(a_line_is_whole_or_not_there) {
    struct pair p = open_pair();
    char c;
    set_nonblock(p.s, 1);
    PUT(p.m, "unfinished");
    EXPECT_BYTES(p.m, "unfinished");
    EXPECT_ERRNO(EAGAIN, read(p.s, &c, 1));
    EXPECT_EQ(events_of(p.s, POLLIN, 0), 0);
    PUT(p.m, "\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    EXPECT_READ(p.s, 100, "unfinished\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 0), 0);
}

TEST(end_of_file) {
    struct pair p = open_pair();
    PUT(p.m, "ab\004");
    EXPECT_READ(p.s, 100, "ab");
    PUT(p.m, "\004");
    EXPECT_READ(p.s, 100, "");
    PUT(p.m, "cd\n\004");
    EXPECT_READ(p.s, 100, "cd\n");
    EXPECT_READ(p.s, 100, "");
    /* A read of just so many bytes takes the end with it. */
    PUT(p.m, "ef\004gh\n");
    EXPECT_READ(p.s, 2, "ef");
    EXPECT_READ(p.s, 100, "gh\n");
    PUT(p.m, "ij\004kl\n");
    EXPECT_READ(p.s, 1, "i");
    EXPECT_READ(p.s, 1, "j");
    EXPECT_READ(p.s, 100, "kl\n");
    PUT(p.m, "mn\004\004");
    EXPECT_READ(p.s, 2, "mn");
    EXPECT_READ(p.s, 2, "");
    /* It is not echoed. */
    EXPECT_BYTES(p.m, "abcd\r\nefgh\r\nijkl\r\nmn");
    EXPECT_QUIET(p.m);
}

TEST(other_line_ends) {
    struct pair p = open_pair();
    struct termios t = get_attr(p.s);
    t.c_cc[VEOL] = ';';
    t.c_cc[VEOL2] = '|';
    set_attr(p.s, t);
    PUT(p.m, "a;b|c\n");
    EXPECT_READ(p.s, 100, "a;");
    EXPECT_READ(p.s, 100, "b|");
    EXPECT_READ(p.s, 100, "c\n");
    EXPECT_BYTES(p.m, "a;b|c\r\n");
    change_local(p.s, IEXTEN, 0);
    PUT(p.m, "a;b|c\n");
    EXPECT_READ(p.s, 100, "a;");
    EXPECT_READ(p.s, 100, "b|c\n");
}

/* Types `input`, expects `echo` at the master, then one line of the slave. */
struct typed {
    const char *input, *echo, *line;
};
static void check_typed(const char *file, int line, struct pair *p, struct typed t) {
    put_bytes(p->m, t.input, strlen(t.input));
    expect_bytes(file, line, p->m, t.echo, strlen(t.echo));
    expect_read(file, line, p->s, 500, t.line, strlen(t.line));
}
#define TYPED(input, echo, line) check_typed(__FILE__, __LINE__, &p, (struct typed){input, echo, line})

TEST(erasing_a_character) {
    struct pair p = open_pair();
    TYPED("abc\177d\n", "abc\b \bd\r\n", "abd\n");
    TYPED("\177\177a\177\177b\n", "a\b \bb\r\n", "b\n");
    TYPED("a\001\177b\n", "a^A\b \b\b \bb\r\n", "ab\n");
    change_local(p.s, ECHOCTL, 0);
    TYPED("a\001\177b\n", "a\001b\r\n", "ab\n");
    change_local(p.s, ECHOE, 0);
    TYPED("abc\177d\n", "abc\177d\r\n", "abd\n");
    change_local(p.s, ECHO, 0);
    TYPED("abc\177d\n", "", "abd\n");
    /* Not across a line that is complete. */
    TYPED("x\n", "", "x\n");
    PUT(p.m, "one\n\177\177\177two\n");
    EXPECT_READ(p.s, 100, "one\n");
    EXPECT_READ(p.s, 100, "two\n");
}

TEST(erasing_a_tab) {
    struct pair p = open_pair();
    TYPED("ab\t\177c\n", "ab\t\b\b\b\b\b\bc\r\n", "abc\n");
    TYPED("\t\177c\n", "\t\b\b\b\b\b\b\b\bc\r\n", "c\n");
    TYPED("a\tbcd\t\177c\n", "a\tbcd\t\b\b\b\b\bc\r\n", "a\tbcdc\n");
    TYPED("\001\t\177c\n", "^A\t\b\b\b\b\b\bc\r\n", "\001c\n");
    /* After a prompt the columns count from where the input began. */
    PUT(p.s, "> ");
    EXPECT_BYTES(p.m, "> ");
    TYPED("ab\t\177c\n", "ab\t\b\b\b\bc\r\n", "abc\n");
}

TEST(erasing_a_word) {
    struct pair p = open_pair();
    TYPED("foo bar_1  \027x\n", "foo bar_1  \b \b\b \b\b \b\b \b\b \b\b \b\b \bx\r\n", "foo x\n");
    TYPED("foo.bar\027x\n", "foo.bar\b \b\b \b\b \bx\r\n", "foo.x\n");
    TYPED("\027x\n", "x\r\n", "x\n");
    change_local(p.s, IEXTEN, 0);
    TYPED("foo \027x\n", "foo ^Wx\r\n", "foo \027x\n");
}

TEST(erasing_a_line) {
    struct pair p = open_pair();
    TYPED("abc\025d\n", "abc\b \b\b \b\b \bd\r\n", "d\n");
    change_local(p.s, ECHOKE, 0);
    TYPED("abc\025d\n", "abc^U\r\nd\r\n", "d\n");
    change_local(p.s, ECHOK, 0);
    TYPED("abc\025d\n", "abc^Ud\r\n", "d\n");
    change_local(p.s, ECHO, 0);
    TYPED("abc\025d\n", "", "d\n");
}

TEST(erasing_for_printers) {
    struct pair p = open_pair();
    change_local(p.s, 0, ECHOPRT);
    TYPED("abc\177\177d\n", "abc\\cb/d\r\n", "ad\n");
    TYPED("ab\177\177\n", "ab\\ba/\r\n", "\n");
}

TEST(erasing_several_bytes) {
    struct pair p = open_pair();
    struct termios t = get_attr(p.s);
    TYPED("a\303\244\177b\n", "a\303\244\b \bb\r\n", "a\303b\n");
    t.c_iflag |= IUTF8;
    set_attr(p.s, t);
    TYPED("a\303\244\177b\n", "a\303\244\b \bb\r\n", "ab\n");
    TYPED("a\342\202\254\025b\n", "a\342\202\254\b \b\b \bb\r\n", "b\n");
    /* One column each. */
    TYPED("\303\244\t\177b\n", "\303\244\t\b\b\b\b\b\b\bb\r\n", "\303\244b\n");
}

TEST(reprint) {
    struct pair p = open_pair();
    TYPED("abc\022d\n", "abc^R\r\nabcd\r\n", "abcd\n");
    change_local(p.s, ECHO, 0);
    TYPED("abc\022d\n", "", "abc\022d\n");
}

TEST(literal_next) {
    struct pair p = open_pair();
    TYPED("\026\003\n", "^\b^C\r\n", "\003\n");
    TYPED("a\026\177\026\n\n", "a^\b^?^\b^J\r\n", "a\177\n\n");
    TYPED("\026\026\n", "^\b^V\r\n", "\026\n");
    change_local(p.s, ECHOCTL, 0);
    TYPED("\026\004\n", "\004\r\n", "\004\n");
    change_local(p.s, IEXTEN, 0);
    TYPED("a\026b\n", "a\026b\r\n", "a\026b\n");
}

TEST(echo_of_controls) {
    struct pair p = open_pair();
    TYPED("\001\t\033\n", "^A\t^[\r\n", "\001\t\033\n");
    TYPED("\377\200\n", "\377\200\r\n", "\377\200\n");
    change_local(p.s, ECHOCTL, 0);
    TYPED("\001\n", "\001\r\n", "\001\n");
    change_local(p.s, ECHO, ECHONL);
    TYPED("ab\n", "\r\n", "ab\n");
}

TEST(a_disabled_character_is_one_like_others) {
    struct pair p = open_pair();
    struct termios t = get_attr(p.s);
    t.c_cc[VINTR] = t.c_cc[VERASE] = t.c_cc[VEOF] = t.c_cc[VKILL] = 0;
    set_attr(p.s, t);
    PUT(p.m, "a\0b\003\n");
    EXPECT_BYTES(p.m, "a^@b^C\r\n");
    EXPECT_READ(p.s, 100, "a\0b\003\n");
}

/* Without ICANON, so that bytes come as they are. */
static void check_input(const char *file, int line, tcflag_t iflag, tcflag_t lflag, const char *in, int in_len,
                        const char *out, int out_len) {
    struct pair p = open_pair();
    struct termios t = get_attr(p.s);
    t.c_iflag = iflag;
    t.c_lflag = lflag;
    set_attr(p.s, t);
    put_bytes(p.m, in, in_len);
    PUT(p.m, ".");
    expect_bytes(file, line, p.s, out, out_len);
    expect_bytes(file, line, p.s, ".", 1);
    close(p.m);
    close(p.s);
}
#define INPUT(iflag, lflag, in, out) check_input(__FILE__, __LINE__, iflag, lflag, in, sizeof(in) - 1, out, sizeof(out) - 1)
TEST(input_is_mapped) {
    INPUT(0, 0, "a\rb\nc\377\0\200", "a\rb\nc\377\0\200");
    INPUT(ICRNL, 0, "a\rb\n", "a\nb\n");
    INPUT(INLCR, 0, "a\rb\n", "a\rb\r");
    INPUT(IGNCR, 0, "a\rb\n\r", "ab\n");
    INPUT(IGNCR | ICRNL | INLCR, 0, "a\rb\n", "ab\r");
    INPUT(ICRNL | INLCR, 0, "a\rb\n", "a\nb\r");
    INPUT(ISTRIP, 0, "\341\377\212", "a\177\n");
    INPUT(IUCLC, IEXTEN, "aBC\311", "abc\351");
    INPUT(IUCLC, 0, "aBC", "aBC");
    INPUT(PARMRK, 0, "a\377b", "a\377\377b");
    INPUT(PARMRK | ISTRIP, 0, "a\377b", "a\177b");
    INPUT(IXON, 0, "a\021b", "ab");
    INPUT(0, IEXTEN, "\026a\027\177", "\026a\027\177");
}

/* Bytes written to the slave, as the master sees them. */
static void check_output(const char *file, int line, tcflag_t oflag, const char *in, const char *out) {
    struct pair p = open_pair();
    struct termios t = get_attr(p.s);
    t.c_oflag = oflag;
    set_attr(p.s, t);
    put_bytes(p.s, in, strlen(in));
    PUT(p.s, "Z");
    expect_bytes(file, line, p.m, out, strlen(out));
    expect_bytes(file, line, p.m, "Z", 1);
    close(p.m);
    close(p.s);
}
#define OUTPUT(oflag, in, out) check_output(__FILE__, __LINE__, oflag, in, out)
TEST(output_is_mapped) {
    OUTPUT(0, "a\nb\tc\r", "a\nb\tc\r");
    OUTPUT(ONLCR | XTABS, "a\nb\tc\r", "a\nb\tc\r");
    OUTPUT(OPOST, "a\nb\tc\r", "a\nb\tc\r");
    OUTPUT(OPOST | ONLCR, "a\nb\r\n", "a\r\nb\r\r\n");
    OUTPUT(OPOST | OCRNL, "a\rb\n", "a\nb\n");
    OUTPUT(OPOST | ONOCR, "\ra\r\rb", "a\rb");
    OUTPUT(OPOST | OCRNL | ONLRET | ONOCR, "a\r\rb", "a\nb");
    OUTPUT(OPOST | OCRNL | ONOCR, "a\r\rb", "a\n\nb");
    OUTPUT(OPOST | ONLRET | ONOCR, "a\n\rb", "a\nb");
    OUTPUT(OPOST | ONOCR, "a\n\rb", "a\n\rb");
    OUTPUT(OPOST | XTABS, "a\tb\t\t.", "a       b               .");
    OUTPUT(OPOST | XTABS, "ab\b\tc\r\td", "ab\b       c\r        d");
    OUTPUT(OPOST | XTABS, "\001\t.", "\001        .");
    OUTPUT(OPOST | XTABS | ONLCR, "abc\n\t.", "abc\r\n        .");
    OUTPUT(OPOST | XTABS, "abc\n\t.", "abc\n     .");
    OUTPUT(OPOST | OLCUC, "abC\344", "ABC\304");
}

TEST(the_interrupt_character_flushes) {
    struct pair p = open_pair();
    const char *keys[] = {"\003", "\034", "\032"}, *echoes[] = {"^Cdef\r\n", "^\\def\r\n", "^Zdef\r\n"};
    for (int i = 0; i < 3; i++) {
        PUT(p.m, "abc");
        EXPECT_BYTES(p.m, "abc");
        put_bytes(p.m, keys[i], 1);
        TYPED("def\n", echoes[i], "def\n");
    }
    PUT(p.m, "line\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    TYPED("\003def\n", "line\r\n^Cdef\r\n", "def\n");
    /* Echo that is not out yet goes as well. */
    TYPED("abc\003def\n", "^Cdef\r\n", "def\n");
    change_local(p.s, 0, NOFLSH);
    TYPED("abc\003def\n", "abc^Cdef\r\n", "abcdef\n");
    change_local(p.s, ECHO, 0);
    TYPED("abc\003def\n", "", "abcdef\n");
    change_local(p.s, ISIG, ECHO);
    TYPED("abc\003def\n", "abc^Cdef\r\n", "abc\003def\n");
}

TEST(stopping_output_by_key) {
    struct pair p = open_pair();
    PUT(p.m, "\023");
    EXPECT_TRUE(EVENTUALLY(events_of(p.s, POLLOUT, 0) == 0));
    set_nonblock(p.s, 1);
    EXPECT_ERRNO(EAGAIN, write(p.s, "x", 1));
    /* Echo waits as well. */
    PUT(p.m, "ab");
    EXPECT_QUIET(p.m);
    PUT(p.m, "\021");
    EXPECT_BYTES(p.m, "ab");
    EXPECT_EQ(events_of(p.s, POLLOUT, 2000), POLLOUT);
    PUT(p.s, "x");
    EXPECT_BYTES(p.m, "x");
    /* With IXANY any key starts it, and counts. */
    struct termios t = get_attr(p.s);
    t.c_iflag |= IXANY;
    set_attr(p.s, t);
    PUT(p.m, "\023");
    EXPECT_TRUE(EVENTUALLY(events_of(p.s, POLLOUT, 0) == 0));
    PUT(p.m, "c\n");
    EXPECT_BYTES(p.m, "c\r\n");
    EXPECT_READ(p.s, 100, "abc\n");
    /* An interrupt starts it, and so does the end of IXON. */
    PUT(p.m, "\023");
    EXPECT_TRUE(EVENTUALLY(events_of(p.s, POLLOUT, 0) == 0));
    PUT(p.m, "\003");
    EXPECT_BYTES(p.m, "^C");
    EXPECT_EQ(events_of(p.s, POLLOUT, 2000), POLLOUT);
    PUT(p.m, "\023");
    EXPECT_TRUE(EVENTUALLY(events_of(p.s, POLLOUT, 0) == 0));
    t.c_iflag &= ~IXON;
    set_attr(p.s, t);
    EXPECT_EQ(events_of(p.s, POLLOUT, 2000), POLLOUT);
    PUT(p.m, "\023\n");
    EXPECT_BYTES(p.m, "^S\r\n");
    EXPECT_READ(p.s, 100, "\023\n");
}

TEST(stopping_output_by_request) {
    struct pair p = open_pair();
    EXPECT_OK(tcflow(p.s, TCOOFF));
    set_nonblock(p.s, 1);
    EXPECT_ERRNO(EAGAIN, write(p.s, "x", 1));
    EXPECT_EQ(events_of(p.s, POLLOUT, 0), 0);
    /* Keys do not start what a program has stopped. */
    PUT(p.m, "\021");
    EXPECT_QUIET(p.m);
    EXPECT_ERRNO(EAGAIN, write(p.s, "x", 1));
    EXPECT_OK(tcflow(p.s, TCOON));
    EXPECT_EQ(write(p.s, "x", 1), 1);
    EXPECT_BYTES(p.m, "x");
    EXPECT_OK(tcflow(p.s, TCIOFF));
    EXPECT_BYTES(p.m, "\023");
    EXPECT_OK(tcflow(p.s, TCION));
    EXPECT_BYTES(p.m, "\021");
    EXPECT_ERRNO(EINVAL, tcflow(p.s, 9));
}

static void write_x(void *arg) { EXPECT_EQ(write(*(int *)arg, "x", 1), 1); }
TEST(a_stopped_writer_goes_on) {
    struct pair p = open_pair();
    EXPECT_OK(tcflow(p.s, TCOOFF));
    pid_t pid = spawn(write_x, &p.s);
    EXPECT_TRUE(EVENTUALLY(STATE(pid) == 'S'));
    EXPECT_OK(tcflow(p.s, TCOON));
    EXPECT_BYTES(p.m, "x");
    EXPECT_EXITED(0, finish(pid));
}

TEST(a_line_holds_4096_bytes) {
    struct pair p = open_pair();
    change_local(p.s, ECHO, 0);
    char many[5000], buf[5000];
    for (int i = 0; i < 5000; i++) many[i] = 'a' + i % 26;
    put_bytes(p.m, many, 5000);
    PUT(p.m, "\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    EXPECT_EQ(read(p.s, buf, sizeof buf), 4096);
    EXPECT_EQ(memcmp(buf, many, 4095), 0);
    EXPECT_EQ(buf[4095], '\n');
    /* Erasing works at the limit. */
    put_bytes(p.m, many, 4500);
    PUT(p.m, "\177\177!\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    int n = read(p.s, buf, sizeof buf);
    EXPECT_EQ(n, 4095);
    EXPECT_EQ(buf[n - 2], '!');
    EXPECT_EQ(memcmp(buf, many, 4093), 0);
}

TEST(complete_lines_are_never_lost) {
    struct pair p = open_pair();
    change_local(p.s, ECHO, 0);
    set_nonblock(p.m, 1);
    char line[64];
    int written = 0, seen = 0, quiet = 0, done = 0;
    while (quiet < 20) {
        int len = snprintf(line, sizeof line, "line %d and more\n", written);
        int n = write(p.m, line + done, len - done);
        if (n <= 0) {
            quiet++;
            usleep(500);
            continue;
        }
        quiet = 0;
        done += n;
        if (done == len) {
            done = 0;
            written++;
        }
    }
    EXPECT_GT(written, 200);
    while (seen < written) {
        char want[64];
        ASSERT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
        int len = snprintf(want, sizeof want, "line %d and more\n", seen++);
        ASSERT_EQ(read(p.s, line, sizeof line), len);
        ASSERT_EQ(memcmp(line, want, len), 0);
    }
}

static void set_counts(int fd, int min, int time) {
    struct termios t = get_attr(fd);
    t.c_cc[VMIN] = min;
    t.c_cc[VTIME] = time;
    set_attr(fd, t);
}
static long elapsed_ms(long long since) { return (now_ns() - since) / 1000000; }

TEST(neither_min_nor_time_polls) {
    struct pair p = open_pair();
    set_raw(p.s);
    set_counts(p.s, 0, 0);
    EXPECT_READ(p.s, 100, "");
    set_nonblock(p.s, 1);
    EXPECT_READ(p.s, 100, "");
    PUT(p.m, "abc");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    EXPECT_READ(p.s, 2, "ab");
    EXPECT_READ(p.s, 100, "c");
    EXPECT_READ(p.s, 100, "");
}

TEST(time_alone_is_a_limit) {
    struct pair p = open_pair();
    set_raw(p.s);
    set_counts(p.s, 0, 1);
    long long began = now_ns();
    EXPECT_READ(p.s, 100, "");
    EXPECT_GE(elapsed_ms(began), 95);
    PUT(p.m, "abc");
    EXPECT_READ(p.s, 100, "abc");
    set_counts(p.s, 0, 200);
    pid_t pid = fork();
    if (pid == 0) {
        sleep_ms(30);
        PUT(p.m, "x");
        _exit(0);
    }
    began = now_ns();
    EXPECT_READ(p.s, 100, "x");
    EXPECT_LT(elapsed_ms(began), 15000);
    EXPECT_EXITED(0, finish(pid));
    char c;
    set_nonblock(p.s, 1);
    EXPECT_ERRNO(EAGAIN, read(p.s, &c, 1));
}

static void read_five(void *arg) {
    char buf[8];
    int n = read(*(int *)arg, buf, sizeof buf);
    _exit(n < 0 ? 99 : n);
}
TEST(min_alone_waits_for_so_many) {
    struct pair p = open_pair();
    set_raw(p.s);
    set_counts(p.s, 5, 0);
    PUT(p.m, "abc");
    /* Less than that is not readable. */
    EXPECT_EQ(events_of(p.s, POLLIN, 30), 0);
    pid_t pid = spawn(read_five, &p.s);
    EXPECT_TRUE(EVENTUALLY(STATE(pid) == 'S'));
    PUT(p.m, "d");
    sleep_ms(5);
    EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
    PUT(p.m, "e");
    EXPECT_EXITED(5, finish(pid));
    PUT(p.m, "fghijk");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    /* A smaller buffer is enough when full. */
    EXPECT_READ(p.s, 3, "fgh");
    set_nonblock(p.s, 1);
    EXPECT_READ(p.s, 100, "ijk");
}

TEST(min_and_time_wait_between_bytes) {
    struct pair p = open_pair();
    set_raw(p.s);
    set_counts(p.s, 5, 1);
    PUT(p.m, "ab");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    long long began = now_ns();
    EXPECT_READ(p.s, 100, "ab");
    EXPECT_GE(elapsed_ms(began), 95);
    PUT(p.m, "abcdef");
    EXPECT_BYTES(p.s, "abcdef");
    /* The clock starts with the first byte. */
    pid_t pid = spawn(read_five, &p.s);
    sleep_ms(150);
    EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
    PUT(p.m, "x");
    EXPECT_EXITED(1, finish(pid));
}

static volatile int signals;
static void count_signal(int sig) {
    (void)sig;
    signals++;
}
static void arm(int ms, int flags) {
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {.it_value = {0, ms * 1000}};
    setitimer(ITIMER_REAL, &soon, NULL);
}
TEST(a_signal_ends_a_read) {
    struct pair p = open_pair();
    char buf[8];
    arm(30, 0);
    EXPECT_ERRNO(EINTR, read(p.s, buf, sizeof buf));
    EXPECT_EQ(signals, 1);
    /* Restarted, it reads what comes later. */
    pid_t pid = fork();
    if (pid == 0) {
        sleep_ms(80);
        PUT(p.m, "late\n");
        _exit(0);
    }
    arm(20, SA_RESTART);
    EXPECT_READ(p.s, 100, "late\n");
    EXPECT_EQ(signals, 2);
    EXPECT_EXITED(0, finish(pid));
    /* What was read before the signal counts. */
    set_raw(p.s);
    set_counts(p.s, 5, 0);
    PUT(p.m, "abc");
    arm(50, SA_RESTART);
    EXPECT_READ(p.s, 100, "abc");
    EXPECT_EQ(signals, 3);
}

TEST(changing_between_lines_and_bytes) {
    struct pair p = open_pair();
    PUT(p.m, "part");
    EXPECT_BYTES(p.m, "part");
    change_local(p.s, ICANON | ECHO, 0);
    EXPECT_READ(p.s, 100, "part");
    PUT(p.m, "abc");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    change_local(p.s, 0, ICANON);
    /* What is there counts as a line. */
    EXPECT_EQ(events_of(p.s, POLLIN, 0), POLLIN);
    EXPECT_READ(p.s, 100, "abc");
    PUT(p.m, "x\n");
    EXPECT_READ(p.s, 100, "x\n");
}

TEST(flushing) {
    struct pair p = open_pair();
    change_local(p.s, ECHO, 0);
    PUT(p.m, "one\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    EXPECT_OK(tcflush(p.s, TCIFLUSH));
    EXPECT_EQ(events_of(p.s, POLLIN, 0), 0);
    PUT(p.m, "two\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    EXPECT_OK(tcflush(p.s, TCOFLUSH));
    EXPECT_EQ(events_of(p.s, POLLIN, 0), POLLIN);
    EXPECT_OK(tcflush(p.s, TCIOFLUSH));
    EXPECT_EQ(events_of(p.s, POLLIN, 0), 0);
    PUT(p.m, "three\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    struct termios t = get_attr(p.s);
    EXPECT_OK(tcsetattr(p.s, TCSADRAIN, &t));
    EXPECT_EQ(events_of(p.s, POLLIN, 0), POLLIN);
    EXPECT_OK(tcsetattr(p.s, TCSAFLUSH, &t));
    EXPECT_EQ(events_of(p.s, POLLIN, 0), 0);
    EXPECT_ERRNO(EINVAL, tcflush(p.s, 7));
    /* A flush of the master's input is of what the slave wrote. */
    PUT(p.s, "gone");
    EXPECT_EQ(events_of(p.m, POLLIN, 2000), POLLIN);
    EXPECT_OK(tcflush(p.m, TCIFLUSH));
    EXPECT_EQ(events_of(p.m, POLLIN, 0), 0);
}

TEST(breaks_and_drains) {
    struct pair p = open_pair();
    EXPECT_OK(tcsendbreak(p.s, 0));
    EXPECT_OK(tcdrain(p.s));
    EXPECT_OK(ioctl(p.s, TCSBRKP, 0));
    EXPECT_OK(tcdrain(p.m));
}

TEST(echo_waits_for_room) {
    struct pair p = open_pair();
    set_nonblock(p.s, 1);
    char block[1000];
    memset(block, 'x', sizeof block);
    int total = 0;
    for (int quiet = 0; quiet < 20;) {
        int n = write(p.s, block, sizeof block);
        if (n > 0) total += n, quiet = 0;
        else quiet++, usleep(500);
    }
    PUT(p.m, "hello\n");
    EXPECT_EQ(events_of(p.s, POLLIN, 2000), POLLIN);
    EXPECT_READ(p.s, 100, "hello\n");
    static char buf[100000];
    EXPECT_EQ(read_exactly(p.m, buf, total), total);
    /* The next key, or write, brings what is left. */
    PUT(p.s, "!");
    EXPECT_BYTES(p.m, "hello\r\n!");
}

TEST(typing_for_others) {
    struct pair p = open_pair();
    FILE *f = fopen("/proc/sys/dev/tty/legacy_tiocsti", "r");
    int allowed = 1;
    if (f) {
        if (fscanf(f, "%d", &allowed) != 1) allowed = 1;
        fclose(f);
    }
    if (geteuid() == 0) SKIP("root may");
    /* Not one's own terminal. */
    EXPECT_ERRNO(allowed ? EPERM : EIO, ioctl(p.s, TIOCSTI, "x"));
}
