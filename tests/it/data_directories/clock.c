/* The system's clock, ahead by CLOCK_AHEAD_MS milliseconds (or behind, below 0): preloaded into a server that is to
   live at another time. Clocks that only measure are left alone. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long ahead_ns;

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("CLOCK_AHEAD_MS");
    ahead_ns = text ? atoll(text) * 1000000 : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (!failed && clock == CLOCK_REALTIME) {
        long long now_ns = time->tv_sec * 1000000000LL + time->tv_nsec + ahead_ns;
        time->tv_sec = now_ns / 1000000000;
        time->tv_nsec = now_ns % 1000000000;
    }
    return failed;
}
