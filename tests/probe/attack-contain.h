// What the parts of the story of containment share (attack-contain*.c).
#ifndef BENNU_ATTACK_CONTAIN_H
#define BENNU_ATTACK_CONTAIN_H

#include "attack.h"
#include <sys/types.h>

#define GROUPS "/sys/fs/cgroup"
#define OWN_ADDRESS "10.0.2.15"

enum { WEB, OTHER_UNIT, SPARED, INNER, UNITS };

// Tries again and again, for as long as something may take.
int until(int (*act)(void), int expected);

// attack-contain-units.c
int make_helper(int unit);
int status_of(pid_t child);
int exec_web(void);
int exec_inner(void);
int exec_other(void);
int exec_spared(void);
int leave_web(void);
int leave_inner(void);
int clone_web(void);
int write_disk_web(void);
int restart_web(void);
int await_denied(void);
int await_everything_denied(void);
int await_allowed(void);
int exec_here(void);

// attack-contain-network.c
int up(const char *name, const char *address);
int connect_all(void);
int talk_loopback(void);
int talk_sink(void);
int talk_other(void);
int new_loopback(void);
int new_own_address(void);
int new_sink(void);
int new_other(void);
int await_cut(void);
int await_whole(void);
int await_other(void);
int send_datagram(void);
int send_frame(void);

#endif
