// Pipes: through a fork, more than fits, ends of file, and wrong descriptors.
// prints: 100000 bytes, sum 12695700
// prints: at the end: 0
// prints: pipe to a bad place: -1
// prints: read of none: -1
// prints: read of -1: -1
// prints: read of 2^32: -1
// prints: write to none: -1
// prints: close of none: -1
// prints: dup of none: -1
// prints: read from the end to write to: -1
// prints: write to the end to read from: -1
// prints: read to a bad place: -1
// prints: write from a bad place: -1
// prints: through a copy: 3
// prints: write without a reader: -1
#include "teach.h"

#define BYTES 100000

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    u64 ends[2] = {99, 99};
    static u8 buffer[700];
    CHECK_EQ(pipe(ends), 0);
    CHECK(ends[0] >= 3 && ends[1] > ends[0] && ends[1] < 10);
    i64 child = fork();
    if (child == 0) {
        CHECK_EQ(close((i64)ends[0]), 0);
        for (u64 at = 0; at < BYTES;) {
            u64 count = BYTES - at < 500 ? BYTES - at : 500;
            for (u64 i = 0; i < count; i++)
                buffer[i] = (u8)((at + i) % 255);
            i64 put = write((i64)ends[1], buffer, count);
            CHECK(put > 0);
            at += put;
        }
        exit(0);
    }
    CHECK_EQ(close((i64)ends[1]), 0);
    u64 total = 0, sum = 0;
    i64 got;
    while ((got = read((i64)ends[0], buffer, sizeof(buffer))) > 0)
        for (i64 i = 0; i < got; i++, total++) {
            CHECK_EQ(buffer[i], total % 255);
            sum += buffer[i];
        }
    print("%lu bytes, sum %lu\n", total, sum);
    ROW("at the end", read((i64)ends[0], buffer, 1));
    int code = 1;
    CHECK_EQ(waitpid(child, &code), child);
    CHECK_EQ(code, 0);
    CHECK_EQ(close((i64)ends[0]), 0);

    ROW("pipe to a bad place", pipe((u64 *)BAD));
    ROW("read of none", read(60, buffer, 1));
    ROW("read of -1", read(-1, buffer, 1));
    ROW("read of 2^32", read(1l << 32, buffer, 1));
    ROW("write to none", write(60, buffer, 1));
    ROW("close of none", close(60));
    ROW("dup of none", dup(60));
    CHECK_EQ(pipe(ends), 0);
    ROW("read from the end to write to", read((i64)ends[1], buffer, 1));
    ROW("write to the end to read from", write((i64)ends[0], buffer, 1));
    CHECK_EQ(write((i64)ends[1], "abc", 3), 3);
    ROW("read to a bad place", read((i64)ends[0], (void *)BAD, 3));
    ROW("write from a bad place", write((i64)ends[1], (void *)BAD, 3));
    i64 copy = dup((i64)ends[0]);
    CHECK(copy > (i64)ends[1]);
    CHECK_EQ(close((i64)ends[0]), 0);
    ROW("through a copy", read(copy, buffer, 8));
    CHECK(buffer[0] == 'a' && buffer[2] == 'c');
    CHECK_EQ(close(copy), 0);
    ROW("write without a reader", write((i64)ends[1], buffer, 1));
    return 0;
}
