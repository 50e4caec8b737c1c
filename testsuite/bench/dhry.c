/* Records, strings, enumerations and small procedures in the proportions of
 * systems programs of old. */
#include "bench.h"
#include <string.h>

enum colour { RED, GREEN, BLUE, WHITE, BLACK };
struct item {
    struct item *next;
    enum colour colour;
    int kind, weight;
    char label[32];
};

static struct item *root, *spare;
static int global_int, table[60], grid[60][60];
static char mark_a, mark_b;

__attribute__((noinline)) static enum colour shift_colour(enum colour c) {
    switch (c) {
    case RED: return global_int > 100 ? RED : WHITE;
    case GREEN: return RED;
    case BLUE: return GREEN;
    case WHITE: return BLACK;
    default: return BLUE;
    }
}

__attribute__((noinline)) static int same_colour(enum colour a, enum colour b) { return a == b; }

__attribute__((noinline)) static void fill(int *row, int (*cells)[60], int at, int value) {
    int place = at + 5;
    row[place] = value;
    row[place + 1] = row[place];
    row[place + 25] = place;
    for (int i = place; i <= place + 1; i++) cells[place][i] = place;
    cells[place][place - 1]++;
    cells[place + 20][place] = row[place];
    global_int = 5;
}

__attribute__((noinline)) static int text_order(const char *a, const char *b) {
    int i = 2;
    char seen = 0;
    while (i <= 2) {
        if (a[i] == b[i + 1]) break;
        seen = 'A';
        i++;
    }
    if (seen >= 'W' && seen < 'Z') i = 7;
    if (seen == 'R') return 1;
    if (strcmp(a, b) > 0) {
        global_int = i + 7;
        return 1;
    }
    return 0;
}

__attribute__((noinline)) static void sum_into(int a, int b, int *out) { *out = b + a + 2; }

__attribute__((noinline)) static void follow(struct item **out) {
    if (root) *out = root->next;
    sum_into(10, global_int, &root->weight);
}

__attribute__((noinline)) static void renew(struct item *it) {
    struct item *next = it->next;
    *next = *root;
    it->weight = 5;
    next->weight = it->weight;
    next->next = it->next;
    follow(&next->next);
    if (next->kind == 0) {
        next->weight = 6;
        next->colour = shift_colour(it->colour);
        next->next = root->next;
        sum_into(next->weight, 10, &next->weight);
    } else {
        *it = *it->next;
    }
}

int main(int argc, char **argv) {
    static struct item first, second;
    long rounds = bench_size(argc, argv, 16000000);
    uint64_t sum = 0;
    char text1[32], text2[32];
    root = &first, spare = &second;
    first.next = spare;
    first.kind = 0, first.colour = BLUE, first.weight = 40;
    strcpy(first.label, "a label of some length, first");
    strcpy(text1, "a text to compare with, first ");
    for (long r = 1; r <= rounds; r++) {
        int a = 2, b = 3, c = 0;
        mark_a = 'A';
        mark_b = mark_a == 'A' ? 'B' : 'C';
        memcpy(text2, "a text to compare with, second", 31);
        enum colour colour = GREEN;
        int differ = !text_order(text1, text2);
        while (a < b) {
            c = 5 * a - b;
            sum_into(a, b, &c);
            a++;
        }
        fill(table, grid, a, c);
        renew(root);
        for (char mark = 'A'; mark <= mark_b; mark++)
            if (same_colour(colour, mark == 'A' ? RED : GREEN)) {
                colour = shift_colour(RED);
                b = (int)r;
                global_int = (int)r;
            }
        b = b * a;
        a = b / (c | 1);
        b = 7 * (b - c) - a;
        sum += (unsigned)(a ^ b) + differ + colour + spare->weight;
        root = &first;
    }
    for (int i = 0; i < 60; i++) sum = bench_mix(sum, table[i] + grid[i][i]);
    return bench_done("dhry", sum);
}
