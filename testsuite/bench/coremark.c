/* A mix like that of embedded CPU benchmarks: a linked list searched, sorted
 * and reversed; small integer matrices; a state machine over text; and a CRC of
 * everything. */
#include "bench.h"

static uint16_t crc16(uint16_t crc, uint16_t value) {
    for (int i = 0; i < 16; i++) {
        int bit = (crc ^ value) & 1;
        crc = crc >> 1 ^ (bit ? 0xa001 : 0);
        value >>= 1;
    }
    return crc;
}

struct node {
    struct node *next;
    int16_t key, index;
};
#define NODES 200
static struct node nodes[NODES];

static struct node *list_make(uint64_t *seed) {
    for (int i = 0; i < NODES; i++) {
        nodes[i].next = i + 1 < NODES ? &nodes[i + 1] : NULL;
        nodes[i].key = bench_random(seed) & 0x3fff;
        nodes[i].index = i;
    }
    return nodes;
}

static struct node *list_reverse(struct node *head) {
    struct node *done = NULL;
    while (head) {
        struct node *next = head->next;
        head->next = done;
        done = head;
        head = next;
    }
    return done;
}

static int by_key(const struct node *a, const struct node *b) { return a->key - b->key; }
static int by_index(const struct node *a, const struct node *b) { return a->index - b->index; }

static struct node *list_sort(struct node *head, int (*order)(const struct node *, const struct node *)) {
    for (int run = 1;; run *= 2) {
        struct node *p = head, *tail = NULL;
        int merges = 0;
        head = NULL;
        while (p) {
            struct node *q = p;
            int left = 0, right = run;
            merges++;
            while (left < run && q) {
                q = q->next;
                left++;
            }
            while (left > 0 || (right > 0 && q)) {
                struct node *take;
                if (left > 0 && (right == 0 || !q || order(p, q) <= 0)) {
                    take = p, p = p->next, left--;
                } else {
                    take = q, q = q->next, right--;
                }
                if (tail) tail->next = take; else head = take;
                tail = take;
            }
            p = q;
        }
        tail->next = NULL;
        if (merges <= 1) return head;
    }
}

static uint16_t list_work(struct node **head, int turn, uint16_t crc) {
    int found = 0;
    for (int i = 0; i < 20; i++) {
        int16_t want = (turn * 7 + i * 13) % NODES;
        struct node *n = *head;
        while (n && n->index != want) n = n->next;
        if (n) found += n->key & 1;
        *head = list_reverse(*head);
    }
    *head = list_sort(*head, by_key);
    crc = crc16(crc, (*head)->key);
    *head = list_sort(*head, by_index);
    return crc16(crc, found);
}

#define SIDE 12
static int16_t ma[SIDE][SIDE], mb[SIDE][SIDE];
static int32_t mc[SIDE][SIDE];

static uint16_t matrix_work(int16_t salt, uint16_t crc) {
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) ma[i][j] += salt;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            int32_t s = 0;
            for (int n = 0; n < SIDE; n++) s += ma[i][n] * mb[n][j];
            mc[i][j] = s;
        }
    for (int i = 0; i < SIDE; i++) {
        int32_t s = 0;
        for (int j = 0; j < SIDE; j++) s += (mc[i][j] >> 2 & 0xf) * (mc[i][j] >> 5 & 0x7f);
        crc = crc16(crc, s);
    }
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) ma[i][j] -= salt;
    return crc;
}

enum state { START, INTEGER, FRACTION, EXPONENT, SIGN, INVALID, STATES };
static char text[600];

static enum state scan(const char **at, unsigned *counts) {
    enum state s = START;
    const char *p = *at;
    for (; *p && s != INVALID; p++) {
        char c = *p;
        if (c == ',') {
            p++;
            break;
        }
        int digit = c >= '0' && c <= '9';
        switch (s) {
        case START: s = digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? FRACTION : INVALID; break;
        case SIGN: s = digit ? INTEGER : c == '.' ? FRACTION : INVALID; break;
        case INTEGER: s = digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? EXPONENT : INVALID; break;
        case FRACTION: s = digit ? FRACTION : c == 'e' ? EXPONENT : INVALID; break;
        case EXPONENT: s = digit || c == '-' ? EXPONENT : INVALID; break;
        default: break;
        }
        counts[s]++;
    }
    while (s == INVALID && *p && p[-1] != ',') p++;
    *at = p;
    return s;
}

static uint16_t state_work(int salt, uint16_t crc) {
    unsigned finals[STATES] = {0}, counts[STATES] = {0};
    for (int i = salt % 7; i < 560; i += 41)
        if (text[i] != ',') text[i] ^= 1;
    const char *p = text;
    while (*p) finals[scan(&p, counts)]++;
    for (int i = salt % 7; i < 560; i += 41)
        if (text[i] != ',') text[i] ^= 1;
    for (int i = 0; i < STATES; i++) crc = crc16(crc16(crc, finals[i]), counts[i]);
    return crc;
}

int main(int argc, char **argv) {
    long turns = bench_size(argc, argv, 10000);
    uint64_t seed = 0x853c49e6748fea9bu, sum = 0;
    static const char *const pieces[] = {"5012,", "+1.25,", "-.5e-3,", "77e12,", "12x4,", "T0.3,", "-874,", ".125,"};
    int n = 0;
    while (n < 580)
        for (const char *p = pieces[bench_random(&seed) % 8]; *p; p++) text[n++] = *p;
    struct node *head = list_make(&seed);
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) ma[i][j] = bench_random(&seed) & 0xff, mb[i][j] = bench_random(&seed) & 0xff;
    uint16_t crc = 0;
    for (long t = 0; t < turns; t++) {
        crc = list_work(&head, t, crc);
        for (int i = 0; i < 4; i++) crc = matrix_work(t + i, crc);
        for (int i = 0; i < 4; i++) crc = state_work(t + i, crc);
        sum = bench_mix(sum, crc);
    }
    return bench_done("coremark", sum);
}
