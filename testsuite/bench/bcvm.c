/* A byte-code machine with a switch for a dispatcher: indirect jumps. */
#include "bench.h"

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, XOR, SHR, LESS, JZ, JMP, DUP, INC, HALT };

/* i = 0; a = 1; while (i < n) { a = (a * 31 + i) ^ (a >> 7); i++; } */
static const int32_t program[] = {
    PUSH, 0, STORE, 0, PUSH, 1, STORE, 1,
    /* 8 */ LOAD, 0, LOAD, 2, LESS, JZ, 34,
    LOAD, 1, PUSH, 31, MUL, LOAD, 0, ADD, LOAD, 1, PUSH, 7, SHR, XOR, STORE, 1,
    INC, 0, JMP, 8 - 2,
};

static uint64_t run(const int32_t *code, uint64_t n) {
    uint64_t stack[32], var[4] = {0, 0, n, 0};
    uint64_t *sp = stack;
    const int32_t *pc = code;
    for (;;) {
        switch (*pc++) {
        case PUSH: *sp++ = *pc++; break;
        case LOAD: *sp++ = var[*pc++]; break;
        case STORE: var[*pc++] = *--sp; break;
        case ADD: sp--; sp[-1] += sp[0]; break;
        case SUB: sp--; sp[-1] -= sp[0]; break;
        case MUL: sp--; sp[-1] *= sp[0]; break;
        case XOR: sp--; sp[-1] ^= sp[0]; break;
        case SHR: sp--; sp[-1] >>= sp[0] & 63; break;
        case LESS: sp--; sp[-1] = sp[-1] < sp[0]; break;
        case DUP: *sp = sp[-1]; sp++; break;
        case INC: var[*pc++]++; break;
        case JZ: pc = *--sp ? pc + 1 : code + *pc; break;
        case JMP: pc = code + *pc; break;
        case HALT: return var[1];
        }
    }
}

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 12000000);
    int32_t code[64];
    int length = sizeof program / sizeof program[0];
    for (int i = 0; i < length; i++) code[i] = program[i];
    /* The loop's head and its end, where the jumps go. */
    code[length - 1] = 8;
    code[14] = length;
    code[length] = HALT;
    return bench_done("bcvm", run(code, n));
}
