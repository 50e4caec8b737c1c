/* One byte at a time from /dev/zero. */
#include "bench.h"
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 1000000);
    uint64_t sum = 0;
    int fd = open("/dev/zero", O_RDONLY);
    for (long i = 0; i < n; i++) {
        char c = 1;
        sum += read(fd, &c, 1) + c;
    }
    return bench_done("read1", sum);
}
