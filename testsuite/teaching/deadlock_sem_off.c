// Without detection downs that nobody will satisfy wait for ever, and units given
// from elsewhere end the wait.
// prints: two in a ring wait
// prints: a unit from outside lets both through
#include "teach.h"

static u32 holding;
static i64 sems[2];

static void in_ring(u64 place)
{
    CHECK_EQ(sem_down(sems[place]), 0);
    ADD(holding, 1);
    AWAIT(LOAD(holding) == 2);
    CHECK_EQ(sem_down(sems[1 - place]), 0);
    CHECK_EQ(sem_up(sems[0]), 0);
    CHECK_EQ(sem_up(sems[1]), 0);
    exit((int)place);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    sems[0] = sem_create(1), sems[1] = sem_create(1);
    i64 tids[] = {thread_create(in_ring, 0), thread_create(in_ring, 1)};
    AWAIT(LOAD(holding) == 2);
    sleep(30);
    CHECK_EQ(waittid_once(tids[0]), -2);
    CHECK_EQ(waittid_once(tids[1]), -2);
    print("two in a ring wait\n");
    CHECK_EQ(sem_up(sems[1]), 0);
    CHECK_EQ(waittid(tids[0]), 0);
    CHECK_EQ(waittid(tids[1]), 1);
    print("a unit from outside lets both through\n");
    return 0;
}
