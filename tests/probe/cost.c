// Reads proc(5): schedstat of each thread (ns on a processor), stat (clock ticks), status (KiB).
#define _GNU_SOURCE
#include "measure.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int read_text(const char *path, char *text, size_t bytes)
{
	FILE *file = fopen(path, "re");
	size_t length;

	if (!file)
		return -1;
	length = fread(text, 1, bytes - 1, file);
	fclose(file);
	text[length] = 0;
	return 0;
}

// The first process of that name, 0 if there is none.
static int find(const char *name)
{
	DIR *all = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	while (all && !found && (entry = readdir(all))) {
		char path[300], comm[32];

		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		if (!atoi(entry->d_name) || read_text(path, comm, sizeof comm))
			continue;
		comm[strcspn(comm, "\n")] = 0;
		if (!strcmp(comm, name))
			found = atoi(entry->d_name);
	}
	if (all)
		closedir(all);
	return found;
}

// Most threads that are told apart.
#define MOST_THREADS 64

struct thread {
	int id;
	unsigned long long ns;
	char name[32];
};

struct look {
	unsigned long long at_ns, on_cpu_ns, clock_ticks, rss_kib, peak_kib;
	struct thread threads[MOST_THREADS];
	size_t number;
};

static size_t look_at_threads(int pid, struct thread *found)
{
	char path[300], text[128];
	struct dirent *entry;
	size_t number = 0;
	DIR *threads;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	threads = opendir(path);
	while (threads && number < MOST_THREADS && (entry = readdir(threads))) {
		struct thread *thread = &found[number];

		snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		thread->id = atoi(entry->d_name);
		if (!thread->id || read_text(path, text, sizeof text))
			continue;
		thread->ns = strtoull(text, 0, 10);
		snprintf(path, sizeof path, "/proc/%d/task/%s/comm", pid, entry->d_name);
		if (read_text(path, thread->name, sizeof thread->name))
			continue;
		thread->name[strcspn(thread->name, "\n")] = 0;
		number++;
	}
	if (threads)
		closedir(threads);
	return number;
}

static unsigned long long sum(const struct thread *threads, size_t number)
{
	unsigned long long ns = 0;

	while (number--)
		ns += threads[number].ns;
	return ns;
}

// What each of the threads of now has cost since `before`.
static void show_threads(const struct look *before, const struct look *after)
{
	for (size_t now = 0; now < after->number; now++) {
		const struct thread *thread = &after->threads[now];
		unsigned long long ns = thread->ns;

		for (size_t then = 0; then < before->number; then++)
			if (before->threads[then].id == thread->id)
				ns -= before->threads[then].ns;
		printf("MEASURE THREAD %llu %s\n", ns, thread->name);
	}
}

static unsigned long long member(const char *status, const char *name)
{
	const char *found = strstr(status, name);

	return found ? strtoull(found + strlen(name), 0, 10) : 0;
}

static int look_at(int pid, struct look *look)
{
	unsigned long long user = 0, system = 0;
	char path[64], text[8192], *rest;
	struct timespec now;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	if (read_text(path, text, sizeof text))
		return -1;
	look->rss_kib = member(text, "VmRSS:");
	look->peak_kib = member(text, "VmHWM:");
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (read_text(path, text, sizeof text))
		return -1;
	// Members 14 and 15; a name with spaces ends with the last bracket.
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
		return -1;
	look->clock_ticks = user + system;
	look->number = look_at_threads(pid, look->threads);
	look->on_cpu_ns = sum(look->threads, look->number);
	clock_gettime(CLOCK_BOOTTIME, &now);
	look->at_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	return 0;
}

int show_cost(const char *name, unsigned int seconds)
{
	struct look before, after;
	int pid = find(name);

	if (!pid) {
		errno = ESRCH;
		return -1;
	}
	if (look_at(pid, &before))
		return -1;
	while ((seconds = sleep(seconds)))
		;
	if (look_at(pid, &after))
		return -1;
	show_threads(&before, &after);
	printf("MEASURE COST %s %llu %llu %llu %llu %llu\n", name, after.at_ns - before.at_ns,
	       after.on_cpu_ns - before.on_cpu_ns, after.clock_ticks - before.clock_ticks, after.rss_kib, after.peak_kib);
	return 0;
}
