// fork, exec, waitpid, and children whose parent ends first.
#include "teach.h"

static const char *self;
static u32 number = 5;

static i64 child_with(int code, u64 ms)
{
    i64 pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        number++;
        sleep(ms);
        exit(code);
    }
    return pid;
}

/* A child that ends before its own child, which then says that it is still there. */
static void orphan(void)
{
    u64 ends[2];
    CHECK_EQ(pipe(ends), 0);
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        i64 grandchild = fork();
        if (grandchild == 0) {
            sleep(40);
            char byte = 'o';
            CHECK_EQ(write((i64)ends[1], &byte, 1), 1);
            exit(9);
        }
        CHECK_EQ(write((i64)ends[1], &grandchild, sizeof(grandchild)), sizeof(grandchild));
        exit(8);
    }
    i64 grandchild = 0;
    char byte = 0;
    int code = 0;
    CHECK_EQ(read((i64)ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    CHECK_EQ(waitpid(child, &code), child);
    CHECK_EQ(code, 8);
    ROW("wait for another's orphan", waitpid_once(grandchild, &code));
    CHECK_EQ(read((i64)ends[0], &byte, 1), 1);
    print("the orphan says %c\n", byte);
    ROW("wait for it when it has ended", waitpid_once(grandchild, &code));
    close((i64)ends[0]), close((i64)ends[1]);
}

int main(int argc, const char *const *argv)
{
    self = argv[0];
    if (argc == 4) {
        print("%s %s %s\n", argv[1], argv[2], argv[3]);
        return 40 + argc;
    }
    int code = -77;
    ROW("wait without a child", waitpid_once(-1, &code));
    ROW("wait for nobody", waitpid_once(4000000, &code));
    CHECK_EQ(code, -77);
    i64 slow = child_with(31, 60), quick = child_with(-5, 0);
    CHECK(slow > 0 && quick > 0 && slow != quick);
#ifdef ABI_RCORE
    ROW("wait for one that runs", waitpid_once(slow, &code));
#endif
    CHECK_EQ(waitpid(-1, &code), quick);
    ROW("any: the quick one's code", code);
    CHECK_EQ(waitpid(slow, &code), slow);
    ROW("the slow one's code", code);
    ROW("wait for it again", waitpid_once(slow, &code));
    ROW("a child's memory is its own", number);

    i64 pid = child_with(17, 0);
    sleep(30);
    ROW("a code to a bad place", waitpid_once(pid, (int *)BAD));
    ROW("and without a place", waitpid_once(pid, NULL) == pid ? 0 : -1);

    pid = fork();
    if (pid == 0) {
        const char *const words[] = {self, "one", "", "three", NULL};
        exec(self, words);
        exit(1);
    }
    CHECK_EQ(waitpid(pid, &code), pid);
    ROW("code of the new program", code);
    const char *const none[] = {NULL};
    ROW("exec of nothing", exec("there is no such program", none));
    ROW("exec of a bad path", exec((const char *)BAD, none));
    ROW("exec with bad words", exec(self, (const char *const *)BAD));
    orphan();

    i64 before = getpid();
    pid = fork();
    if (pid == 0)
        exit(getpid() == before ? 1 : 0);
    CHECK_EQ(waitpid(pid, &code), pid);
    ROW("a child's number is its own", code);
    ROW("the parent's stays", getpid() == before ? 0 : 1);
    return 0;
}
