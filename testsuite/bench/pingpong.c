/* One byte to and fro between two threads over two pipes. */
#include "bench.h"
#include <pthread.h>
#include <unistd.h>

static int there[2], back[2];
static long n;
static void *echo(void *arg) {
    char c;
    for (long i = 0; i < n; i++)
        if (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) != 1) break;
    return arg;
}

int main(int argc, char **argv) {
    pthread_t thread;
    uint64_t sum = 0;
    n = bench_size(argc, argv, 50000);
    if (pipe(there) || pipe(back) || pthread_create(&thread, NULL, echo, NULL)) return 1;
    for (long i = 0; i < n; i++) {
        char c = (char)i;
        if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1) return 1;
        sum += (unsigned char)c;
    }
    pthread_join(thread, NULL);
    return bench_done("pingpong", sum);
}
