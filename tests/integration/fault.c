/* Lets a file operation fail, kill or hang: loaded before the C library by tests/integration/faults.py.

   FAULT_COUNTER  file of 8 bytes that all processes of a call share: how many matching operations there were
   FAULT_UNDER    operations on files whose path begins so
   FAULT_CALLS    which ones: ,open,write,fsync,rename,read,
   FAULT_AT       the first that is struck, from 1; FAULT_ONLY=1: and no other
   FAULT_WHO      child: only in processes other than the leader of the session
   FAULT_DO       errno N | all N (signal to the process group) | main N (to the leader) | self N | move TO | hang FILE
   FAULT_CLOCK    the wall clock goes back so many seconds each time it is read */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long *counter;
static const char *under, *calls, *action, *who;
static long at, backwards, looks;
static int only;

__attribute__((constructor)) static void arm(void) {
  const char *clock = getenv("FAULT_CLOCK"), *file = getenv("FAULT_COUNTER");
  backwards = clock ? atol(clock) : 0;
  if (!file) return;
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int descriptor = real(file, O_RDWR);
  if (descriptor < 0) return;
  void *map = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (map == MAP_FAILED) return;
  under = getenv("FAULT_UNDER"), calls = getenv("FAULT_CALLS"), action = getenv("FAULT_DO"), who = getenv("FAULT_WHO");
  at = atol(getenv("FAULT_AT")), only = getenv("FAULT_ONLY") != NULL;
  counter = map;
}

/* what is to be done to this operation: 0, or an error number */
static int strike(const char *call, const char *path) {
  char word[32];
  if (!counter || !path || strncmp(path, under, strlen(under))) return 0;
  snprintf(word, sizeof word, ",%s,", call);
  if (!strstr(calls, word) || (who && getpid() == getsid(0))) return 0;
  long number = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
  if (number < at || (only && number != at)) return 0;
  const char *what = strchr(action, ' ') + 1;
  if (!strncmp(action, "errno", 5)) return atoi(what);
  if (!strncmp(action, "all", 3)) kill(-getsid(0), atoi(what)), pause();
  if (!strncmp(action, "main", 4)) kill(getsid(0), atoi(what));
  if (!strncmp(action, "self", 4)) kill(getpid(), atoi(what)), pause();
  if (!strncmp(action, "move", 4)) {
    int (*move)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    move(under, what);
  }
  while (!strncmp(action, "hang", 4) && !access(what, F_OK)) usleep(20000);
  return 0;
}

static const char *named(int descriptor, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = counter ? readlink(link, path, PATH_MAX - 1) : -1;
  if (length < 0) return NULL;
  path[length] = 0;
  return path;
}

#define FAIL_IF(call, path)                                                                                            \
  do {                                                                                                                 \
    int error_ = strike(call, path);                                                                                   \
    if (error_) {                                                                                                      \
      errno = error_;                                                                                                  \
      return -1;                                                                                                       \
    }                                                                                                                  \
  } while (0)

ssize_t write(int descriptor, const void *from, size_t size) {
  char path[PATH_MAX];
  FAIL_IF("write", named(descriptor, path));
  ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  return real(descriptor, from, size);
}

ssize_t read(int descriptor, void *to, size_t size) {
  char path[PATH_MAX];
  FAIL_IF("read", named(descriptor, path));
  ssize_t (*real)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
  return real(descriptor, to, size);
}

int fsync(int descriptor) {
  char path[PATH_MAX];
  FAIL_IF("fsync", named(descriptor, path));
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  return real(descriptor);
}

int rename(const char *from, const char *to) {
  FAIL_IF("rename", to);
  int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
  return real(from, to);
}

/* opening for reading is "look", anything else "open" */
#define OPEN(name)                                                                                                     \
  int name(const char *path, int flags, ...) {                                                                         \
    va_list rest;                                                                                                      \
    va_start(rest, flags);                                                                                             \
    int mode = va_arg(rest, int);                                                                                      \
    va_end(rest);                                                                                                      \
    FAIL_IF((flags & O_ACCMODE) == O_RDONLY ? "look" : "open", path);                                                  \
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);                                                     \
    return real(path, flags, mode);                                                                                    \
  }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec *now) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec -= backwards * __atomic_add_fetch(&looks, 1, __ATOMIC_SEQ_CST);
  return code;
}
