/* FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP: whom they wake, and what they count. */
#include "futex.h"

static uint32_t word, word2;

TEST(nobody_waits) {
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 1), 0);
}
TEST(misaligned_word) {
    EXPECT_ERRNO(EINVAL, futex((char *)&word + 2, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex((char *)&word + 1, FUTEX_WAKE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex((void *)9, FUTEX_WAKE_BITSET, 1, NULL, NULL, 1));
}
TEST(a_private_wake_does_not_touch_memory) {
    EXPECT_EQ(futex(BAD_PTR, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(NULL, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    void *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_EQ(futex(none, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
}
TEST(a_shared_wake_needs_the_page) {
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_WAKE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(NULL, FUTEX_WAKE, 1, NULL, NULL, 0));
    void *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(EFAULT, futex(none, FUTEX_WAKE, 1, NULL, NULL, 0));
}
TEST(counts) {
    struct sleeper w[6];
    for (int i = 0; i < 6; i++) {
        w[i] = (struct sleeper)WAITER(&word, PRIVATE);
        start(&w[i]);
    }
    EXPECT_EQ(waiters(&word, PRIVATE), 6);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 2, NULL, NULL, 0), 2);
    EXPECT_EQ(waiters(&word, PRIVATE), 4);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 0, NULL, NULL, 0), 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, (uint32_t)-5, NULL, NULL, 0), 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, (uint32_t)INT_MIN, NULL, NULL, 0), 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    for (int i = 0; i < 6; i++) EXPECT_EQ(joined(&w[i]), 0);
}
TEST(first_come_first_woken) {
    struct sleeper w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (struct sleeper)WAITER(&word, PRIVATE);
        start(&w[i]);
    }
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
        EXPECT_EQ(joined(&w[i]), 0);
        EXPECT_EQ(waiters(&word, PRIVATE), 3 - i);
    }
}
static uint32_t awake;
static void *herd_member(void *arg) {
    futex(&word, FUTEX_WAIT | PRIVATE, 0, NULL, NULL, 0);
    __atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST);
    return arg;
}
TEST(one_wake_wakes_one) {
    pthread_t herd[8];
    for (int i = 0; i < 8; i++) pthread_create(&herd[i], NULL, herd_member, NULL);
    until_waiters(&word, PRIVATE, 8);
    for (uint32_t i = 1; i <= 8; i++) {
        EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
        while (load(&awake) != i) sched_yield();
        EXPECT_EQ(waiters(&word, PRIVATE), 8 - i);
        EXPECT_EQ(load(&awake), i);
    }
    for (int i = 0; i < 8; i++) pthread_join(herd[i], NULL);
}
TEST(neighbours_are_others) {
    static uint32_t row[8];
    struct sleeper a = WAITER(&row[3], PRIVATE);
    start(&a);
    for (int i = 0; i < 8; i++)
        if (i != 3) EXPECT_EQ(futex(&row[i], FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_EQ(futex(&row[3], FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(bitsets_choose) {
    struct sleeper w[3];
    for (uint32_t i = 0; i < 3; i++) {
        w[i] = (struct sleeper){.op = FUTEX_WAIT_BITSET | PRIVATE, .word = &word, .value3 = 1u << (i * 15)};
        start(&w[i]);
    }
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | PRIVATE, INT_MAX, NULL, NULL, 2), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 1u << 30 | 2), 1);
    EXPECT_EQ(joined(&w[2]), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | PRIVATE, INT_MAX, NULL, NULL, 0xffff0000u), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 2);
    EXPECT_EQ(joined(&w[0]), 0);
    EXPECT_EQ(joined(&w[1]), 0);
}
TEST(a_plain_waiter_has_all_bits) {
    struct sleeper a = WAITER(&word, PRIVATE);
    start(&a);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 1u << 31), 1);
    EXPECT_EQ(joined(&a), 0);
}
TEST(bitset_of_none) {
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(BAD_PTR, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
}
TEST(who_waits_for_a_lock_is_not_woken) {
    struct sleeper a = {.op = FUTEX_LOCK_PI | PRIVATE, .word = &word};
    ASSERT_EQ(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0), 0);
    start(&a);
    until_locker(&word, PRIVATE);
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 1, NULL, NULL, 1));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_REQUEUE | PRIVATE, 1, COUNT(1), &word2, 0));
    EXPECT_EQ(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0), 0);
    EXPECT_EQ(joined(&a), 0);
}

