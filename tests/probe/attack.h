// What the parts of the intruder share (attack.c, attack-unit.c, attack-contain.c).
#ifndef BENNU_ATTACK_H
#define BENNU_ATTACK_H

#include <errno.h>

#define FIELD "/tmp/field" // a tmpfs of the intruder's own, where files may execute
#define INTERPRETER "/usr/bin/bennu-interpreter" // another file of the root with the same bytes
#define SHELL "/bin/sh"
#define GREETING "greet"
#define FAILED (errno ? errno : EIO)

struct attempt {
	const char *name;
	int (*act)(void);
};

#define ATTACK(name, act) { "ATTACK " name, act }
#define CONTROL(name, act) { "CONTROL " name, act }

extern char root_program[256];
extern const struct attempt unit_attempts[];
extern const unsigned long unit_count;
extern const struct attempt clock_attempts[];
extern const unsigned long clock_count;

int execute(const char *path);
// Makes the cgroups and the servers; `profiled` says whether the units with profiles are used.
int prepare_units(int profiled);
void end_units(void);
// The story of containment, once, in this process.
int contain(const char *disk, void (*say)(const char *name, int result));

#endif
