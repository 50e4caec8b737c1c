// From pthread_create to the new thread's first instruction, in nanoseconds, a
// line per thread. The main thread sleeps in pthread_join meanwhile.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long began;

static void *thread(void *unused)
{
	began = now();
	return unused;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 200;
	// The first thread pays for what is made once.
	for (int i = -1; i < count; i++) {
		pthread_t id;
		long long start = now();
		int error = pthread_create(&id, NULL, thread, NULL);
		if (error != 0) {
			errno = error;
			perror("pthread_create");
			return 1;
		}
		pthread_join(id, NULL);
		if (i >= 0)
			printf("%lld\n", began - start);
		struct timespec pause = { 0, 150000 };
		nanosleep(&pause, NULL);
	}
	return 0;
}
