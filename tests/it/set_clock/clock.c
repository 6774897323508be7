/* The clocks of another machine, for a server that is to live at another time, whose clock is set while it runs, or whose
   machine sleeps. The file CLOCK_AHEAD_FILE holds two numbers of milliseconds, eight bytes each in the machine's order:
   by how much the system's clock is ahead (or behind, below 0), and how long the machine has slept, which both the
   system's clock and the time since boot count. The clock that only measures does not run while a machine sleeps, and is
   left alone. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile struct {
    long long ahead_ms, slept_ms;
} *change;

__attribute__((constructor)) static void map_file(void)
{
    const char *name = getenv("CLOCK_AHEAD_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(0, sizeof *change, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    if (mapped == MAP_FAILED)
        _exit(70);
    change = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    int is_changed = clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME;
    if (!failed && is_changed && change) {
        long long by_ms = change->slept_ms + (clock == CLOCK_REALTIME ? change->ahead_ms : 0);
        long long now_ns = time->tv_sec * 1000000000LL + time->tv_nsec + by_ms * 1000000;
        time->tv_sec = now_ns / 1000000000;
        time->tv_nsec = now_ns % 1000000000;
    }
    return failed;
}
