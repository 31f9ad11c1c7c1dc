/* Cases of native.c about the packets of discovery: bytes of the packets that got their verdict. */
#ifndef BENCH_BEACONS_H
#define BENCH_BEACONS_H

#include <stdint.h>

uint64_t bench_beacons(uint64_t packets);
uint64_t bench_beacons_forged(uint64_t packets);
uint64_t bench_beacons_foreign(uint64_t packets);
uint64_t bench_beacons_replayed(uint64_t packets);
uint64_t bench_beacons_tag(uint64_t packets);

#endif
