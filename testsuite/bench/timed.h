/* Programs that time one operation themselves, since starting and ending them
 * would count for more than what they do. Each prints one line: its name, the
 * time of one operation with its unit, and a checksum. What is printed is the
 * median of some equal parts of the run, which one long pause does not move. */
#ifndef TIMED_H
#define TIMED_H
#include "bench.h"
#include <string.h>
#include <time.h>

#define TIMED_PARTS 15

static inline double timed_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int timed_less(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Runs `part(n)` often enough; gives the median time of one of its n operations. */
static inline double timed_median_ns(long n, void (*part)(long)) {
    double parts[TIMED_PARTS];
    part(n / 8 + 1);
    for (int i = 0; i < TIMED_PARTS; i++) {
        double begin = timed_now_ns();
        part(n);
        parts[i] = (timed_now_ns() - begin) / n;
    }
    qsort(parts, TIMED_PARTS, sizeof *parts, timed_less);
    return parts[TIMED_PARTS / 2];
}

static inline int timed_done(const char *name, double ns, uint64_t sum) {
    printf("%s %.1f ns %016llx\n", name, ns, (unsigned long long)sum);
    return 0;
}
#endif
