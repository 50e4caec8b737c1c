/* set_robust_list, get_robust_list, and what the kernel does with the list and with
 * CLONE_CHILD_CLEARTID's word at the end of a thread (get_robust_list(2)). */
#include "futex.h"
#include <sched.h>

struct node { struct node *next; uint32_t word, pad; };
struct head { struct node *next; long offset; struct node *pending; };
_Static_assert(sizeof(struct head) == 24, "struct robust_list_head");

static long set_list(void *head, size_t size) { return syscall(SYS_set_robust_list, head, size); }
static long get_list(pid_t pid, void *head, void *size) { return syscall(SYS_get_robust_list, (long)pid, head, size); }

TEST(set_takes_one_size) {
    static struct head head;
    EXPECT_ERRNO(EINVAL, set_list(&head, 23));
    EXPECT_ERRNO(EINVAL, set_list(&head, 25));
    EXPECT_ERRNO(EINVAL, set_list(&head, 0));
    EXPECT_ERRNO(EINVAL, set_list(&head, (1UL << 32) + 24));
    EXPECT_EQ(set_list(&head, 24), 0);
    /* It is not looked at before the thread ends. */
    EXPECT_EQ(set_list(BAD_PTR, 24), 0);
    EXPECT_EQ(set_list(NULL, 24), 0);
}
TEST(get_gives_what_was_set) {
    static struct head head;
    void *at = NULL;
    size_t size = 0;
    EXPECT_EQ(get_list(0, &at, &size), 0);
    EXPECT_EQ(size, 24);
    EXPECT_TRUE(at != NULL);
    ASSERT_EQ(set_list(&head, 24), 0);
    EXPECT_EQ(get_list(0, &at, &size), 0);
    EXPECT_TRUE(at == &head);
    EXPECT_EQ(get_list(getpid(), &at, &size), 0);
    EXPECT_TRUE(at == &head);
    ASSERT_EQ(set_list(BAD_PTR, 24), 0);
    EXPECT_EQ(get_list(0, &at, &size), 0);
    EXPECT_TRUE(at == BAD_PTR);
    set_list(NULL, 24);
}
TEST(get_checks_its_arguments) {
    void *at;
    size_t size = 0;
    EXPECT_ERRNO(ESRCH, get_list(0x3ffffff0, &at, &size));
    EXPECT_ERRNO(ESRCH, get_list(-1, &at, &size));
    EXPECT_ERRNO(EFAULT, get_list(0, BAD_PTR, &size));
    EXPECT_EQ(size, 24);
    EXPECT_ERRNO(EFAULT, get_list(0, &at, BAD_PTR));
}
static uint32_t thread_tid, may_end;
static void *lives_a_while(void *arg) {
    store(&thread_tid, own_tid());
    while (!load(&may_end)) sched_yield();
    return arg;
}
TEST(get_of_another_thread) {
    pthread_t thread;
    void *at = NULL, *own;
    size_t size;
    pthread_create(&thread, NULL, lives_a_while, NULL);
    while (!load(&thread_tid)) sched_yield();
    EXPECT_EQ(get_list((pid_t)thread_tid, &at, &size), 0);
    EXPECT_EQ(get_list(0, &own, &size), 0);
    EXPECT_TRUE(at != NULL && at != own);
    store(&may_end, 1);
    pthread_join(thread, NULL);
}
TEST(get_of_another_process) {
    uint32_t *page = shared_words();
    void *at = &at, *own;
    size_t size = 0;
    pid_t pid = fork();
    if (pid == 0) {
        set_list((void *)0x1238, 24);
        store(page, 1);
        while (!load(&page[1])) sched_yield();
        syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);
        store(page, 2);
        while (load(&page[1]) != 2) sched_yield();
        set_list(NULL, 24);
        _exit(0);
    }
    while (load(page) != 1) sched_yield();
    EXPECT_EQ(get_list(pid, &at, &size), 0);
    EXPECT_TRUE(at == (void *)0x1238);
    EXPECT_EQ(get_list(0, &own, &size), 0);
    store(&page[1], 1);
    while (load(page) != 2) sched_yield();
    if (geteuid() != 0) EXPECT_ERRNO(EPERM, get_list(pid, &at, &size));
    store(&page[1], 2);
    waitpid(pid, NULL, 0);
    EXPECT_ERRNO(ESRCH, get_list(pid, &at, &size));
}
TEST(get_of_another_user) {
    void *at;
    size_t size;
    char text[32] = "";
    int fd = open("/proc/2/comm", O_RDONLY);
    if (geteuid() == 0) SKIP("root may");
    if (fd == -1 || read(fd, text, sizeof text - 1) <= 0 || strcmp(text, "kthreadd\n") != 0) SKIP("no kthreadd in sight");
    EXPECT_ERRNO(EPERM, get_list(2, &at, &size));
}
TEST(a_forked_child_has_none) {
    pid_t pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        void *at = &at;
        size_t size;
        _exit(get_list(0, &at, &size) == 0 && at == NULL ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}

/* A thread that ends without the C library's knowledge, leaving a list. */
static struct node nodes[3];
static struct head list;
static uint32_t died;
static void (*prepare)(uint32_t tid);
static void *dies(void *arg) {
    uint32_t tid = own_tid();
    memset(nodes, 0, sizeof nodes);
    list.next = (struct node *)&list;
    list.offset = offsetof(struct node, word);
    list.pending = NULL;
    prepare(tid);
    if (set_list(&list, 24)) FAIL("set: %d", errno);
    /* The kernel says when it is over: after the list, it clears this. */
    store(&died, tid);
    syscall(SYS_set_tid_address, &died);
    syscall(SYS_exit, 0);
    return arg;
}
static void begin_dying(void (*how)(uint32_t)) {
    pthread_t thread;
    prepare = how;
    store(&died, 1);
    ASSERT_EQ(pthread_create(&thread, NULL, dies, NULL), 0);
}
static void until_dead(void) {
    uint32_t tid;
    while ((tid = load(&died)) != 0) futex(&died, FUTEX_WAIT, tid, NULL, NULL, 0);
}
static void die(void (*how)(uint32_t)) {
    begin_dying(how);
    until_dead();
}

static void three_entries(uint32_t tid) {
    list.next = &nodes[0], nodes[0].next = &nodes[1], nodes[1].next = &nodes[2], nodes[2].next = (struct node *)&list;
    nodes[0].word = tid, nodes[1].word = tid | FUTEX_WAITERS, nodes[2].word = tid | FUTEX_OWNER_DIED;
}
TEST(owned_words_are_marked) {
    die(three_entries);
    EXPECT_EQ(nodes[0].word, FUTEX_OWNER_DIED);
    EXPECT_EQ(nodes[1].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    EXPECT_EQ(nodes[2].word, FUTEX_OWNER_DIED);
}
static void not_owned(uint32_t tid) {
    three_entries(tid);
    nodes[0].word = tid + 1, nodes[1].word = 0, nodes[2].word = FUTEX_WAITERS;
}
TEST(other_words_are_not) {
    die(not_owned);
    EXPECT_TRUE(nodes[0].word != 0 && !(nodes[0].word & FUTEX_OWNER_DIED));
    EXPECT_EQ(nodes[1].word, 0);
    EXPECT_EQ(nodes[2].word, FUTEX_WAITERS);
}
static void one_pending(uint32_t tid) {
    three_entries(tid);
    nodes[0].next = (struct node *)&list;
    list.pending = &nodes[2];
    nodes[2].word = tid | FUTEX_WAITERS;
}
TEST(the_pending_one_comes_last) {
    die(one_pending);
    EXPECT_EQ(nodes[0].word, FUTEX_OWNER_DIED);
    EXPECT_TRUE(!(nodes[1].word & FUTEX_OWNER_DIED));
    EXPECT_EQ(nodes[2].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
}
static void circle(uint32_t tid) {
    three_entries(tid);
    nodes[2].next = &nodes[0];
    list.pending = &nodes[1];
}
TEST(a_circle_ends) {
    die(circle);
    for (int i = 0; i < 3; i++) EXPECT_EQ(nodes[i].word & (FUTEX_OWNER_DIED | FUTEX_TID_MASK), FUTEX_OWNER_DIED);
}
static struct node many[2100];
static void long_list(uint32_t tid) {
    for (int i = 0; i < 2100; i++) many[i].next = &many[i + 1], many[i].word = tid;
    many[2099].next = (struct node *)&list;
    list.next = &many[0];
    nodes[0].word = tid;
    list.pending = &nodes[0];
}
TEST(a_list_has_2048_entries_at_most) {
    die(long_list);
    EXPECT_EQ(many[0].word, FUTEX_OWNER_DIED);
    EXPECT_EQ(many[2047].word, FUTEX_OWNER_DIED);
    EXPECT_TRUE(!(many[2048].word & FUTEX_OWNER_DIED));
    /* The pending one is still seen to. */
    EXPECT_EQ(nodes[0].word, FUTEX_OWNER_DIED);
}
static void bad_middle(uint32_t tid) {
    three_entries(tid);
    nodes[1].next = (struct node *)8;
    list.pending = &nodes[2];
}
TEST(a_bad_pointer_ends_the_walk) {
    die(bad_middle);
    EXPECT_EQ(nodes[0].word, FUTEX_OWNER_DIED);
    /* What came before it is done, */
    EXPECT_EQ(nodes[1].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    /* and after it not even the pending one. */
    EXPECT_TRUE((nodes[2].word & FUTEX_TID_MASK) != 0);
}
static void odd_offset(uint32_t tid) {
    three_entries(tid);
    list.offset = 2;
}
TEST(a_misaligned_word_ends_the_walk) {
    die(odd_offset);
    EXPECT_TRUE((nodes[0].word & FUTEX_TID_MASK) != 0);
    EXPECT_TRUE((nodes[1].word & FUTEX_TID_MASK) != 0);
}
static uint32_t before_nodes[4];
static void backwards(uint32_t tid) {
    static struct { uint32_t word, pad; struct node node; } behind;
    behind.word = tid;
    behind.node.next = (struct node *)&list;
    list.next = &behind.node;
    list.offset = -(long)offsetof(__typeof__(behind), node);
    list.pending = NULL;
    before_nodes[0] = 1;
    nodes[0].next = (struct node *)&behind.word;
}
TEST(offsets_are_signed) {
    die(backwards);
    EXPECT_EQ(*(uint32_t *)nodes[0].next, FUTEX_OWNER_DIED);
}
static void bad_head(uint32_t tid) {
    three_entries(tid);
    list.next = (struct node *)16;
}
TEST(a_bad_list_is_no_harm) {
    die(bad_head);
    EXPECT_TRUE((nodes[0].word & FUTEX_TID_MASK) != 0);
}

/* Waking. */
static void three_owned(uint32_t tid) {
    three_entries(tid);
    nodes[0].word = tid | FUTEX_WAITERS;
    while (!load(&may_end)) sched_yield();
}
TEST(one_waiter_is_woken) {
    struct sleeper a = WAITER(&nodes[0].word, 0), b = WAITER(&nodes[0].word, 0), c = WAITER(&nodes[0].word, PRIVATE);
    may_end = 0;
    begin_dying(three_owned);
    while (!load(&nodes[0].word)) sched_yield();
    a.value = b.value = c.value = load(&nodes[0].word);
    start(&a);
    start(&b);
    start(&c);
    store(&may_end, 1);
    until_dead();
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    /* By the shared key, and one. */
    EXPECT_EQ(futex(&nodes[0].word, FUTEX_WAKE, 9, NULL, NULL, 0), 1);
    EXPECT_EQ(futex(&nodes[0].word, FUTEX_WAKE | PRIVATE, 9, NULL, NULL, 0), 1);
    joined(&b);
    joined(&c);
}
static void no_waiters_bit(uint32_t tid) {
    three_owned(tid);
    nodes[0].word = tid;
}
TEST(without_the_bit_nobody_is) {
    struct sleeper a = WAITER(&nodes[0].word, 0);
    may_end = 0;
    begin_dying(no_waiters_bit);
    while (!load(&nodes[0].word)) sched_yield();
    a.value = load(&nodes[0].word);
    start(&a);
    store(&may_end, 1);
    until_dead();
    EXPECT_EQ(nodes[0].word, FUTEX_OWNER_DIED);
    EXPECT_EQ(futex(&nodes[0].word, FUTEX_WAKE, 9, NULL, NULL, 0), 1);
    joined(&a);
}
/* A word that is pending and not owned: `value` of it, with one waiter. */
static uint32_t pending_value, as_pi;
static void pending_free(uint32_t tid) {
    (void)tid;
    list.pending = (struct node *)((char *)&nodes[2] + as_pi);
    store(&nodes[2].word, pending_value);
    store(&thread_tid, 1);
    while (!load(&may_end)) sched_yield();
}
static void pending_wakes(uint32_t value, int pi, long left) {
    struct sleeper a = WAITER(&nodes[2].word, 0);
    pending_value = value, as_pi = (uint32_t)pi, may_end = 0, thread_tid = 0;
    begin_dying(pending_free);
    while (!load(&thread_tid)) sched_yield();
    a.value = value;
    start(&a);
    store(&may_end, 1);
    until_dead();
    EXPECT_EQ(futex(&nodes[2].word, FUTEX_WAKE, 9, NULL, NULL, 0), left);
    EXPECT_EQ(nodes[2].word, value);
    joined(&a);
}
TEST(pending_and_unlocked_wakes_one) { pending_wakes(0, 0, 0); }
TEST(pending_and_marked_wakes_one) {
    pending_wakes(FUTEX_OWNER_DIED, 0, 0);
    pending_wakes(FUTEX_WAITERS, 0, 0);
}
TEST(pending_and_anothers_wakes_nobody) {
    pending_wakes(FUTEX_TID_MASK, 0, 1);
    pending_wakes(FUTEX_TID_MASK | FUTEX_WAITERS, 0, 1);
}
TEST(pending_and_with_an_owner_wakes_nobody) { pending_wakes(0, 1, 1); }
static void pi_entry(uint32_t tid) {
    three_entries(tid);
    list.next = (struct node *)((char *)&nodes[0] + 1);
    nodes[0].next = (struct node *)((char *)&nodes[1] + 1);
    nodes[1].next = (struct node *)((char *)&list + 1);
    nodes[0].word = 0;
    if (futex(&nodes[0].word, FUTEX_LOCK_PI, 0, NULL, NULL, 0)) FAIL("lock: %d", errno);
    while (!load(&may_end)) sched_yield();
}
TEST(locks_with_an_owner_go_to_their_waiter) {
    struct sleeper a = {.op = FUTEX_LOCK_PI, .word = &nodes[0].word};
    may_end = 0;
    begin_dying(pi_entry);
    while (!load(&nodes[0].word)) sched_yield();
    start(&a);
    store(&may_end, 1);
    until_dead();
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, a.tid | FUTEX_WAITERS | FUTEX_OWNER_DIED);
    /* The bit in the address was no part of it. */
    EXPECT_EQ(nodes[1].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
}

/* Other ends than a thread's exit. */
static int list_after(void (*end)(void)) {
    struct node *node = (void *)shared_words();
    struct head *head = (void *)(node + 8);
    pid_t pid = fork();
    if (pid == 0) {
        head->next = node, node->next = (struct node *)head;
        head->offset = offsetof(struct node, word);
        node->word = own_tid();
        set_list(head, 24);
        end();
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EQ(node->word, FUTEX_OWNER_DIED);
    return status;
}
static void end_by_exit(void) { _exit(3); }
static void end_by_signal(void) { raise(SIGKILL); }
static void end_by_fault(void) {
    signal(SIGSEGV, SIG_DFL);
    *(volatile int *)BAD_PTR = 0;
}
static void end_by_exec(void) {
    dup2(open("/dev/null", O_WRONLY), 1);
    execl("/proc/self/exe", "self", "--list", NULL);
    _exit(1);
}
TEST(at_exit) { EXPECT_EXITED(3, list_after(end_by_exit)); }
TEST(at_a_kill) { EXPECT_SIGNALED(SIGKILL, list_after(end_by_signal)); }
TEST(at_a_fault) { EXPECT_SIGNALED(SIGSEGV, list_after(end_by_fault)); }
TEST(at_exec) { EXPECT_EXITED(0, list_after(end_by_exec)); }
static void *sleeps_for_ever(void *arg) {
    struct node *node = arg;
    struct head *head = (void *)(node + 8);
    head->next = node, node->next = (struct node *)head;
    head->offset = offsetof(struct node, word);
    set_list(head, 24);
    store(&node->word, own_tid());
    for (;;) pause();
    return NULL;
}
TEST(of_another_thread_at_exec) {
    struct node *node = (void *)shared_words();
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, sleeps_for_ever, node);
        while (!load(&node->word)) sched_yield();
        end_by_exec();
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(node->word, FUTEX_OWNER_DIED);
}

/* CLONE_CHILD_CLEARTID. */
TEST(cleartid_wakes_one_by_the_shared_key) {
    struct sleeper a = WAITER(&died, 0), b = WAITER(&died, 0), c = WAITER(&died, PRIVATE);
    may_end = 0;
    begin_dying(pending_free);
    while (load(&died) != 1) sched_yield();
    a.value = b.value = c.value = 1;
    start(&a);
    start(&b);
    start(&c);
    /* The thread will write its id over it; they sleep already. */
    store(&may_end, 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, 0);
    EXPECT_EQ(futex(&died, FUTEX_WAKE, 9, NULL, NULL, 0), 1);
    EXPECT_EQ(futex(&died, FUTEX_WAKE | PRIVATE, 9, NULL, NULL, 0), 1);
    joined(&b);
    joined(&c);
}
TEST(cleartid_of_the_last_user_of_memory) {
    /* Nobody is left to see it: the word stays. */
    uint32_t *page = shared_words();
    pid_t pid = fork();
    if (pid == 0) {
        *page = 77;
        syscall(SYS_set_tid_address, page);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    EXPECT_EQ(*page, 77);
}
TEST(set_tid_address_gives_the_thread) {
    uint32_t where;
    EXPECT_EQ(syscall(SYS_set_tid_address, &where), own_tid());
    EXPECT_EQ(syscall(SYS_set_tid_address, BAD_PTR), own_tid());
}

/* What the C library builds on it. */
static void make_robust(pthread_mutex_t *mutex, int shared) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (shared) pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    ASSERT_EQ(pthread_mutex_init(mutex, &attr), 0);
}
static void *lock_and_end(void *arg) {
    pthread_mutex_lock(arg);
    return NULL;
}
TEST(pthread_robust) {
    static pthread_mutex_t mutex;
    pthread_t thread;
    make_robust(&mutex, 0);
    pthread_create(&thread, NULL, lock_and_end, &mutex);
    pthread_join(thread, NULL);
    EXPECT_EQ(pthread_mutex_trylock(&mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    pthread_create(&thread, NULL, lock_and_end, &mutex);
    pthread_join(thread, NULL);
    EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
}
TEST(pthread_robust_waiter) {
    pthread_mutex_t *mutex = (void *)shared_words();
    uint32_t *flag = (uint32_t *)mutex + 512;
    make_robust(mutex, 1);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(mutex);
        store(flag, 1);
        while (!(load((uint32_t *)mutex) & FUTEX_WAITERS)) sched_yield();
        raise(SIGKILL);
    }
    while (!load(flag)) sched_yield();
    EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_SIGNALED(SIGKILL, status);
}
TEST_LIMIT(deaths_at_any_moment, 60) {
    /* Children are killed wherever they are; whoever comes next always gets on. */
    pthread_mutex_t *mutex = (void *)shared_words();
    uint32_t *turns = (uint32_t *)mutex + 512;
    make_robust(mutex, 1);
    for (int i = 0; i < 40; i++) {
        uint32_t before = load(turns);
        pid_t pid = fork();
        if (pid == 0)
            for (;;) {
                if (pthread_mutex_lock(mutex) == EOWNERDEAD) pthread_mutex_consistent(mutex);
                __atomic_fetch_add(turns, 1, __ATOMIC_SEQ_CST);
                pthread_mutex_unlock(mutex);
            }
        while (load(turns) < before + 5 + (uint32_t)i) {
            int error = pthread_mutex_lock(mutex);
            if (error == EOWNERDEAD) pthread_mutex_consistent(mutex);
            else if (error) FAIL("lock: %d", error);
            pthread_mutex_unlock(mutex);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    int error = pthread_mutex_lock(mutex);
    EXPECT_TRUE(error == 0 || error == EOWNERDEAD);
}
