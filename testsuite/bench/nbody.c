/* A small solar system, stepped with a symplectic integrator. */
#include "bench.h"
#include <math.h>

#define BODIES 5
static double pos[BODIES][3] = {
    {0, 0, 0}, {4.84, -1.16, -0.10}, {8.34, 4.12, -0.4}, {12.89, -15.11, -0.22}, {15.38, -25.92, 0.18}};
static double vel[BODIES][3] = {
    {0, 0, 0}, {0.606, 2.811, -0.025}, {-1.011, 1.825, 0.0084}, {1.083, 0.868, -0.0108}, {0.979, 0.594, -0.0347}};
static const double mass[BODIES] = {39.478, 0.0377, 0.0113, 0.0017, 0.002};

static double energy(void) {
    double e = 0;
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++) e += 0.5 * mass[i] * vel[i][k] * vel[i][k];
        for (int j = i + 1; j < BODIES; j++) {
            double d2 = 0;
            for (int k = 0; k < 3; k++) d2 += (pos[i][k] - pos[j][k]) * (pos[i][k] - pos[j][k]);
            e -= mass[i] * mass[j] / sqrt(d2);
        }
    }
    return e;
}

int main(int argc, char **argv) {
    long steps = bench_size(argc, argv, 3500000);
    const double dt = 0.001;
    for (long s = 0; s < steps; s++) {
        for (int i = 0; i < BODIES; i++)
            for (int j = i + 1; j < BODIES; j++) {
                double dx = pos[i][0] - pos[j][0], dy = pos[i][1] - pos[j][1], dz = pos[i][2] - pos[j][2];
                double d2 = dx * dx + dy * dy + dz * dz;
                double mag = dt / (d2 * sqrt(d2));
                vel[i][0] -= dx * mass[j] * mag, vel[j][0] += dx * mass[i] * mag;
                vel[i][1] -= dy * mass[j] * mag, vel[j][1] += dy * mass[i] * mag;
                vel[i][2] -= dz * mass[j] * mag, vel[j][2] += dz * mass[i] * mag;
            }
        for (int i = 0; i < BODIES; i++)
            for (int k = 0; k < 3; k++) pos[i][k] += dt * vel[i][k];
    }
    /* One side may fuse multiply and add: the energy agrees to these digits. */
    return bench_done("nbody", (uint64_t)llround(energy() * -1e4));
}
