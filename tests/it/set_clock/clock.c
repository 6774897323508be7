/* The system's clock, ahead by the milliseconds (or behind, below 0) that stand in the file CLOCK_AHEAD_FILE, as eight
   bytes in the machine's order: preloaded into a server that is to live at another time, or whose clock is set while it
   runs. Clocks that only measure are left alone. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long long *ahead_ms;

__attribute__((constructor)) static void map_file(void)
{
    const char *name = getenv("CLOCK_AHEAD_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(0, sizeof *ahead_ms, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    if (mapped == MAP_FAILED)
        _exit(70);
    ahead_ms = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (!failed && clock == CLOCK_REALTIME && ahead_ms) {
        long long now_ns = time->tv_sec * 1000000000LL + time->tv_nsec + *ahead_ms * 1000000;
        time->tv_sec = now_ns / 1000000000;
        time->tv_nsec = now_ns % 1000000000;
    }
    return failed;
}
