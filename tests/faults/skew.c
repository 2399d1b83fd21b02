/* Puts the wall clock of a process off by the seconds that stand in the file SKEW_FILE; nothing else.
   (libfaketime 0.9.10 also touches waits, and a kernel under it spins in threading.Event.wait.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*clock_function)(clockid_t, struct timespec *);

static clock_function real_clock(void) {
    static clock_function found;
    if (!found) found = (clock_function)dlsym(RTLD_NEXT, "clock_gettime");
    return found;
}

static long skew(void) {
    static long known;
    static struct timespec looked;
    struct timespec now;
    real_clock()(CLOCK_MONOTONIC, &now);
    if (looked.tv_sec && now.tv_sec == looked.tv_sec) return known;
    looked = now;
    const char *path = getenv("SKEW_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        char text[32] = {0};
        if (read(file, text, sizeof text - 1) > 0) known = atol(text);
        close(file);
    }
    return known;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = real_clock()(clock, at);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += skew();
    return failed;
}

int gettimeofday(struct timeval *at, void *zone) {
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
