// Files: made, written, read, copied descriptors, and what is not there.
// prints: open of nothing: -1
// prints: written: 11
// prints: read from one open to write: -1
// prints: read: hello there
// prints: at the end: 0
// prints: write to one open to read: -1
// prints: a copy shares the place: lo
// prints: the copy is open when the first is closed: 3
// prints: a closed one: -1
// prints: read and write: HELLO there
// prints: truncated: 0
// prints: open of a bad path: -1
// prints: lowest free: 3
#include "teach.h"

static const char name[] = "a_file_of_the_test";

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    char text[32] = {0};
    ROW("open of nothing", open("there_is_no_such_file", O_RDONLY));
    i64 fd = open(name, O_CREATE | O_WRONLY);
    CHECK(fd >= 3);
    i64 lowest = fd;
    ROW("written", write(fd, "hello there", 11));
    ROW("read from one open to write", read(fd, text, 1));
    CHECK_EQ(close(fd), 0);

    fd = open(name, O_RDONLY);
    CHECK_EQ(fd, lowest);
    CHECK_EQ(read(fd, text, sizeof(text)), 11);
    print("read: %s\n", text);
    ROW("at the end", read(fd, text, 1));
    ROW("write to one open to read", write(fd, "x", 1));
    CHECK_EQ(close(fd), 0);

    fd = open(name, O_RDONLY);
    i64 copy = dup(fd);
    CHECK(copy >= 0 && copy != fd);
    CHECK_EQ(read(fd, text, 3), 3);
    CHECK_EQ(read(copy, text, 2), 2);
    text[2] = 0;
    print("a copy shares the place: %s\n", text);
    CHECK_EQ(close(fd), 0);
    ROW("the copy is open when the first is closed", read(copy, text, 3));
    CHECK_EQ(close(copy), 0);
    ROW("a closed one", read(copy, text, 1));

    fd = open(name, O_RDWR);
    CHECK_EQ(write(fd, "HELLO", 5), 5);
    CHECK_EQ(close(fd), 0);
    fd = open(name, O_RDWR);
    CHECK_EQ(read(fd, text, sizeof(text)), 11);
    text[11] = 0;
    print("read and write: %s\n", text);
    CHECK_EQ(close(fd), 0);
    fd = open(name, O_CREATE | O_TRUNC | O_RDWR);
    ROW("truncated", read(fd, text, sizeof(text)));
    CHECK_EQ(close(fd), 0);
    ROW("open of a bad path", open((const char *)BAD, O_RDONLY));
    CHECK_EQ(open(name, O_RDONLY), lowest);
    ROW("lowest free", lowest);
    return 0;
}
