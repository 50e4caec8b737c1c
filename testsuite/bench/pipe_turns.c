/* One byte to another thread and back through two pipes. */
#include "timed.h"
#include <pthread.h>
#include <unistd.h>

static int there[2], back[2];
static uint64_t sum;

static void *echo(void *arg) {
    char c;
    while (read(there[0], &c, 1) == 1)
        if (write(back[1], &c, 1) != 1) break;
    return arg;
}

static void part(long n) {
    for (long i = 0; i < n; i++) {
        char c = (char)i;
        if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1) exit(1);
        sum += (unsigned char)c;
    }
}

int main(void) {
    pthread_t thread;
    if (pipe(there) || pipe(back) || pthread_create(&thread, NULL, echo, NULL)) return 1;
    double ns = timed_median_ns(4000, part);
    return timed_done("pipe_turns", ns, sum);
}
