/* SHA-256 (FIPS 180-4) of a buffer, over and over. */
#include "bench.h"
#include <string.h>

static uint32_t k[64], h0[8];

static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* The constants are the first 32 bits of the fractions of cube and square
 * roots of primes; integer arithmetic finds them exactly. */
static uint32_t root_fraction(uint64_t prime, int power) {
    unsigned __int128 low = 0, high = (unsigned __int128)1 << 36;
    while (high - low > 1) {
        unsigned __int128 mid = (low + high) / 2, p;
        int above;
        if (power == 2) {
            p = mid * mid; /* mid is root * 2^32 */
            above = p > (unsigned __int128)prime << 64;
        } else {
            /* mid^3 > prime * 2^96, in two steps to stay in 128 bits */
            p = mid * mid >> 32;
            above = p * mid > (unsigned __int128)prime << 64;
        }
        if (above) high = mid; else low = mid;
    }
    return (uint32_t)low;
}

static void constants(void) {
    int n = 0;
    for (uint64_t p = 2; n < 64; p++) {
        int prime = 1;
        for (uint64_t d = 2; d * d <= p; d++) prime &= p % d != 0;
        if (!prime) continue;
        k[n] = root_fraction(p, 3);
        if (n < 8) h0[n] = root_fraction(p, 2);
        n++;
    }
}

static void block(uint32_t h[8], const uint8_t *p) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) + w[i - 7] + (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t1 = s[7] + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
        uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1;
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

int main(int argc, char **argv) {
    static uint8_t data[65536 + 64];
    long rounds = bench_size(argc, argv, 900);
    uint64_t seed = 88172645463325252u, sum = 0;
    constants();
    for (int i = 0; i < 65536; i++) data[i] = bench_random(&seed);
    data[65536] = 0x80;
    data[65536 + 61] = 65536 * 8 >> 16;
    for (long r = 0; r < rounds; r++) {
        uint32_t h[8];
        data[0] = r;
        memcpy(h, h0, sizeof h);
        for (int i = 0; i <= 65536; i += 64) block(h, data + i);
        sum = bench_mix(sum, (uint64_t)h[0] << 32 | h[7]);
    }
    return bench_done("sha256", sum);
}
