/* Owners of robust locks that die at every point of the lock protocol, while
 * others wait for the lock: whoever waits gets it, with FUTEX_OWNER_DIED where
 * the owner died between taking the word and giving it up, without where it did
 * not. The protocol is the one of glibc, spelled out (set_robust_list(2)); threads
 * end by themselves, which glibc can join and musl cannot. Each way to die is tried:
 * a thread's end, a process's exit, and SIGKILL. */
#include "stress.h"

enum { WAITERS = 2, WAYS = 3 };

/* Where the owner dies; the first ones come before it has the lock. */
enum point {
    BEFORE, ANNOUNCED, TAKEN, LISTED, HELD, LEAVING, UNLISTED, FREED, WOKEN, DONE, POINTS
};

struct entry { struct entry *next; };
struct head {
    struct entry *next;
    long futex_offset;
    struct entry *pending;
};
struct lock {
    struct entry entry;
    uint32_t word;
};

/* Shared with the processes that die. */
struct shared {
    struct lock lock;
    /* The point that the owner has reached. */
    int reached;
    int died_seen, got;
};
static struct shared *shared;
static _Thread_local struct head head;

static void begin_list(void) {
    head.next = (struct entry *)&head;
    head.futex_offset = offsetof(struct lock, word);
    head.pending = NULL;
    MUST(syscall(SYS_set_robust_list, &head, sizeof head) == 0);
}

/* Takes the lock; true: its owner had died. `die` is told of each point. `kept` is
 * WORD_WAITERS where others may wait of whom a free word does not tell. */
static int take(struct lock *lock, uint32_t kept, void (*die)(enum point)) {
    uint32_t me = own_tid(), died = 0;
    die(BEFORE);
    SET(head.pending, &lock->entry);
    die(ANNOUNCED);
    for (uint32_t seen = 0;;) {
        if (__atomic_compare_exchange_n(&lock->word, &seen, me | kept, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break;
        if (seen & WORD_OWNER_DIED) {
            uint32_t next = me | (seen & WORD_WAITERS) | kept;
            if (__atomic_compare_exchange_n(&lock->word, &seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
                died = 1;
                break;
            }
            seen = 0;
            continue;
        }
        uint32_t with = seen | WORD_WAITERS;
        if (seen != 0 && (seen == with ||
            __atomic_compare_exchange_n(&lock->word, &seen, with, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))) {
            long r = futex(&lock->word, OP_WAIT, with, 0, NULL, 0);
            if (r == -1 && errno != EAGAIN && errno != EINTR) lost("FUTEX_WAIT");
            /* There may be others: who has waited tells of them. */
            kept = WORD_WAITERS;
        }
        seen = 0;
    }
    die(TAKEN);
    lock->entry.next = head.next;
    SET(head.next, &lock->entry);
    die(LISTED);
    SET(head.pending, NULL);
    die(HELD);
    return died;
}

static void give_up(struct lock *lock, void (*die)(enum point)) {
    SET(head.pending, &lock->entry);
    die(LEAVING);
    SET(head.next, (struct entry *)&head);
    die(UNLISTED);
    uint32_t was = __atomic_exchange_n(&lock->word, 0, __ATOMIC_SEQ_CST);
    die(FREED);
    if (was & WORD_WAITERS) futex(&lock->word, OP_WAKE, 1, 0, NULL, 0);
    die(WOKEN);
    SET(head.pending, NULL);
    die(DONE);
}

static void live_on(enum point point) { (void)point; }

/* The owner. */
static enum point die_at;
static int die_how;
static uint64_t owner_random;

static void perhaps_die(enum point point) {
    SET(shared->reached, (int)point + 1);
    if (point != die_at) {
        /* The waiters shall come at any time. */
        if (point == HELD) spin(dice(&owner_random) % 20000);
        return;
    }
    switch (die_how) {
    case 0: syscall(SYS_exit, 0); break;
    case 1: syscall(SYS_exit_group, 3); break;
    default: kill(getpid(), SIGKILL);
    }
    for (;;) pause();
}

static void *owner(void *arg) {
    (void)arg;
    begin_list();
    take(&shared->lock, 0, perhaps_die);
    give_up(&shared->lock, perhaps_die);
    lost("the owner lives");
}

static void *waiter(void *arg) {
    uint64_t random = dice_of((uintptr_t)arg);
    begin_list();
    while (GET(shared->reached) <= (int)(dice(&random) % (HELD + 1)) && GET(shared->reached) <= (int)die_at) sched_yield();
    /* An owner that dies between freeing the word and its wake is made up for by the
     * kernel, with one wake, if the word is still free then. Who has taken it in
     * between has to wake the sleepers, and cannot know of them: the protocol's own
     * gap, in which waiters sleep for ever on any kernel. */
    uint32_t kept = die_at == FREED ? WORD_WAITERS : 0;
    if (take(&shared->lock, kept, live_on)) ADD(shared->died_seen, 1);
    spin(dice(&random) % 2000);
    give_up(&shared->lock, live_on);
    ADD(shared->got, 1);
    return NULL;
}

static long deaths, inherited;

static void one(enum point point, int how, uint64_t random) {
    memset(shared, 0, sizeof *shared);
    die_at = point;
    die_how = how;
    owner_random = random | 1;
    pthread_t waiters[WAITERS], thread;
    pid_t pid = -1;
    /* A thread of this process dies alone; for the rest it takes a process. */
    int is_thread = how == 0 && (random >> 40 & 1);
    if (is_thread) {
        thread = thread_of(owner, NULL);
    } else {
        pid = fork_of();
        MUST(pid >= 0);
        if (pid == 0) owner(NULL);
    }
    for (long i = 0; i < WAITERS; i++) waiters[i] = thread_of(waiter, (void *)(uintptr_t)((random >> 8) + i));
    for (int i = 0; i < WAITERS; i++) pthread_join(waiters[i], NULL);
    if (is_thread) {
        pthread_join(thread, NULL);
    } else {
        int status = status_of(pid);
        int is_right = how == 0 ? status == 0 : how == 1 ? status == 3 << 8 : status == SIGKILL;
        if (!is_right) lost("way %d ended with status %#x", how, status);
    }
    int owns = point >= TAKEN && point <= UNLISTED;
    if (shared->got != WAITERS) lost("%d of %d waiters had the lock", shared->got, WAITERS);
    /* A waiter that was first had it before the owner, who then dies all the same. */
    uint32_t word = GET(shared->lock.word);
    int died = shared->died_seen + !!(word & WORD_OWNER_DIED);
    if (died != owns) lost("death at %d: %d times OWNER_DIED, word %#x", point, died, word);
    if ((word & ~WORD_OWNER_DIED & ~WORD_WAITERS) != 0) lost("death at %d leaves the word %#x", point, word);
    deaths++;
    inherited += shared->died_seen;
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, 16);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(shared != MAP_FAILED);
    uint64_t random = dice_of(0);
    for (long round = 0; round < stress_rounds; round++)
        for (int point = 0; point < POINTS; point++)
            for (int how = 0; how < WAYS; how++) one(point, how, dice(&random));
    nothing_is_left();
    printf("robust: %ld deaths at %d points, %ld locks inherited\n", deaths, POINTS, inherited);
    return 0;
}
