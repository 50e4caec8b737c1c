// spawn: a new process of a new program, told only its name.
// prints: the program says hello
// prints: its code: 23
// prints: of nothing: -1
// prints: of a bad path: -1
// prints: many: 20 of 20
#include "teach.h"

int main(int argc, const char *const *argv)
{
    int code = 0;
    // A file tells the two apart: who is spawned finds it.
    static const char place[] = "spawning_was_here";
    i64 fd = open(place, O_RDONLY);
    if (fd >= 0) {
        char byte = 0;
        CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_EQ(argc, 1);
        if (byte == '!')
            print("the program says hello\n");
        return 23;
    }
    fd = open(place, O_CREATE | O_WRONLY);
    CHECK_EQ(write(fd, "!", 1), 1);
    close(fd);
    i64 pid = spawn(argv[0]);
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &code), pid);
    ROW("its code", code);
    ROW("of nothing", spawn("there is no such program"));
    ROW("of a bad path", spawn((const char *)BAD));
    fd = open(place, O_CREATE | O_TRUNC | O_WRONLY);
    CHECK_EQ(write(fd, "-", 1), 1);
    close(fd);
    i64 pids[20];
    u32 good = 0;
    for (u64 i = 0; i < COUNT(pids); i++)
        pids[i] = spawn(argv[0]);
    for (u64 i = 0; i < COUNT(pids); i++)
        good += waitpid(pids[i], &code) == pids[i] && code == 23;
    print("many: %u of 20\n", good);
    return 0;
}
