// What the parts of the measuring program share.
#ifndef BENNU_MEASURE_H
#define BENNU_MEASURE_H

#include <stdint.h>

// Of the verified root, and on its own file system.
#define SELF "/usr/bin/bennu-measure"

// Of CLOCK_MONOTONIC.
uint64_t now_ns(void);
// Starts a child that executes this program, which ends at once, and waits for it; ends this program if that fails.
void execute_once(void);

// Attaches programs that do nothing where the gate's are, with or without profiles, for as long as this process lives; -1
// and errno if that fails.
int attach_nothing(int with_profiles);

// Looks at the process with this name, sleeps that many seconds, looks again and prints
// `MEASURE COST <name> <elapsed ns> <ns on a processor> <clock ticks, user and system> <VmRSS KiB> <VmHWM KiB>`.
// -1 and errno if there is no such process.
int show_cost(const char *name, unsigned int seconds);

// Executes this program that many times as fast as it can, waits until the trace has come to rest, reads it and prints
// `MEASURE BURST <times> <records> <lost> <ns>`: records of these in the trace, records that its gaps tell of, and how
// long the programs took. -1 and errno if the trace cannot be read or never rests.
int burst(unsigned long times);

#endif
