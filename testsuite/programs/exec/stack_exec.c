// flags: -z execstack
// A program whose PT_GNU_STACK asks for a stack that can be executed.
#include "check.h"
#ifdef __riscv
static const unsigned char code[] = {0x13, 0x05, 0x70, 0x02, 0x82, 0x80}; // li a0, 39; ret
#else
static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0xc3}; // mov $39, %eax; ret
#endif

TEST(code_on_the_stack_runs) {
    unsigned char here[64] __attribute__((aligned(16)));
    memcpy(here, code, sizeof code);
    __builtin___clear_cache((char *)here, (char *)here + sizeof here);
    EXPECT_EQ(((int (*)(void))(void *)here)(), 39);
}

TEST(maps_say_so) {
    char line[256], perms[8] = "";
    FILE *maps = fopen("/proc/self/maps", "r");
    ASSERT_TRUE(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "[stack]")) sscanf(line, "%*s %7s", perms);
    EXPECT_STR(perms, "rwxp");
}
