/*
 * Preloaded into a process, it gives that process the clock of a file, which a test writes at will: two 64-bit integers,
 * microseconds to add, and the time to stand still at (0: it goes on). CLOCK_SHIM_SHIFTS says which clock of the process
 * is meant, `realtime` or `monotonic`. Plain system calls, no dlsym: an allocator that asks for the time while it starts
 * is served as well.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *shared;
static int shifts_monotonic;

__attribute__((constructor)) static void attach(void) {
  const char *file = getenv("CLOCK_SHIM_FILE"), *shifts = getenv("CLOCK_SHIM_SHIFTS");
  int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *map = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  shifts_monotonic = shifts && strcmp(shifts, "monotonic") == 0;
  if (map != MAP_FAILED) shared = map;
}

int clock_gettime(clockid_t id, struct timespec *at) {
  int failed = (int)syscall(SYS_clock_gettime, id, at);
  int is_monotonic = id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE;
  int is_realtime = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
  if (failed || !shared || !(shifts_monotonic ? is_monotonic : is_realtime)) return failed;
  int64_t us = shared[1] ? shared[1] : (int64_t)at->tv_sec * 1000000 + at->tv_nsec / 1000 + shared[0];
  at->tv_sec = us / 1000000;
  at->tv_nsec = us % 1000000 * 1000;
  return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
