/* mlock(2), mlock2(2), munlock(2), mlockall(2) */
#include "memory.h"

TEST(bad_arguments) {
    char *p = room(4);
    place(p, 1, RW);
    EXPECT_ERRNO(EINVAL, syscall(SYS_mlock2, p, PAGE, 2));
    EXPECT_ERRNO(ENOMEM, mlock(p, 2 * PAGE));
    EXPECT_ERRNO(ENOMEM, munlock(p, 2 * PAGE));
    EXPECT_ERRNO(EINVAL, mlockall(0));
    EXPECT_ERRNO(EINVAL, mlockall(8));
    EXPECT_ERRNO(EINVAL, mlockall(4));
    EXPECT_OK(mlock(p + 7, 8));
    EXPECT_OK(mlock(p, 0));
    EXPECT_OK(munlock(p, PAGE));
}

TEST(locked_pages_are_present_and_stay) {
    char *p = page(RW);
    unsigned char vec;
    ASSERT_OK(mlock(p, PAGE));
    EXPECT_OK(mincore(p, PAGE, &vec));
    EXPECT_EQ(vec & 1, 1);
    EXPECT_ERRNO(EINVAL, madvise(p, PAGE, MADV_DONTNEED));
    EXPECT_ERRNO(EINVAL, madvise(p, PAGE, MADV_FREE));
    EXPECT_ERRNO(EBUSY, msync(p, PAGE, MS_INVALIDATE));
    EXPECT_OK(munlock(p, PAGE));
    EXPECT_OK(madvise(p, PAGE, MADV_DONTNEED));
}