static void check_op(uint32_t op, uint32_t arg, uint32_t before, uint32_t after) {
    word2 = before;
    EXPECT_EQ(futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word2,
                    op << 28 | (uint32_t)FUTEX_OP_CMP_EQ << 24 | (arg & 0xfff) << 12), 0);
    EXPECT_EQ(word2, after);
}
TEST(op_changes_the_second_word) {
    check_op(FUTEX_OP_SET, 7, 3, 7);
    check_op(FUTEX_OP_SET, 0x800, 3, 0xfffff800);
    check_op(FUTEX_OP_ADD, 5, 0xffffffff, 4);
    check_op(FUTEX_OP_ADD, 0xfff, 3, 2);
    check_op(FUTEX_OP_OR, 4, 3, 7);
    check_op(FUTEX_OP_ANDN, 1, 3, 2);
    check_op(FUTEX_OP_XOR, 5, 3, 6);
}
TEST(op_shifts_its_argument) {
    check_op(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 6, 3, 67);
    check_op(FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 31, 0, 0x80000000);
    check_op(FUTEX_OP_ADD | FUTEX_OP_OPARG_SHIFT, 0, 41, 42);
    /* Only five bits of a shift count. */
    check_op(FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 33, 0, 2);
    check_op(FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 0xfff, 0, 0x80000000);
}
static void check_compare(uint32_t compare, uint32_t arg, uint32_t before, int both) {
    struct sleeper a = WAITER(&word, PRIVATE), b = {.op = FUTEX_WAIT | PRIVATE, .word = &word2, .value = before};
    word2 = before;
    start(&a);
    start(&b);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word2,
                    (uint32_t)FUTEX_OP_ADD << 28 | compare << 24 | 1 << 12 | (arg & 0xfff)), 1 + both);
    EXPECT_EQ(word2, before + 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(futex(&word2, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), !both);
    EXPECT_EQ(joined(&b), 0);
}
TEST(op_compares_the_old_value) {
    check_compare(FUTEX_OP_CMP_EQ, 5, 5, 1);
    check_compare(FUTEX_OP_CMP_EQ, 6, 5, 0);
    check_compare(FUTEX_OP_CMP_NE, 6, 5, 1);
    check_compare(FUTEX_OP_CMP_NE, 5, 5, 0);
    check_compare(FUTEX_OP_CMP_LT, 6, 5, 1);
    check_compare(FUTEX_OP_CMP_LT, 5, 5, 0);
    check_compare(FUTEX_OP_CMP_LE, 5, 5, 1);
    check_compare(FUTEX_OP_CMP_LE, 4, 5, 0);
    check_compare(FUTEX_OP_CMP_GT, 4, 5, 1);
    check_compare(FUTEX_OP_CMP_GT, 5, 5, 0);
    check_compare(FUTEX_OP_CMP_GE, 5, 5, 1);
    check_compare(FUTEX_OP_CMP_GE, 6, 5, 0);
}
TEST(op_compares_signed) {
    check_compare(FUTEX_OP_CMP_LT, 0, (uint32_t)-3, 1);
    check_compare(FUTEX_OP_CMP_GT, (uint32_t)-4, (uint32_t)-3, 1);
    check_compare(FUTEX_OP_CMP_EQ, 0xffd, (uint32_t)-3, 1);
}
TEST(op_that_does_not_exist) {
    for (uint32_t op = 5; op < 8; op++) {
        word2 = 3;
        EXPECT_ERRNO(ENOSYS, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word2, op << 28 | 9 << 12));
        EXPECT_EQ(word2, 3);
    }
    EXPECT_ERRNO(ENOSYS, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), BAD_PTR, 5u << 28));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), (void *)9, 5u << 28));
}
TEST(op_with_an_unknown_comparison_is_done_all_the_same) {
    for (uint32_t compare = 6; compare < 16; compare++) {
        struct sleeper a = WAITER(&word, PRIVATE);
        if (compare == 6) {
            start(&a);
        }
        word2 = 3;
        EXPECT_ERRNO(ENOSYS, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word2, compare << 24 | compare << 12));
        EXPECT_EQ(word2, compare);
        if (compare == 6) {
            EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
            EXPECT_EQ(joined(&a), 0);
        }
    }
}
TEST(op_needs_both_words) {
    uint32_t *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *both = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), page, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAKE_OP, 1, COUNT(1), both, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), BAD_PTR, 0));
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_WAKE_OP, 1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex((char *)&word + 1, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word2, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), (char *)&word2 + 1, 0));
}
TEST(op_counts_of_zero_wake_one_each) {
    struct sleeper w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (struct sleeper)WAITER(i < 2 ? &word : &word2, PRIVATE);
        start(&w[i]);
    }
    EXPECT_EQ(futex(&word, FUTEX_WAKE_OP | PRIVATE, 0, COUNT(0), &word2, FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)), 2);
    EXPECT_EQ(joined(&w[0]), 0);
    EXPECT_EQ(joined(&w[2]), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_OP | PRIVATE, 9, COUNT(9), &word2, FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)), 2);
    EXPECT_EQ(joined(&w[1]), 0);
    EXPECT_EQ(joined(&w[3]), 0);
}
TEST(op_on_one_word) {
    struct sleeper a = WAITER(&word, PRIVATE), b = WAITER(&word, PRIVATE);
    start(&a);
    start(&b);
    EXPECT_EQ(futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &word, FUTEX_OP(FUTEX_OP_SET, 5, FUTEX_OP_CMP_EQ, 0)), 2);
    EXPECT_EQ(word, 5);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(joined(&b), 0);
}

static uint32_t sum;
static void *adder(void *arg) {
    for (int i = 0; i < 3000; i++)
        futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, COUNT(1), &sum, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, -1));
    return arg;
}
TEST(op_is_atomic) {
    pthread_t thread[2];
    sum = 0;
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, adder, NULL);
    for (int i = 0; i < 3000; i++) __atomic_fetch_add(&sum, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    EXPECT_EQ(sum, 9000);
}
