// Four producers and one consumer over a ring of eight places, with semaphores.
// prints: 400 items, each producer's in order, sum 79800
#include "teach.h"

#define PRODUCERS 4
#define EACH 100
#define PLACES 8

static u64 ring[PLACES];
static u64 front, tail;
static i64 mutex, free_places, items;

static void producer(u64 who)
{
    for (u64 i = 0; i < EACH; i++) {
        CHECK_EQ(sem_down(free_places), 0);
        CHECK_EQ(sem_down(mutex), 0);
        ring[front++ % PLACES] = i * PRODUCERS + who;
        CHECK_EQ(sem_up(mutex), 0);
        CHECK_EQ(sem_up(items), 0);
    }
    exit(0);
}

static void consumer(u64 total)
{
    u64 next[PRODUCERS] = {0}, sum = 0;
    for (u64 i = 0; i < total; i++) {
        CHECK_EQ(sem_down(items), 0);
        CHECK_EQ(sem_down(mutex), 0);
        u64 item = ring[tail++ % PLACES];
        CHECK(front - tail < PLACES);
        CHECK_EQ(sem_up(mutex), 0);
        CHECK_EQ(sem_up(free_places), 0);
        CHECK_EQ(item / PRODUCERS, next[item % PRODUCERS]);
        next[item % PRODUCERS]++;
        sum += item;
    }
    print("%lu items, each producer's in order, sum %lu\n", total, sum);
    exit(5);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    mutex = sem_create(1), free_places = sem_create(PLACES), items = sem_create(0);
    i64 tids[PRODUCERS];
    for (u64 i = 0; i < PRODUCERS; i++)
        tids[i] = thread_create(producer, i);
    i64 reader = thread_create(consumer, PRODUCERS * EACH);
    for (u64 i = 0; i < PRODUCERS; i++)
        CHECK_EQ(waittid(tids[i]), 0);
    CHECK_EQ(waittid(reader), 5);
    CHECK_EQ(front, tail);
    return 0;
}
