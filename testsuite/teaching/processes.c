// fork, exec, waitpid, and children whose parent ends first.
// prints: wait without a child: -1
// prints: wait for nobody: -1
// prints(rcore): wait for one that runs: -2
// prints: any: the quick one's code: -5
// prints: the slow one's code: 31
// prints: wait for it again: -1
// prints: a child's memory is its own: 5
// prints: codes have 32 bits
// prints: a code to a bad place: -1
// prints: the child is gone all the same: -1
// prints: without a place: 0
// prints: one  three
// prints: code of the new program: 44
// prints: code of a program without words: 45
// prints: exec of nothing: -1
// prints: exec of a bad path: -1
// prints: exec with bad words: -1
// prints: wait for another's orphan: -1
// prints(ucore): its parent is init: 1
// prints: the orphan says o
// prints: wait for it when it has ended: -1
// prints: a child's number is its own: 0
// prints: the parent's stays: 0
#include "teach.h"

static const char *self;
static u32 number = 5;

/* With `gate`, the end of a pipe to read from, it first waits for a byte there. */
static i64 child_with(int code, i64 gate)
{
    i64 pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char byte;
        number++;
        if (gate >= 0)
            CHECK_EQ(read(gate, &byte, 1), 1);
        exit(code);
    }
    return pid;
}

static void open_gate(u64 ends[2]) { CHECK_EQ(write((i64)ends[1], "g", 1), 1); }

/* A child that ends before its own child, which then says that it is still there. */
static void orphan(void)
{
    u64 ends[2], gate[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(pipe(gate), 0);
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        i64 grandchild = fork();
        if (grandchild == 0) {
            char byte;
            CHECK_EQ(read((i64)gate[0], &byte, 1), 1);
#ifdef ABI_UCORE
            ROW("its parent is init", call(NR_GETPPID, 0, 0, 0));
#endif
            byte = 'o';
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
    open_gate(gate);
    CHECK_EQ(read((i64)ends[0], &byte, 1), 1);
    print("the orphan says %c\n", byte);
    ROW("wait for it when it has ended", waitpid_once(grandchild, &code));
    for (u64 i = 0; i < 2; i++)
        CHECK(close((i64)ends[i]) == 0 && close((i64)gate[i]) == 0);
}

int main(int argc, const char *const *argv)
{
    self = argv[0];
    if (argc == 0)
        return argv[0] == NULL ? 45 : 46;
    if (argc == 4) {
        print("%s %s %s\n", argv[1], argv[2], argv[3]);
        return 40 + argc;
    }
    int code = -77;
    ROW("wait without a child", waitpid_once(-1, &code));
    ROW("wait for nobody", waitpid_once(4000000, &code));
    CHECK_EQ(code, -77);
    u64 gate[2];
    CHECK_EQ(pipe(gate), 0);
    i64 slow = child_with(31, (i64)gate[0]), quick = child_with(-5, -1);
    CHECK(slow > 0 && quick > 0 && slow != quick);
#ifdef ABI_RCORE
    ROW("wait for one that runs", waitpid_once(slow, &code));
#endif
    CHECK_EQ(waitpid(-1, &code), quick);
    ROW("any: the quick one's code", code);
    open_gate(gate);
    CHECK_EQ(waitpid(slow, &code), slow);
    ROW("the slow one's code", code);
    ROW("wait for it again", waitpid_once(slow, &code));
    ROW("a child's memory is its own", number);

    i64 pid = child_with(0x12345678, -1);
    CHECK_EQ(waitpid(pid, &code), pid);
    CHECK_EQ(code, 0x12345678);
    print("codes have 32 bits\n");
    pid = child_with(17, -1);
    ROW("a code to a bad place", waitpid(pid, (int *)BAD));
    ROW("the child is gone all the same", waitpid(pid, &code));
    pid = child_with(18, -1);
    ROW("without a place", waitpid(pid, NULL) == pid ? 0 : -1);

    pid = fork();
    if (pid == 0) {
        const char *const words[] = {self, "one", "", "three", NULL};
        exec(self, words);
        exit(1);
    }
    CHECK_EQ(waitpid(pid, &code), pid);
    ROW("code of the new program", code);
    const char *const none[] = {NULL};
    pid = fork();
    if (pid == 0) {
        exec(self, none);
        exit(1);
    }
    CHECK_EQ(waitpid(pid, &code), pid);
    ROW("code of a program without words", code);
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
